package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// class is the number of a size class, or of a connection, before a statistic's name.
var class = regexp.MustCompile(`(^|:)\d+:`)

// names returns the names of a list of statistics in order, without the numbers in
// them, each run of the same ones once.
func names(t *testing.T, to *target, sub string) []string {
	t.Helper()
	_, all, err := to.counters(sub)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range all {
		all[i] = class.ReplaceAllString(name, "${1}#:")
	}
	return all
}

// sameNames holds the lists of statistics to each other; they are read by programs that
// look for names.
func sameNames(t *testing.T, subject, reference *servers.Memcached) {
	t.Helper()
	s := stage{subject: subject, reference: reference}
	if err := s.connect(t.Context(), subject.Addr()); err != nil {
		t.Fatal(err)
	}
	w := s.world
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, target := range w.both() {
		for _, text := range []string{"set stats:a 0 0 3\r\nabc\r\n", "get stats:a\r\n"} {
			line, err := target.ask(text)
			if err != nil {
				t.Fatal(err)
			}
			for strings.HasPrefix(line, "VALUE") || line == "abc" {
				if line, err = target.line(text); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, sub := range []string{"", "settings", "items", "slabs", "sizes", "s", "settings more"} {
		one, other := names(t, w.subject, sub), names(t, w.reference, sub)
		if !slices.Equal(one, other) {
			t.Errorf("stats %s has the names\n%q, and\n%q", sub, one, other)
		}
	}
	// Of connections each server has as many as it likes; each line is one it has, too.
	one, other := names(t, w.subject, "conns"), names(t, w.reference, "conns")
	for _, name := range other {
		if !slices.Contains(one, name) {
			t.Errorf("stats conns lacks %s", name)
		}
	}
	for _, sub := range []string{"reset", "nosuch", "reset", "item"} {
		a, errA := w.subject.ask("stats " + sub + "\r\n")
		b, errB := w.reference.ask("stats " + sub + "\r\n")
		if a != b || errA != nil || errB != nil {
			t.Errorf("stats %s: %q, and %q; %v, %v", sub, a, b, errA, errB)
		}
	}
}

func TestStatisticsHaveTheSameNames(t *testing.T) {
	t.Parallel()
	sameNames(t, servers.Memcache(t, servers.MemcachedConfig{}), servers.Memcache(t, servers.MemcachedConfig{}))
}
