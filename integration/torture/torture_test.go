package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// short is a torture of a quarter of a minute, where the machine is not too busy for it.
func short(t *testing.T, kind servers.Kind, seed uint64) options {
	t.Helper()
	servers.Need(t, needed(kind)...)
	return options{
		kind: kind, seed: seed, lasts: 8 * time.Second, least: 100, patience: 5 * time.Minute,
		race: build.Raced(), keep: os.TempDir(), progress: logWriter{t},
	}
}

// seed is what TORTURE_SEED says; else every day brings another.
func seed(t *testing.T) uint64 {
	t.Helper()
	o := options{seed: uint64(time.Now().Unix() / 86400)}
	if given := os.Getenv("TORTURE_SEED"); given != "" {
		if err := o.read("1", given, "mysql"); err != nil {
			t.Fatal(err)
		}
	}
	return o.seed
}

func TestNothingIsLostWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, kind := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB} {
		t.Run(kind.Name(), func(t *testing.T) {
			t.Parallel()
			r := run(t, short(t, kind, seed(t)))
			if !r.intact() {
				t.Error("a promise was broken; the report says which")
			}
			if r.pairs.provable() < 1000 || len(r.faults) < 5 || r.tally.commits < 100 {
				t.Errorf("%d pairs, %d kinds of faults and %d commits prove little", r.pairs.provable(), len(r.faults), r.tally.commits)
			}
		})
	}
}

// A daemon that begins without its checkpoint loses what was committed while it was
// away. If that were not found out, nothing else would be.
func TestLostKeysAreFoundOut(t *testing.T) {
	t.Parallel()
	o := short(t, servers.KindMariaDB, 3)
	o.forgetful, o.lasts, o.least, o.patience, o.keep = true, 4*time.Second, 0, 3*time.Second, t.TempDir()
	r := run(t, o)
	if r.intact() || r.lost == 0 || r.pairs.lost == 0 {
		t.Fatalf("%d pairs lost, %d in the end, found: %s", r.lost, r.pairs.lost, r.findings)
	}
	for _, l := range r.losses {
		if len(l.places) == 0 || !strings.Contains(l.places[0], "bin.0") {
			t.Errorf("write %d is at %q in the log", l.id, l.places)
		}
	}
	// Of those behind it some may be late, and not lost: the first is.
	if len(r.losses) == 0 {
		t.Fatal("none is explained")
	}
	if l := r.losses[0]; !slices.ContainsFunc(l.near, func(d deed) bool { return strings.HasPrefix(d.kind, "daemon ") }) {
		t.Errorf("write %d was lost, and near that were only %v", l.id, l.near)
	}
	if kept, err := os.ReadDir(r.folder); err != nil || len(kept) < 4 {
		t.Errorf("of the daemon's log and what belongs to it %v was kept: %v", kept, err)
	}
}

func TestTheSameSeedBringsTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		one, other := newForecast(seed), newForecast(seed)
		for range 20 {
			if a, b := fmt.Sprint(one.next(time.Minute)), fmt.Sprint(other.next(time.Minute)); a != b {
				t.Fatalf("seed %d: %s and %s", seed, a, b)
			}
		}
		for writer := range 7 {
			one, other := newAuthor(seed, writer, writer > 3), newAuthor(seed, writer, writer > 3)
			for range 200 {
				a, b := one.next(), other.next()
				if a.id != b.id || !slices.Equal(a.statements, b.statements) || a.ending != b.ending {
					t.Fatalf("seed %d: %v and %v", seed, a.statements, b.statements)
				}
			}
		}
	}
	if fmt.Sprint(newForecast(1).next(time.Minute)) == fmt.Sprint(newForecast(2).next(time.Minute)) {
		t.Error("two seeds bring the same storm")
	}
}

func TestAStormHurtsOneThingOnceAtATime(t *testing.T) {
	t.Parallel()
	kinds := make(map[string]bool)
	for seed := range uint64(50) {
		f := newForecast(seed)
		for range 10 {
			s := f.next(time.Minute)
			until := make(map[target]time.Duration)
			for _, x := range s.faults {
				if x.at < until[x.target] || x.at+x.lasts > s.lasts || x.n >= howMany[x.thing] {
					t.Fatalf("seed %d: %v, behind %v, in a storm of %v", seed, x, until[x.target], s.lasts)
				}
				until[x.target] = x.at + x.lasts
				kinds[x.kind()] = true
			}
		}
	}
	if len(kinds) != len(deck) {
		t.Errorf("%d of %d kinds of faults come to pass", len(kinds), len(deck))
	}
}

// run tortures, and logs the report.
func run(t *testing.T, o options) *report {
	t.Helper()
	r, err := torture(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", text.String())
	return r
}

// logWriter writes to the test's log.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
