package batcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

func TestASecondDeleteFollowsTheFirstAtItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 320 * time.Millisecond
		l, w := newTestLog(t, 16)
		l.SetVisible(AllVisible)
		leader := newCursor(t, l)
		c, err := leader.Trail(binlog.Position{}, delay)
		must(t, err)

		// The leader acknowledges one transaction a millisecond.
		var acked sync.Map // by key, when
		seen := make(chan int)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			n := 0
			defer func() { seen <- n }()
			for {
				var b Batch
				if c.Next(ctx, &b, Limits{}, bare) != nil {
					return
				}
				for _, key := range strings.Fields(string(b.Wire)) {
					at, _ := acked.Load(key)
					after := time.Since(at.(time.Time))
					if after < delay || after > delay+delay/grains {
						t.Errorf("%s was taken %v after the leader acknowledged it", key, after)
					}
					n++
				}
				if _, err := c.Ack(&b, 0); err != nil {
					t.Error(err)
				}
			}
		}()
		const transactions = 2000
		for n := range uint64(transactions) {
			key := strings.Repeat("k", 1+int(n)%7) + time.Now().Format("150405.000")
			appendTransaction(t, w, n+1, key)
			w.Publish()
			if n%500 == 0 {
				time.Sleep(10 * delay) // idle
			}
			acked.Store(key, time.Now())
			takeAll(t, leader)
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * delay)
		cancel()
		if n := <-seen; n != transactions {
			t.Fatalf("took %d of %d keys", n, transactions)
		}
		wantSet(t, c, uuid+":1-2000")
		c.Close()
		leader.Close()
		if len(leader.trailers) != 0 {
			t.Fatal("closed, and still told")
		}
	})
}

func TestASecondDeleteWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 4)
		l.SetVisible(AllVisible)
		leader := newCursor(t, l)
		c, err := leader.Trail(binlog.Position{}, time.Second)
		must(t, err)
		appendTransaction(t, w, 1, "a")
		w.Publish()
		var b, second Batch
		must(t, leader.Next(t.Context(), &b, Limits{}, bare))
		done := waiting(t.Context(), c, &second, Limits{})
		time.Sleep(time.Hour) // the cache does not answer
		synctest.Wait()
		select {
		case <-done:
			t.Fatalf("took %q before the first delete was acknowledged", second.Wire)
		default:
		}
		_, err = leader.Ack(&b, 0)
		must(t, err)
		start := time.Now()
		must(t, <-done)
		if got := string(second.Wire); got != "a " || time.Since(start) != time.Second {
			t.Fatalf("took %q after %v", got, time.Since(start))
		}
	})
}

// TestASecondDeleteCatchesUp: who could not send for a while finds all that became
// due meanwhile, and not more.
func TestASecondDeleteCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 4)
		l.SetVisible(AllVisible)
		leader := newCursor(t, l)
		c, err := leader.Trail(binlog.Position{}, time.Second)
		must(t, err)
		for n := range uint64(100) {
			appendTransaction(t, w, n+1, string('a'+rune(n%26))+"k")
			w.Publish()
			takeAll(t, leader)
			time.Sleep(100 * time.Millisecond)
		}
		var b Batch
		got := len(strings.Fields(next(t, c, &b, Limits{}))) + b.Repeated
		// The one at 9.0 s is due; those since are not.
		if got != 91 {
			t.Fatalf("took %d keys", got)
		}
	})
}

// Where the Log holds less than what is read in a delay, the second deletes are early:
// the first ones wait for nobody, and nobody falls out.
func TestSecondDeletesAreEarlyWhereTheLogIsShorterThanTheirDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 8)
		l.SetVisible(AllVisible)
		leader := newCursor(t, l)
		c, err := leader.Trail(binlog.Position{}, time.Hour)
		must(t, err)
		first, second := 0, make(chan int)
		go func() {
			n := 0
			for {
				var b Batch
				err := c.Next(t.Context(), &b, Limits{}, bare)
				if errors.Is(err, io.EOF) {
					second <- n
					return
				}
				must(t, err)
				n += b.Len()
				if _, err := c.Ack(&b, 0); err != nil {
					t.Error(err)
				}
			}
		}()
		const transactions = 2000
		began := time.Now()
		for n := range uint64(transactions) {
			begin(t, w, n+1)
			for w.Key(fmt.Appendf(nil, "%0100d", n)) != nil {
				must(t, l.WaitRoom(t.Context(), 1))
			}
			must(t, w.End(100*n+200))
			w.Publish()
			first += len(takeAll(t, leader))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the first deletes have waited %v", took)
		}
		if l.Hurries() == 0 {
			t.Error("nobody was hurried: the test shows nothing")
		}
		must(t, w.Close())
		if n := <-second; first != transactions || n != transactions {
			t.Fatalf("took %d and %d of %d keys", first, n, transactions)
		}
		wantSet(t, c, uuid+":1-2000")
		// What is not in the way waits as ever.
		if took := time.Since(began); took < time.Hour {
			t.Errorf("the last of the second deletes came after %v", took)
		}
	})
}

// Where another cursor is faster, the writer keeps pace with that one, and who falls
// out is whoever is a whole Log behind.
func TestSecondDeletesHoldNobodyElseUp(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	other, leader := newCursor(t, l), newCursor(t, l)
	c, err := leader.Trail(binlog.Position{}, time.Hour)
	must(t, err)
	for n := range uint64(10) {
		fill(t, w, n+1)
		takeAll(t, leader)
		takeAll(t, other)
	}
	var b Batch
	if err := c.Next(t.Context(), &b, Limits{}, bare); !errors.Is(err, ErrFellOut) {
		t.Fatalf("the second delete, ten Logs behind: %v", err)
	}
}
