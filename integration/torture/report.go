package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a torture found.
type report struct {
	server   string
	seed     uint64
	settings settings
	took     time.Duration
	storms   int
	faults   map[string]int // by kind
	tally    *tally
	pairs    pairs
	longest  time.Duration // until everything was gone
	caughtUp time.Duration // until the checkpoint was past it
	starts   int
	refused  int            // of the starts
	met      map[string]int // by the daemon: its experiences
	lost     int            // pairs
	losses   []*loss
	findings []string
	folder   string // where the daemon's log is kept
}

// intact tells whether every promise was kept.
func (r *report) intact() bool { return len(r.findings) == 0 && r.pairs.lost == 0 && r.lost == 0 }

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d commits, %d keys", t.commits, t.keys)
}

// print writes the report for people.
func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("source", "%s", r.server)
	row("seed", "%d", r.seed)
	row("settings", "%s", r.settings)
	row("duration", "%v, %d storms", r.took.Round(100*ms), r.storms)
	total := 0
	kinds := make([]string, 0, len(r.faults))
	for kind, n := range r.faults {
		total += n
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	row("faults", "%d", total)
	for _, kind := range kinds {
		row("  "+kind, "%d", r.faults[kind])
	}
	r.tally.count(func(t *tally) {
		row("commits", "%d", t.commits)
		row("  whose answer was lost", "%d, of %d such", t.found, t.unknown)
		row("  XA, decided after a restart", "%d", t.astride)
		row("rolled back, or never ended", "%d", t.rolledBack+t.failed)
		row("keys committed", "%d", t.keys)
	})
	p := r.pairs
	row("pairs of key and cache", "%d provable", p.provable())
	row("  gone", "%d", p.gone)
	row("  lost", "%d", p.lost)
	row("  not provable", "%d: not set %d, cache killed %d, set again %d, not committed %d",
		p.unset+p.emptied+p.overwritten+p.void, p.unset, p.emptied, p.overwritten, p.void)
	row("longest recovery", "%v (from the end of a storm until all committed before was gone everywhere)", r.longest.Round(ms))
	row("  of the checkpoint", "%v", r.caughtUp.Round(ms))
	row("starts of the daemon", "%d; %d more found no source", r.starts-r.refused, r.refused)
	for _, e := range experiences {
		row("  "+e.name, "%d", r.met[e.name])
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	for _, f := range r.findings {
		fmt.Fprintf(out, "FOUND %s\n", f)
	}
	for _, l := range r.losses {
		from, to := l.committing()
		fmt.Fprintf(out, "LOST of write %d (%s), committed %s – %s: %d pairs in %s: %s\n", l.id, l.what,
			from.Format(clock), to.Format(clock), l.lost, strings.Join(l.caches, " "), some(l.keys))
		for _, place := range l.places {
			fmt.Fprintf(out, "  in the log: %s\n", place)
		}
		for _, d := range l.near {
			fmt.Fprintf(out, "  near: %s\n", d)
		}
	}
	if r.folder != "" {
		fmt.Fprintf(out, "The daemon's log is kept in %s\n", r.folder)
	}
	return nil
}

// some names a few of many keys, without what only makes them long.
func some(keys []string) string {
	const most = 5
	var names []string
	for _, key := range keys[:min(most, len(keys))] {
		names = append(names, strings.TrimRight(key, "x"))
	}
	if len(keys) > most {
		names = append(names, fmt.Sprintf("and %d more", len(keys)-most))
	}
	return strings.Join(names, " ")
}
