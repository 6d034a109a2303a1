package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// max_rate holds while what waits is old, and not while it is new.
func TestAClusterIsHeldToItsRateAsLongAsItIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := batcher.NewLog(batcher.Config{})
		log.SetVisible(batcher.AllVisible)
		cursor, err := log.NewCursor(binlog.Position{})
		if err != nil {
			t.Fatal(err)
		}
		w := log.Writer()
		offset := uint64(4)
		commit := func(at time.Time) {
			t.Helper()
			_, err := w.Begin(batcher.Transaction{Start: offset, Time: at.UnixMicro()})
			offset += 100
			if err := errors.Join(err, w.Key([]byte("k")), w.End(offset)); err != nil {
				t.Fatal(err)
			}
			w.Publish()
		}
		acknowledge := func() {
			t.Helper()
			var b batcher.Batch
			err := cursor.Next(t.Context(), &b, batcher.Limits{}, func(dst []byte, inv *batcher.Invalidation) []byte { return append(dst, inv.Key...) })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cursor.Ack(&b, 0); err != nil {
				t.Fatal(err)
			}
		}
		c := &cluster{Cluster: Cluster{Limit: rate.NewLimiter(rate.Inf, 10), MaxRate: 100}}
		l := &lane{cluster: c}
		want := func(held bool, when string) {
			t.Helper()
			time.Sleep(2 * rateEvery)
			synctest.Wait()
			if is := c.Limit.Limit() == 100; is != held {
				t.Fatalf("%s: held to its rate: %v, want %v", when, is, held)
			}
		}

		commit(time.Now().Add(-time.Hour))
		ended := make(chan struct{})
		ctx, end := context.WithCancel(t.Context())
		go func() { defer close(ended); l.keepRate(ctx, cursor, false) }()
		want(true, "an hour behind")
		acknowledge()
		want(false, "nothing waits")
		commit(time.Now())
		want(false, "a commit waits that is new")
		time.Sleep(behindAt)
		want(true, "it waits too long")
		// Another lane of the cluster is behind when this one is not any more.
		other := &lane{cluster: c}
		c.behind(other, true)
		acknowledge()
		want(true, "another lane is behind")
		c.behind(other, false)
		want(false, "none is")
		end()
		<-ended
	})
}
