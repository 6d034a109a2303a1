package pipeline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/extract"
)

// A reading for catching up keeps pace with the fastest that it serves, so one that
// is far ahead, and has only to pass over what it has, is not to be among them.
func TestOnlyLanesInStepShareAReadingForCatchingUp(t *testing.T) {
	at := func(file string, offset uint64) binlog.Position {
		return binlog.Position{File: binlog.File{Name: file, Server: "1"}, Offset: offset}
	}
	const capacity = 1 << 20
	log := batcher.NewLog(batcher.Config{Bytes: capacity, From: at("bin.000001", 4)})
	s := &stream{reading: &reading{log: log}, private: true, lanes: map[*lane]struct{}{
		{position: at("bin.000003", 1000)}:   {},
		{position: at("bin.000005", 100000)}: {},
	}}
	for _, test := range []struct {
		at   binlog.Position
		want bool
	}{
		{at("bin.000002", 4), true},
		{at("bin.000003", 1000), true},
		{at("bin.000004", 1<<40), true},
		{at("bin.000005", 100000), true},
		{at("bin.000005", 100000+capacity), true},
		{at("bin.000005", 100001+capacity), false},
		{at("bin.000006", 4), false},
		{binlog.Position{File: binlog.File{Name: "bin.000005", Server: "2"}, Offset: 4}, false},
	} {
		if got := new(Pipeline).inStep(s, test.at); got != test.want {
			t.Errorf("%s is in step: %v, want %v", test.at, got, test.want)
		}
	}
}

// gone is a source that has lost what is asked for.
type gone struct{}

func (gone) Run(context.Context, *binlog.Position, binlog.Handler) error {
	return &binlog.GapError{Source: "the source", What: "it is gone"}
}

// The Log ends before it is known why: whoever is served from it waits until it is.
func TestAGapIsNeverTakenForTheLogsEnd(t *testing.T) {
	for range 3000 {
		var clusters []Cluster
		for _, name := range []string{"east", "west"} {
			clusters = append(clusters, Cluster{Name: name, Connections: []Connection{{Sink: discard{}}}})
		}
		p, err := New(Config{
			Open:     func() (Source, *binlog.Visibility) { return gone{}, nil },
			Tags:     []string{"mc"},
			Spool:    checkpoint.TemporarySpool(t.TempDir()),
			Save:     func(map[string]binlog.Position) error { return nil },
			Clusters: clusters,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Run(t.Context())
		if !errors.Is(err, ErrAllParked) || !strings.Contains(err.Error(), "cluster east") || !strings.Contains(err.Error(), "cluster west") {
			t.Fatalf("it ended with %v, want both clusters' gaps", err)
		}
	}
}

// What comes of a flush that does not mend anything is another gap at once. That must
// not go on for ever, for it empties the caches every time.
func TestAFlushThatMendsNothingIsNotRepeatedForEver(t *testing.T) {
	flushes := 0
	p, err := New(Config{
		Open:  func() (Source, *binlog.Visibility) { return gone{}, nil },
		Tags:  []string{"mc"},
		Spool: checkpoint.TemporarySpool(t.TempDir()),
		Save:  func(map[string]binlog.Position) error { return nil },
		Now:   func(context.Context) (binlog.Position, error) { return binlog.Position{Offset: 100}, nil },
		Clusters: []Cluster{{
			Name: "east", Connections: []Connection{{Sink: discard{}}},
			Flush: func(context.Context) error { flushes++; return nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); !errors.Is(err, ErrAllParked) {
		t.Fatalf("it ended with %v, want a parked cluster", err)
	}
	if flushes == 0 || flushes > 3 {
		t.Errorf("%d flushes, want one to three", flushes)
	}
}

// A rule that does not fit its table is a gap at every row: two flushes do not mend it,
// and so a third would not.
func TestARuleThatDoesNotFitIsNotFlushedForEver(t *testing.T) {
	for _, test := range []struct {
		name   string
		always bool
		pause  time.Duration
		want   int
	}{
		{"every row of the table", true, 0, 2},
		{"once in a while", true, 2 * misfitWithin, 6},
		{"single rows", false, 0, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			var said bytes.Buffer
			flushes := 0
			offset := uint64(100)
			p, err := New(Config{
				Open: func() (Source, *binlog.Visibility) { return gone{}, nil }, Tags: []string{"mc"}, Spool: checkpoint.TemporarySpool(t.TempDir()),
				Save: func(map[string]binlog.Position) error { return nil },
				Now: func(context.Context) (binlog.Position, error) {
					offset += 100
					return binlog.Position{Offset: offset}, nil
				},
				Logger: slog.New(slog.NewTextHandler(&said, nil)),
				Clusters: []Cluster{{
					Name: "east", Connections: []Connection{{Sink: discard{}}},
					Flush: func(context.Context) error { flushes++; return nil },
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			c := p.clusters[0]
			l := c.lanes[0]
			for range 6 {
				gap := &binlog.GapError{Keys: true, Err: &extract.UnservedError{Rule: "shop.users", Schema: "shop", Table: "users", Lacks: test.always, Always: test.always}}
				if err = p.mend(t.Context(), l, gap); err != nil {
					break
				}
				at := l.at()
				at.Offset += 7 // something was delivered
				l.moveTo(at)
				c.flushedFor = c.flushedFor.Add(-test.pause)
			}
			if flushes != test.want || (err != nil) != (test.want < 6) {
				t.Errorf("%d flushes, %v; want %d", flushes, err, test.want)
			}
			if test.want < 6 && !strings.Contains(said.String(), "change the rule, or remove it, and start again") {
				t.Errorf("it does not say how to go on: %s", said.String())
			}
		})
	}
}
