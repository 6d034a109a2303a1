package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what a run found.
type report struct {
	machine string
	rounds  int
	seconds time.Duration
	rows    []row
	absent  []string
	memory  *memoryReport
}

// row is one shape on one filling in one layout, on memcached (0) and mccache (1).
type row struct {
	group group
	shape shape
	spans [2][]span
	// halfRate is the keys a second of the open loop; 0: there was none.
	halfRate float64
	times    [2][len(quantiles)][]float64 // nanoseconds
	others   []float64                    // what other processes took of the cores, in each round
}

// rates are keys a second, of each round.
func (r row) rates(side int) []float64 {
	rates := make([]float64, len(r.spans[side]))
	for i, s := range r.spans[side] {
		rates[i] = float64(s.keys) / s.wall.Seconds()
	}
	return rates
}

// efficiencies are keys for a second of the server's processor time.
func (r row) efficiencies(side int) []float64 {
	e := make([]float64, len(r.spans[side]))
	for i, s := range r.spans[side] {
		e[i] = float64(s.keys) / s.server.Seconds()
	}
	return e
}

// busy is how much of its threads' time the client worked, and how much of the cores
// both used together: the busier side's, in the median round.
func (r row) busy() (client, cores float64) {
	for side := range r.spans {
		var c, all []float64
		for _, s := range r.spans[side] {
			c = append(c, float64(s.client)/float64(s.wall)/float64(r.group.layout.loops))
			all = append(all, float64(s.client+s.server)/float64(s.wall)/float64(runtime.NumCPU()))
		}
		client, cores = max(client, median(c)), max(cores, median(all))
	}
	return client, cores
}

// clientBound says whether the client, and not the server, was what set the pace, so
// that the server's processor time is what counts: a pinned client that is always
// working, or one that takes from the server the cores that it could use.
func (r row) clientBound() bool {
	const bound = 0.85
	client, cores := r.busy()
	if r.group.layout.pinned {
		return client > bound
	}
	return client > bound || cores > bound
}

// counts is the ratio that is held against the goal.
func (r row) counts() ratio {
	if r.clientBound() {
		return ratioOf(r.efficiencies(1), r.efficiencies(0))
	}
	return ratioOf(r.rates(1), r.rates(0))
}

// brief is a line for the terminal, as soon as the row is there.
func (r row) brief() string {
	client, _ := r.busy()
	wall, cpu := ratioOf(r.rates(1), r.rates(0)), ratioOf(r.efficiencies(1), r.efficiencies(0))
	line := fmt.Sprintf("%s /s ratio %.2f; %s /CPU s ratio %.2f; client %.0f %%",
		number(median(r.rates(1))), wall.median, number(median(r.efficiencies(1))), cpu.median, 100*client)
	if r.halfRate > 0 {
		for k, q := range quantiles {
			line += fmt.Sprintf("; p%v %s:%s", 100*q, took(median(r.times[0][k])), took(median(r.times[1][k])))
		}
	}
	return line
}

func (p *report) leftOut(format string, args ...any) {
	p.absent = append(p.absent, fmt.Sprintf(format, args...))
}

// speedMarkdown writes the tables of speed.
func (p *report) speedMarkdown(w io.Writer, names [2]string) {
	fmt.Fprintf(w, "%s\n", p.machine)
	for _, l := range layouts {
		head := false
		for _, r := range p.rows {
			if r.group.layout.name != l.name {
				continue
			}
			if !head {
				head = true
				fmt.Fprintf(w, "\n### %s: %s\n\n", l.name, l.about)
				table(w, "items", "shape", names[0]+"/s", names[1]+"/s", "ratio", "spread",
					names[0]+"/CPU s", names[1]+"/CPU s", "ratio", "spread", "client", "counts", "goal", "met")
			}
			cells(w, r.cells()...)
		}
	}
	if len(p.rows) > 0 {
		var others []float64
		for _, r := range p.rows {
			others = append(others, r.others...)
		}
		fmt.Fprintf(w, "\nKeys a second, and keys for a second of the server's processor time. Medians of %d rounds of %v, the servers in turns; a ratio is the median of the rounds' ratios, its spread the least and the most. client is how much of its time the client worked. Where that is more than 85 %%, or where nothing is kept on a core and both together leave less than 15 %% of the cores idle, the client sets the pace, and the second ratio is the one that counts. Every answer is compared byte by byte. Other processes took %.0f %% of the cores in the median round, and %.0f %% in the worst.\n",
			p.rounds, p.seconds, 100*median(others), 100*slices.Max(others))
	}
	head := false
	for _, r := range p.rows {
		if r.halfRate == 0 {
			continue
		}
		if !head {
			head = true
			fmt.Fprintf(w, "\n### Latency\n\n")
			table(w, "items", "shape", "keys/s", "", names[0], names[1], "ratio", "spread")
		}
		for k, q := range quantiles {
			t := ratioOf(r.times[1][k], r.times[0][k])
			cells(w, r.group.filling.String(), r.shape.name, number(r.halfRate), fmt.Sprintf("p%v", 100*q),
				took(median(r.times[0][k])), took(median(r.times[1][k])), number(t.median), spread(t))
		}
	}
	if head {
		fmt.Fprintf(w, "\nAn open loop: requests are due at random times, half as many a second as %s took in the table before, and are timed from when they were due until the last byte of their answers. `-t 1`, the server on one core and the client, which never sleeps, on the other.\n", names[0])
	}
	for _, s := range p.absent {
		fmt.Fprintf(w, "\nLeft out: %s.\n", s)
	}
}

func (r row) cells() []string {
	client, _ := r.busy()
	wall, cpu := ratioOf(r.rates(1), r.rates(0)), ratioOf(r.efficiencies(1), r.efficiencies(0))
	counts, which := wall, "/s"
	if r.clientBound() {
		counts, which = cpu, "/CPU s"
	}
	goal := r.shape.goalFor(r.group.filling.size)
	met := "no"
	if counts.median >= goal {
		met = "yes"
	}
	return []string{
		r.group.filling.String(), r.shape.name,
		number(median(r.rates(0))), number(median(r.rates(1))), number(wall.median), spread(wall),
		number(median(r.efficiencies(0))), number(median(r.efficiencies(1))), number(cpu.median), spread(cpu),
		fmt.Sprintf("%.0f %%", 100*client), which, "≥ " + number(goal), met,
	}
}

func spread(r ratio) string { return number(r.least) + "–" + number(r.most) }

// took writes a time.
func took(ns float64) string {
	if ns >= 1e6 {
		return number(ns/1e6) + " ms"
	}
	return number(ns/1e3) + " µs"
}

// table begins a table.
func table(w io.Writer, heads ...string) {
	cells(w, heads...)
	fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(heads)))
}

func cells(w io.Writer, c ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(c, " | ")) }

// number prints a figure with three digits that mean something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 999_500:
		return fmt.Sprintf("%.2fM", v/1e6)
	case a >= 10_000:
		return fmt.Sprintf("%.0fk", v/1e3)
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
