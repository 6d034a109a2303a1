package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestQuantilesOfTheHistogram(t *testing.T) {
	h := new(histogram)
	for i := range int64(100_000) {
		h.add(i * 1000)
	}
	for _, q := range []float64{0.001, 0.5, 0.99, 0.999, 1} {
		want := time.Duration(q * 100_000 * 1000)
		if got := h.quantile(q); got < want-time.Microsecond || got > want+want/64+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	for _, ns := range []int64{0, 1, 63, 64, 65, 1000, 123_456_789, 1 << 40} {
		if b := bucket(ns); upTo(b) < ns || b > 0 && upTo(b-1) >= ns {
			t.Errorf("%d is in bucket %d, which ends with %d; the one before with %d", ns, b, upTo(b), upTo(b-1))
		}
	}
}

func TestTheClientsPartDecidesWhichRatioCounts(t *testing.T) {
	mk := func(l layout, client, server time.Duration) row {
		ours := span{wall: time.Second, client: client, server: server, keys: 120}
		theirs := span{wall: time.Second, client: client, server: 2 * server, keys: 100}
		return row{group: group{layout: l}, spans: [2][]span{{theirs}, {ours}}}
	}
	if r := mk(layouts[0], 800*time.Millisecond, 400*time.Millisecond); r.clientBound() || r.counts().median != 1.2 {
		t.Errorf("a client that works 80 %% of its time: bound %v, counts %v", r.clientBound(), r.counts())
	}
	if r := mk(layouts[0], 900*time.Millisecond, 400*time.Millisecond); !r.clientBound() || r.counts().median != 2.4 {
		t.Errorf("a client that works 90 %% of its time: bound %v, counts %v", r.clientBound(), r.counts())
	}
}

func TestATableGoesBetweenItsMarkers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.md")
	const head, tail = "# Title\n<!-- a: begin -->\n", "<!-- a: end -->\nmore\n<!-- b: begin -->\n<!-- b: end -->\n"
	if err := os.WriteFile(path, []byte(head+"old\n"+tail), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := writeBetween(path, "a", "new\n"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if want := head + "\nnew\n\n" + tail; err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if err := writeBetween(path, "c", "new"); err == nil || !strings.Contains(err.Error(), "<!-- c: begin -->") {
		t.Errorf("without markers: %v", err)
	}
}

func TestTheDocumentHasTheMarkers(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bench-cache", "bench-cache-memory"} {
		if _, err := place(string(text), name, ""); err != nil {
			t.Error(err)
		}
	}
}

func TestThePlanIsChosenByNames(t *testing.T) {
	groups := plan(regexp.MustCompile("^t1 100k of 135B get 50$"))
	if len(groups) != 1 || len(groups[0].shapes) != 1 {
		t.Errorf("%d groups", len(groups))
	}
	all := 0
	for _, g := range plan(regexp.MustCompile("")) {
		for _, s := range g.shapes {
			all++
			if s.goalFor(g.filling.size) == 0 {
				t.Errorf("%s has no goal", g.name(s))
			}
		}
	}
	if all < 60 {
		t.Errorf("%d shapes in all", all)
	}
}

func TestBusyTicksAreAllButIdle(t *testing.T) {
	n, err := busyTicks("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if err != nil || n != 63 {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := busyTicks("intr 1"); err == nil {
		t.Error("nonsense was read")
	}
}
