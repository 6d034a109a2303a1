package batcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// recalled is what a Log remembers, a line for each key.
func recalled(t *testing.T, l *Log) (Reach, []string) {
	t.Helper()
	var keys []string
	reach, err := l.Recall(t.Context(), func(inv *Invalidation) bool {
		keys = append(keys, fmt.Sprintf("%s %s:%d %d", inv.Key, inv.File.Name, inv.Start, inv.Time))
		return true
	})
	must(t, err)
	return reach, keys
}

func TestTheLogRemembersWhatWasAcknowledged(t *testing.T) {
	l, w := newTestLog(t, 4)
	c := newCursor(t, l)
	appendTransaction(t, w, 1, "a", "b")
	appendTransaction(t, w, 2)
	seq := appendTransaction(t, w, 3, "c")
	appendTransaction(t, w, 4, "hidden")
	w.Publish()
	l.SetVisible(seq)
	if got := takeAll(t, c); len(got) != 3 {
		t.Fatalf("took %v", got)
	}
	reach, keys := recalled(t, l)
	if want := []string{"a bin.000001:100 1", "b bin.000001:100 1", "c bin.000001:300 3"}; !slices.Equal(keys, want) {
		t.Errorf("recalled %q, want %q", keys, want)
	}
	if want := (Reach{File: testFile, Start: 100, Time: 1, Whole: true, Waiting: 1}); reach != want {
		t.Errorf("reach %+v, want %+v", reach, want)
	}
	l.SetVisible(AllVisible)
	if reach, keys = recalled(t, l); len(keys) != 4 || reach.Waiting != 0 {
		t.Errorf("recalled %q, %d wait", keys, reach.Waiting)
	}
}

// Where the log was idle there is no commit whose time could be told.
func TestTheReachHasTheTimeOfACommit(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	must(t, w.Idle(77))
	w.Publish()
	if reach, _ := recalled(t, l); reach.Start != 77 || reach.Time != 0 {
		t.Errorf("reach %+v of an idle log", reach)
	}
	appendTransaction(t, w, 5, "k")
	w.Publish()
	if reach, _ := recalled(t, l); reach.Start != 77 || reach.Time != 5 {
		t.Errorf("reach %+v, want the time of the first commit", reach)
	}
}

// What a transaction of which the beginning is gone had is not known: the reach begins
// behind it.
func TestTheReachBeginsWithTheOldestWholeTransaction(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	n := uint64(0)
	for range 3 {
		n++
		begin(t, w, n)
		for i := 0; i < 2*minChunk/50; i++ {
			must(t, w.Key([]byte(fmt.Sprintf("%048d", i))))
			if i%20 == 0 {
				w.Publish()
				takeAll(t, c)
			}
		}
		must(t, w.End(100*n+100))
		w.Publish()
		takeAll(t, c)
	}
	reach, keys := recalled(t, l)
	if reach.Whole || reach.Start != 300 || reach.Time != 3 {
		t.Errorf("reach %+v, want the third transaction", reach)
	}
	if first, _, _ := strings.Cut(keys[0], " "); first == strings.Repeat("0", 48) {
		t.Error("the oldest transaction is whole: the test tests nothing")
	}
}

func TestTheLatestAreInTheLastChunks(t *testing.T) {
	l, w := newTestLog(t, 8)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	for n := uint64(1); n <= 2000; n++ {
		appendTransaction(t, w, n, fmt.Sprintf("k%d", n))
		w.Publish()
		takeAll(t, c)
	}
	last := func(chunks int) (n int, newest string) {
		must(t, l.Latest(t.Context(), chunks, func(inv *Invalidation) bool {
			n++
			newest = string(inv.Key)
			return true
		}))
		return n, newest
	}
	_, all := recalled(t, l)
	one, newest := last(1)
	if two, _ := last(2); one == 0 || two <= one || two >= len(all) || newest != "k2000" {
		t.Errorf("one chunk has %d keys, two have %d, all %d; the newest is %s", one, two, len(all), newest)
	}
	if many, _ := last(100); many != len(all) {
		t.Errorf("a hundred chunks have %d, all have %d", many, len(all))
	}
}

func TestRecallingEndsWhenItIsTold(t *testing.T) {
	l, w := newTestLog(t, 8)
	l.SetVisible(AllVisible)
	for n := uint64(1); n <= 200; n++ {
		appendTransaction(t, w, n, "k")
	}
	w.Publish()
	seen := 0
	_, err := l.Recall(t.Context(), func(*Invalidation) bool { seen++; return seen < 3 })
	if err != nil || seen != 3 {
		t.Errorf("%d keys were visited, %v", seen, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := l.Recall(ctx, func(*Invalidation) bool { return true }); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
}

// Whoever recalls meets the writer, cursors and truncations at every turn, sees no key
// that was never written, and is in nobody's way.
func TestRecallingGoesOnWhileTheLogDoes(t *testing.T) {
	l, w := newTestLog(t, 4)
	c := newCursor(t, l)
	done := make(chan struct{})
	var recalling sync.WaitGroup
	for range 2 {
		recalling.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				last := uint64(0)
				_, err := l.Recall(context.Background(), func(inv *Invalidation) bool {
					if want := fmt.Sprintf("key-of-%d", inv.Start/100); string(inv.Key) != want {
						t.Errorf("key %q, want %q", inv.Key, want)
						return false
					}
					if inv.Start < last {
						t.Errorf("transaction at %d behind that at %d", inv.Start, last)
						return false
					}
					last = inv.Start
					return true
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := uint64(1); n <= 20_000; n++ {
		seq := appendTransaction(t, w, n, fmt.Sprintf("key-of-%d", n))
		if n%10 == 0 {
			w.Publish()
			l.SetVisible(seq - 5)
			takeAll(t, c)
		}
		if n%500 == 0 {
			if _, err := w.Truncate(); err != nil {
				t.Fatal(err)
			}
			takeAll(t, c)
		}
	}
	close(done)
	recalling.Wait()
	if l.chunks+len(l.free) > l.maxChunks {
		t.Errorf("%d chunks and %d free ones, of %d", l.chunks, len(l.free), l.maxChunks)
	}
}

func TestItIsRememberedWhenWhatWasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 100)
		l.SetVisible(AllVisible)
		c := newCursor(t, l)
		var acks Acks
		c.Remember(&acks)
		second := binlog.File{Name: "bin.000002", Server: "a"}
		acked := make(map[uint64]int64)
		var b Batch
		for n := uint64(1); n <= 3000; n++ {
			if n == 1500 {
				must(t, w.File(second))
			}
			appendTransaction(t, w, n, "k")
			w.Publish()
			next(t, c, &b, Limits{})
			time.Sleep(10 * time.Millisecond)
			must2(t)(c.Ack(&b, 0))
			acked[n] = time.Now().UnixMicro()
		}
		// A transaction that is half acknowledged is not.
		begin(t, w, 3001)
		must(t, w.Key([]byte("k")))
		w.Publish()
		next(t, c, &b, Limits{})
		must2(t)(c.Ack(&b, 0))
		if at := acks.Since(second, 300_100); at != 0 {
			t.Errorf("what has no end is acknowledged since %d", at)
		}
		now := time.Now().UnixMicro()
		for n := uint64(1); n <= 3000; n++ {
			file := testFile
			if n >= 1500 {
				file = second
			}
			off, age := acks.Since(file, 100*n)-acked[n], now-acked[n]
			if off < 0 || off > age/30+1 {
				t.Fatalf("%d was acknowledged %d µs ago, and is remembered as %d µs later", n, age, off)
			}
		}
		for name, file := range map[string]binlog.File{"later": {Name: "bin.000003", Server: "a"}, "another server's": {Name: "bin.000001", Server: "b"}} {
			if at := acks.Since(file, 4); at != 0 {
				t.Errorf("%s is acknowledged since %d", name, at)
			}
		}
	})
}

// A batch may end inside the first transaction of another file: what ended then stands
// in the file before.
func TestAnEndIsRememberedInItsOwnFile(t *testing.T) {
	l, w := newTestLog(t, 100)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	var acks Acks
	c.Remember(&acks)
	second := binlog.File{Name: "bin.000002", Server: "a"}
	appendTransaction(t, w, 50, "k")
	must(t, w.File(second))
	begin(t, w, 1)
	must(t, w.Key([]byte("l")))
	w.Publish()
	takeAll(t, c)
	if at := acks.Since(second, 100); at != 0 {
		t.Error("a transaction that has not ended is acknowledged")
	}
	must(t, w.End(200))
	w.Publish()
	takeAll(t, c)
	if acks.Since(second, 100) == 0 || acks.Since(testFile, 5000) == 0 {
		t.Error("what has ended is not remembered")
	}
}

// must2 is must for calls that return something beside.
func must2(t *testing.T) func(*Refused, error) {
	return func(_ *Refused, err error) {
		t.Helper()
		must(t, err)
	}
}

// BenchmarkRecall is what it costs to look a key up in a full Log, and BenchmarkLog what
// a key costs that is never looked up.
func BenchmarkRecall(b *testing.B) {
	l := NewLog(Config{})
	l.SetVisible(AllVisible)
	w := l.Writer()
	must(b, w.File(testFile))
	keys := 0
	for n := uint64(1); ; n++ {
		_, err := w.Begin(Transaction{GTID: gtid(n), Start: n * 100, Time: 1, Read: 1})
		must(b, err)
		if errors.Is(w.Key([]byte(fmt.Sprintf("user:%08d", n))), ErrFull) {
			w.Abort()
			break
		}
		must(b, w.End(n*100+100))
		keys++
	}
	w.Publish()
	b.ReportAllocs()
	for b.Loop() {
		found := 0
		if _, err := l.Recall(b.Context(), func(inv *Invalidation) bool {
			if string(inv.Key) == "user:00000001" {
				found++
			}
			return true
		}); err != nil || found != 1 {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric(float64(keys), "keys")
}
