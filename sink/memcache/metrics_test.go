package memcache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/mcconn"
)

// A delete counts as late as it was: one that was refused until it was taken, one that
// comes a second time on purpose not at all.
func TestEachDeleteIsCountedWithHowLateItWas(t *testing.T) {
	for _, second := range []bool{false, true} {
		t.Run(fmt.Sprintf("second %v", second), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { countDeletes(t, second) })
		})
	}
}

func countDeletes(t *testing.T, second bool) {
	t.Helper()
	r := &refuser{taken: make(chan string, 10)}
	r.refuses.Store(1)
	var serving sync.WaitGroup
	defer serving.Wait()
	s := New(Config{Cluster: "east", Targets: []string{"a:1"}, Protocol: mcconn.Text, Second: second, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		serving.Go(func() {
			defer func() { _ = theirs.Close() }()
			r.serve(theirs)
		})
		return ours, nil
	}})
	log := batcher.NewLog(batcher.Config{})
	cursor, err := log.NewCursor(binlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	w := log.Writer()
	committed := time.Now().Add(-time.Hour).UnixMicro()
	if _, err := w.Begin(batcher.Transaction{Time: committed, Read: committed}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Key([]byte("a")), w.Key([]byte("b")), w.Key([]byte("c")), w.End(100), w.Close()); err != nil {
		t.Fatal(err)
	}
	log.SetVisible(1)
	began := time.Now()
	if err := s.Run(t.Context(), cursor); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began).Seconds()
	c := &s.counters
	if n := c.sizes.Count(); n != 2 {
		t.Errorf("%d writes, want the batch and the one that was refused", n)
	}
	if second {
		if c.sinceCommit.Count() != 0 || c.sinceVisible.Count() != 0 {
			t.Error("a second delete counts as late")
		}
		return
	}
	if c.sinceCommit.Count() != 3 || c.sinceVisible.Count() != 3 {
		t.Errorf("counted %d and %d deletes, want 3", c.sinceCommit.Count(), c.sinceVisible.Count())
	}
	if late := c.sinceCommit.Quantile(0); late < 3600 || late > 4000 {
		t.Errorf("committed an hour ago, and counted as %v s late", late)
	}
	// The one that was refused waited for a tenth of a second at least.
	first, last := c.sinceVisible.Quantile(0), c.sinceVisible.Quantile(1)
	if last < refusedWait.Seconds() || last > 1.1*took || first >= last {
		t.Errorf("visible to acknowledged from %v to %v s; it took %v", first, last, took)
	}
}

// A clock that is ahead makes no delete early.
func TestWhatIsNotKnownIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewMetrics(nil).of("east")
		now := time.Now().UnixMicro()
		c.delivered(delay{}, 5, now)
		c.delivered(delay{committed: now, visible: now}, 0, now)
		c.delivered(delay{committed: now + 1e6}, 2, now)
		if c.sinceCommit.Count() != 2 || c.sinceVisible.Count() != 0 || c.sinceCommit.Quantile(1) != 0 {
			t.Errorf("counted %d since the commit and %d since visible, at most %v s", c.sinceCommit.Count(), c.sinceVisible.Count(), c.sinceCommit.Quantile(1))
		}
	})
}
