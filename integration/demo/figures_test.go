package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		name   string
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{"of none", nil, 0.5, 0},
		{"of one", hundred[:1], 0.99, 1},
		{"median of two", hundred[:2], 0.5, 1},
		{"median", hundred, 0.5, 50},
		{"99th percentile", hundred, 0.99, 99},
		{"longest", hundred, 1, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := quantile(c.sorted, c.q); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567",
		share(0, 10): "0 %", share(1, 0): "–", share(1, 3): "33.3 %", share(3, 1000): "0.30 %", share(1, 20000): "0.005 %",
		span(512 * time.Microsecond): "0.51 ms", span(24200 * time.Microsecond): "24.2 ms",
		span(940 * time.Millisecond): "940 ms", span(1880 * time.Millisecond): "1.88 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var out bytes.Buffer
		s := newScreen(&out)
		s.colour = colour
		s.table(compare(
			&figures{reads: 123456, hits: 100000, stale: 2, staleFor: []time.Duration{time.Second, 2 * time.Second}, pages: 10, left: 3, orders: 12},
			&figures{reads: 9, hits: 8, pages: 10, orders: 3, deleted: []time.Duration{time.Millisecond, time.Millisecond}, watched: true},
		))
		text := out.String()
		if colour {
			for _, code := range []style{bold, dim, red, green} {
				text = strings.ReplaceAll(text, "\x1b["+string(code)+"m", "")
			}
			text = strings.ReplaceAll(text, "\x1b[0m", "")
		}
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n != utf8.RuneCountInString(lines[0]) {
				t.Errorf("a line of %d columns under one of %d:\n%s", n, utf8.RuneCountInString(lines[0]), text)
				break
			}
		}
	}
}

func TestParagraphKeepsEveryWordWithinTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zé—]{1,20}`), 1, 60).Draw(t, "words")
		var out bytes.Buffer
		newScreen(&out).paragraph(strings.Join(words, " "))
		if got := strings.Fields(out.String()); strings.Join(got, " ") != strings.Join(words, " ") {
			t.Fatalf("got the words %q", got)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width+2 {
				t.Fatalf("a line of %d columns: %q", n, line)
			}
		}
	})
}

func TestLedgerTellsWhenAVersionBecameOld(t *testing.T) {
	l := newLedger(3)
	if got := l.committed(1); got != 1 {
		t.Errorf("before any commit the newest version is %d", got)
	}
	begin := time.Now()
	l.commit(begin.Add(time.Second), 0, 1)
	l.commit(begin.Add(2*time.Second), 1)
	if got := l.committed(1); got != 3 {
		t.Errorf("after two commits the newest version is %d", got)
	}
	if got := l.committed(2); got != 1 {
		t.Errorf("others' commits made version %d", got)
	}
	for version, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second} {
		if got := l.superseded(1, version).Sub(begin); got != want {
			t.Errorf("version %d became old after %v, want %v", version, got, want)
		}
	}
}
