package batcher

import (
	"context"
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
		l, w := newTestLog(t, 8)
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
