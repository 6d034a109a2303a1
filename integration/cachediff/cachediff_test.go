package main

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// testWriter is a test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(text []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(text), "\n"))
	return len(text), nil
}

// seed is what SEED says; else every day brings another.
func seed(t *testing.T) uint64 {
	t.Helper()
	o := options{seed: uint64(time.Now().Unix()/86400) * 1_000_000}
	if given := os.Getenv("SEED"); given != "" {
		if err := o.read("1", given, ""); err != nil {
			t.Fatal(err)
		}
	}
	return o.seed
}

// staged starts a server and a memcached beside it, for a test.
func staged(t *testing.T, subject string, through func(string) (string, error)) *stage {
	t.Helper()
	servers.Need(t, servers.KindMemcached, servers.KindMemcachedOld)
	s, err := set(t.Context(), subject, "memcached", through)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// agree compares for a while, some programs at least, and shows what differs.
func agree(t *testing.T, s *stage, lasts time.Duration, p ...profile) {
	t.Helper()
	if slices.ContainsFunc(p, profile.time) {
		if err := s.align(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := comparison{world: s.world, seed: seed(t), lasts: lasts, least: 50, side: 25, most: 3, shrink: patience, profiles: p}
	r, err := c.compare(t.Context())
	for _, f := range r.findings {
		t.Error("the answers differ:")
		if err := f.print(testWriter{t}, s.world.subject.name, s.world.reference.name); err != nil {
			t.Error(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestMemcachedIsNoDifferentFromItself(t *testing.T) {
	t.Parallel()
	agree(t, staged(t, "memcached", nil), 3*time.Second, mixed, meta, bulk)
}

func TestAnOlderMemcachedIsFoundOut(t *testing.T) {
	t.Parallel()
	s := staged(t, "old", nil)
	c := comparison{world: s.world, seed: seed(t), lasts: patience, most: 1, shrink: patience, profiles: []profile{mixed}}
	r, err := c.compare(t.Context())
	if err != nil || len(r.findings) != 1 || r.findings[0].words() > 3 {
		t.Errorf("%v after %d programs: %+v", err, r.programs, r.findings)
	}
}

// A seed that is printed must bring the same program another day.
func TestAProgramFollowsFromItsSeed(t *testing.T) {
	for p := range profiles {
		if a, b := generate(5, p, 3), generate(5, p, 3); !reflect.DeepEqual(a, b) {
			t.Errorf("%v: two programs of a seed differ", p)
		}
		if a, b := generate(5, p, 3), generate(6, p, 3); reflect.DeepEqual(a.steps, b.steps) {
			t.Errorf("%v: two seeds have the same program", p)
		}
	}
}

// docs/cache.md says which commands mccache answers otherwise, on purpose.
func TestProfilesKeepAwayFromWhatIsMeantToDiffer(t *testing.T) {
	for p := range profiles {
		programs := uint64(500)
		if p == bulk {
			programs = 20 // large ones
		}
		for n := range programs {
			for _, s := range generate(n, p, 2).steps {
				for _, c := range s.commands {
					check(t, p, n, c)
				}
			}
		}
	}
}

func check(t *testing.T, p profile, n uint64, c command) {
	t.Helper()
	line, _, _ := strings.Cut(strings.TrimPrefix(string(c), string(alone)), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "delete":
		if len(words) > 2 && words[2] != "0" && words[2] != "noreply" && words[2] != "x" {
			t.Errorf("%v %d: a delete with seconds: %v", p, n, c)
		}
	case "get", "gets", "gat", "gats", "add", "replace", "append", "prepend", "cas", "incr", "decr", "touch":
		if p.stubs() && len(words) > 3 {
			t.Errorf("%v %d: a classic command that may meet a stub: %v", p, n, c)
		}
	case "mg", "md", "ms":
		for _, w := range words[1:] {
			if !p.stubs() && len(words) > 2 && (words[0] == "mg" && w[0] == 'N' && len(w) > 1 && w != "Nx" || words[0] != "mg" && w[0] == 'I') {
				t.Errorf("%v %d: it makes a stub or a stale item: %v", p, n, c)
			}
		}
	case "lease-get", "lease-set", "flush_all", "watch":
		if words[0] != "flush_all" || len(words) == 1 {
			t.Errorf("%v %d: %v", p, n, c)
		}
	}
}

func TestClocksAreBroughtInStepHoweverFarApart(t *testing.T) {
	t.Parallel()
	s := staged(t, "memcached", nil)
	if _, err := s.world.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.reference.Freeze(); err != nil {
		t.Fatal(err)
	}
	err := pause(t.Context(), 3*time.Second/2) // it moves when it is thawed, half a second away
	if err = errors.Join(err, s.reference.Thaw()); err != nil {
		t.Fatal(err)
	}
	if err := s.align(t.Context()); err != nil {
		t.Error(err)
	}
}
