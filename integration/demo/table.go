package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// row is one line of the comparison. A label that begins with spaces belongs to the
// row above it.
type row struct {
	label         string
	without, with cell
}

// cell is a figure and how it looks.
type cell struct {
	text string
	as   style
}

// nothing stands where there is nothing to measure.
var nothing = cell{"–", dim}

// table prints the comparison, labels to the left, figures to the right.
func (s *screen) table(rows []row) {
	head := row{"", cell{"without", bold}, cell{"with mcsqueal", bold}}
	var label, without, with int
	for _, r := range append([]row{head}, rows...) {
		label = max(label, utf8.RuneCountInString(r.label))
		without = max(without, utf8.RuneCountInString(r.without.text))
		with = max(with, utf8.RuneCountInString(r.with.text))
	}
	line := func(r row) {
		s.print("  " + r.label + pad(r.label, label) +
			"   " + pad(r.without.text, without) + s.paint(r.without.text, r.without.as) +
			"   " + pad(r.with.text, with) + s.paint(r.with.text, r.with.as) + "\n")
	}
	line(head)
	for _, r := range rows {
		line(r)
	}
}

func pad(text string, to int) string {
	return strings.Repeat(" ", max(0, to-utf8.RuneCountInString(text)))
}

// count gives a number with its thousands apart.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// share gives a part as a percentage, with digits enough to tell it from none.
func share(part, whole int) string {
	switch {
	case whole == 0:
		return "–"
	case part == 0:
		return "0 %"
	}
	percent := 100 * float64(part) / float64(whole)
	switch {
	case percent < 0.1:
		return fmt.Sprintf("%.3f %%", percent)
	case percent < 1:
		return fmt.Sprintf("%.2f %%", percent)
	}
	return fmt.Sprintf("%.1f %%", percent)
}

// span gives a time to three digits.
func span(d time.Duration) string {
	unit, in := "ms", float64(d)/float64(time.Millisecond)
	if d >= time.Second {
		unit, in = "s", d.Seconds()
	}
	switch {
	case in < 10:
		return fmt.Sprintf("%.2f %s", in, unit)
	case in < 100:
		return fmt.Sprintf("%.1f %s", in, unit)
	}
	return fmt.Sprintf("%.0f %s", in, unit)
}
