package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
)

// table is what a run of the benchmarks found.
type table struct {
	machine  string
	sections []section
}

type section struct {
	name, about string
	rows        []row
	notes       []string
}

// row is one figure of mcsqueal's beside a peer's.
type row struct {
	what   string
	ours   float64
	unit   string
	peer   string // "": compared with nobody
	theirs float64
	ratio  ratio // zero: of these two figures there is none
	target target
}

// target is what was asked for. The zero value asks for nothing.
type target struct {
	atLeast, atMost float64 // of the ratio, or of our figure where there is no peer
}

func (t target) String() string {
	switch {
	case t.atLeast != 0:
		return "≥ " + number(t.atLeast)
	case t.atMost != 0:
		return "≤ " + number(t.atMost)
	}
	return ""
}

// met says whether the row reaches its target, "" if it has none.
func (r row) met() string {
	v := r.ours
	if r.peer != "" {
		v = r.ratio.median
	}
	switch {
	case r.target == target{}:
		return ""
	case r.target.atLeast != 0 && v >= r.target.atLeast, r.target.atMost != 0 && v <= r.target.atMost:
		return "yes"
	}
	return "no"
}

// section begins the rows of one benchmark.
func (t *table) section(name, about string) {
	t.sections = append(t.sections, section{name: name, about: about})
}

func (t *table) last() *section { return &t.sections[len(t.sections)-1] }

// add adds a row to the benchmark that runs.
func (t *table) add(r row) {
	s := t.last()
	s.rows = append(s.rows, r)
}

// compare adds a row of what each round measured of us and of a peer.
func (t *table) compare(what, unit string, ours []float64, peer string, theirs []float64, want target) {
	t.add(row{what: what, ours: median(ours), unit: unit, peer: peer, theirs: median(theirs), ratio: ratioOf(ours, theirs), target: want})
}

// note adds a sentence to the benchmark that runs.
func (t *table) note(format string, args ...any) {
	s := t.last()
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

var heads = []string{"", "mcsqueal", "peer", "", "ratio", "spread", "target", "met"}

func (r row) cells() []string {
	cells := []string{r.what, number(r.ours) + " " + r.unit, "", "", "", "", r.target.String(), r.met()}
	if r.peer != "" {
		cells[2] = r.peer
		cells[3] = number(r.theirs) + " " + r.unit
	}
	if r.ratio != (ratio{}) {
		cells[4] = number(r.ratio.median)
		cells[5] = number(r.ratio.least) + "–" + number(r.ratio.most)
	}
	return cells
}

// text prints the table for a terminal.
func (t *table) text(w io.Writer) error {
	fmt.Fprintf(w, "%s\n", t.machine)
	for _, s := range t.sections {
		fmt.Fprintf(w, "\n%s: %s\n", s.name, s.about)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "  "+strings.Join(heads, "\t"))
		for _, r := range s.rows {
			fmt.Fprintln(tw, "  "+strings.Join(r.cells(), "\t"))
		}
		if err := tw.Flush(); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
		for _, n := range s.notes {
			fmt.Fprintf(w, "  %s\n", n)
		}
	}
	return nil
}

// writeFile writes the table as Markdown.
func (t *table) writeFile(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.machine)
	for _, s := range t.sections {
		fmt.Fprintf(&b, "\n### %s: %s\n\n", s.name, s.about)
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat(" --- |", len(heads)))
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
		}
		for _, n := range s.notes {
			fmt.Fprintf(&b, "\n%s\n", n)
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// number prints a figure with three digits that mean something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e6:
		return fmt.Sprintf("%.0f", v)
	case a >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
