package batcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// waiting takes a batch in a goroutine of its own, and returns when that waits.
func waiting(ctx context.Context, c *Cursor, b *Batch, lim Limits) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Next(ctx, b, lim, bare) }()
	synctest.Wait()
	return done
}

func TestNextWaitsForWhatCanBeReadAndNoLonger(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, l *Log, w *Writer)
		wake    func(t *testing.T, l *Log, w *Writer, c *Cursor)
		want    string
		err     error
	}{
		{
			name:    "published",
			prepare: func(t *testing.T, l *Log, w *Writer) { l.SetVisible(AllVisible) },
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) {
				appendTransaction(t, w, 1, "a")
				w.Publish()
			},
			want: "a",
		},
		{
			name: "visible",
			prepare: func(t *testing.T, l *Log, w *Writer) {
				appendTransaction(t, w, 1, "a")
				w.Publish()
			},
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) { l.SetVisible(1) },
			want: "a",
		},
		{
			name: "a key of a transaction that has not ended",
			prepare: func(t *testing.T, l *Log, w *Writer) {
				begin(t, w, 1)
				l.SetVisible(1)
			},
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) {
				must(t, w.Key([]byte("a")))
				w.Publish()
			},
			want: "a",
		},
		{
			name:    "a transaction without keys",
			prepare: func(t *testing.T, l *Log, w *Writer) { l.SetVisible(AllVisible) },
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) {
				appendTransaction(t, w, 1)
				w.Publish()
			},
		},
		{
			name: "a full chunk, published or not",
			prepare: func(t *testing.T, l *Log, w *Writer) {
				begin(t, w, 1)
				l.SetVisible(1)
			},
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) {
				for l.chunks == 1 {
					must(t, w.Key([]byte("a")))
				}
			},
			want: "a",
		},
		{
			name: "a transaction given up by a failover, and another source's",
			prepare: func(t *testing.T, l *Log, w *Writer) {
				appendTransaction(t, w, 1, "dropped")
				w.Publish()
			},
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) {
				_, err := w.Truncate()
				must(t, err)
				synctest.Wait()
				seq := appendTransaction(t, w, 2, "b")
				w.Publish()
				synctest.Wait()
				l.SetVisible(seq)
			},
			want: "b",
		},
		{
			name:    "the end",
			prepare: func(t *testing.T, l *Log, w *Writer) {},
			wake:    func(t *testing.T, l *Log, w *Writer, c *Cursor) { must(t, w.Close()) },
			err:     io.EOF,
		},
		{
			name:    "closed",
			prepare: func(t *testing.T, l *Log, w *Writer) {},
			wake:    func(t *testing.T, l *Log, w *Writer, c *Cursor) { c.Close() },
			err:     ErrClosed,
		},
		{
			name: "fallen out",
			prepare: func(t *testing.T, l *Log, w *Writer) {
				l.SetVisible(AllVisible)
			},
			wake: func(t *testing.T, l *Log, w *Writer, c *Cursor) {
				// As if c had been taken for one that waits elsewhere.
				fast := newCursor(t, l)
				l.mu.Lock()
				c.want = never
				c.limited = true
				l.mu.Unlock()
				for n := uint64(1); l.oldest.number == 0; n++ {
					appendTransaction(t, w, n, strings.Repeat("k", 200))
					w.Publish()
					takeAll(t, fast)
				}
			},
			err: ErrFellOut,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := newTestLog(t, 4)
				c := newCursor(t, l)
				test.prepare(t, l, w)
				var b Batch
				done := waiting(t.Context(), c, &b, Limits{})
				select {
				case err := <-done:
					t.Fatalf("did not wait: %q, %v", b.Wire, err)
				default:
				}
				test.wake(t, l, w, c)
				synctest.Wait()
				select {
				case err := <-done:
					if !errors.Is(err, test.err) {
						t.Fatalf("error %v, want %v", err, test.err)
					}
				default:
					t.Fatal("still waits")
				}
				if test.want != "" && b.Len() == 0 {
					// It has gone on to another chunk, which is to be acknowledged.
					_, err := c.Ack(&b, 0)
					must(t, err)
					must(t, c.Next(t.Context(), &b, Limits{}, bare))
				}
				if got := strings.TrimSpace(string(b.Wire)); got != test.want {
					t.Fatalf("took %q, want %q", got, test.want)
				}
				if n := l.waiting.Load(); n != 0 {
					t.Fatalf("%d cursors are said to wait", n)
				}
			})
		})
	}
}

func TestNobodyIsWokenForWhatIsNotVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 4)
		c := newCursor(t, l)
		appendTransaction(t, w, 1, "a")
		w.Publish()
		l.SetVisible(1)
		takeAll(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		done := waiting(ctx, c, new(Batch), Limits{})
		appendTransaction(t, w, 2, "b")
		w.Publish()
		if !c.waiting {
			t.Error("woken by what it cannot read")
		}
		cancel()
		<-done
	})
}

func TestNextEndsWithItsContextAndHasNotMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 4)
		l.SetVisible(AllVisible)
		c := newCursor(t, l)
		ctx, cancel := context.WithCancel(t.Context())
		var b Batch
		done := waiting(ctx, c, &b, Limits{Linger: time.Hour})
		appendTransaction(t, w, 1, "a")
		w.Publish()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || b.Len() != 0 {
			t.Fatalf("error %v, %d commands", err, b.Len())
		}
		if err := c.Next(ctx, &b, Limits{}, bare); !errors.Is(err, context.Canceled) {
			t.Fatalf("with a context that has ended: %v", err)
		}
		if got := takeAll(t, c); len(got) != 1 {
			t.Fatalf("took %q", got)
		}
	})
}

func TestABatchJoinsWhatWaitsAndLingersOnlyWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 4)
		l.SetVisible(AllVisible)
		c := newCursor(t, l)
		appendTransaction(t, w, 1, "a")
		appendTransaction(t, w, 2, "b", "a")
		w.Publish()
		var b Batch
		start := time.Now()
		must(t, c.Next(t.Context(), &b, Limits{}, bare))
		if got := string(b.Wire); got != "a b " || time.Since(start) != 0 {
			t.Fatalf("took %q after %v", got, time.Since(start))
		}
		if b.Repeated != 1 || b.Time != 1 || b.Read != 2 {
			t.Fatalf("repeated %d, time %d, read %d", b.Repeated, b.Time, b.Read)
		}
		if b.End(0) != 2 || b.End(1) != 4 || string(b.Command(1)) != "b " {
			t.Fatalf("commands end at %d and %d", b.End(0), b.End(1))
		}

		// Linger begins with the first key, and ends early when the batch is full.
		done := waiting(t.Context(), c, &b, Limits{Linger: time.Second, Keys: 3})
		time.Sleep(time.Minute)
		start = time.Now()
		appendTransaction(t, w, 3, "c")
		w.Publish()
		time.Sleep(time.Second / 2)
		appendTransaction(t, w, 4, "d")
		w.Publish()
		must(t, <-done)
		if got := string(b.Wire); got != "c d " || time.Since(start) != time.Second {
			t.Fatalf("took %q after %v", got, time.Since(start))
		}
		done = waiting(t.Context(), c, &b, Limits{Linger: time.Second, Keys: 3})
		start = time.Now()
		appendTransaction(t, w, 5, "e", "f", "g")
		w.Publish()
		must(t, <-done)
		if got := string(b.Wire); got != "e f g " || time.Since(start) != 0 {
			t.Fatalf("took %q after %v", got, time.Since(start))
		}
		// Nothing comes any more: there is nothing to wait for.
		appendTransaction(t, w, 6, "h")
		must(t, w.Close())
		start = time.Now()
		must(t, c.Next(t.Context(), &b, Limits{Linger: time.Second}, bare))
		if got := string(b.Wire); got != "h " || time.Since(start) != 0 {
			t.Fatalf("took %q after %v", got, time.Since(start))
		}
	})
}

func TestABatchKeepsToItsLimits(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	appendTransaction(t, w, 1, "aaaa", "bbbb", "cccc", "dddddddddddd", "e")
	w.Publish()
	var b Batch
	for _, step := range []struct {
		lim  Limits
		want string
	}{
		{Limits{Keys: 1}, "aaaa"},
		{Limits{Bytes: 9}, "bbbb"},
		{Limits{Bytes: 10}, "cccc"},
		{Limits{Bytes: 3}, "dddddddddddd"}, // one command goes out whatever it takes
		{Limits{}, "e"},
	} {
		if got := next(t, c, &b, step.lim); got != step.want {
			t.Fatalf("took %q with %+v, want %q", got, step.lim, step.want)
		}
	}
}

func TestKeysOfOthersCarryThePositionOn(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	nobody := func(dst []byte, _ *Invalidation) []byte { return dst }
	// More than the Log holds, in one transaction, and none of it for this target.
	begin(t, w, 1)
	for i := range 2000 {
		for errors.Is(w.Key([]byte(strings.Repeat("k", 100))), ErrFull) {
			var b Batch
			must(t, c.Next(t.Context(), &b, Limits{}, nobody))
			if b.Len() != 0 {
				t.Fatalf("key %d: %d commands", i, b.Len())
			}
			_, err := c.Ack(&b, 0)
			must(t, err)
		}
	}
	must(t, w.End(200))
	w.Publish()
	for c.Lag().Bytes > 0 {
		var b Batch
		must(t, c.Next(t.Context(), &b, Limits{}, nobody))
		_, err := c.Ack(&b, 0)
		must(t, err)
	}
	wantSet(t, c, uuid+":1")
}

func TestAckIsInOrderAndOfThisCursorsBatches(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c, other := newCursor(t, l), newCursor(t, l)
	appendTransaction(t, w, 1, "a", "b")
	w.Publish()
	var first, second, others Batch
	next(t, c, &first, Limits{Keys: 1})
	next(t, c, &second, Limits{Keys: 1})
	next(t, other, &others, Limits{Keys: 1})
	for name, b := range map[string]*Batch{"a later one": &second, "another's": &others, "none": new(Batch)} {
		if _, err := c.Ack(b, 0); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := c.Ack(&first, 0)
	must(t, err)
	wantSet(t, c, "") // the transaction has not ended
	if _, err := c.Ack(&first, 0); !errors.Is(err, ErrOrder) {
		t.Errorf("twice: %v", err)
	}
	c.Rewind()
	if _, err := c.Ack(&second, 0); !errors.Is(err, ErrOrder) {
		t.Errorf("taken before a Rewind: %v", err)
	}
	if got := next(t, c, &second, Limits{}); got != "b" {
		t.Errorf("took %q after a Rewind", got)
	}
	_, err = c.Ack(&second, 0)
	must(t, err)
	wantSet(t, c, uuid+":1")
}

func TestAPositionThatIsAheadIsLeftAloneUntilSomethingNewComes(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	from := binlog.Position{GTIDs: binlog.NewGTIDSet(binlog.MySQL), File: binlog.File{Name: "bin.000009", Server: "a"}, Offset: 99}
	for _, n := range []uint64{1, 3, 70} {
		must(t, from.GTIDs.Add(gtid(n)))
	}
	c, err := l.NewCursor(from)
	must(t, err)
	appendTransaction(t, w, 1, "a")
	w.Publish()
	if got := takeAll(t, c); len(got) != 0 {
		t.Fatalf("took %q, which was executed", got)
	}
	if got := c.Position(); !got.Equal(from) {
		t.Fatalf("position %s, want %s", got, from)
	}
	appendTransaction(t, w, 2, "b")
	appendTransaction(t, w, 3, "c")
	appendTransaction(t, w, 4, "d")
	w.Publish()
	if got := strings.Join(takeAll(t, c), ""); got != "bd" {
		t.Fatalf("took %q, want what was not executed", got)
	}
	for n := uint64(5); n <= 200; n++ {
		appendTransaction(t, w, n, fmt.Sprint("k", n))
	}
	w.Publish()
	if got := takeAll(t, c); slices.Contains(got, "k70") || len(got) != 195 {
		t.Fatalf("took %q, want all but k70", got)
	}
	if c.start.walked != nil || c.start.until.Load() == never {
		t.Fatal("still asks what was executed, long past it")
	}
	wantSet(t, c, uuid+":1-200")
}

func TestLagIsOfTheOldestThatIsNotAcknowledged(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	if lag := c.Lag(); lag != (Lag{}) {
		t.Fatalf("lag of an empty log: %+v", lag)
	}
	appendTransaction(t, w, 1)
	appendTransaction(t, w, 2, "a", "b")
	w.Publish()
	if lag := c.Lag(); lag.Oldest != 1 || lag.Bytes == 0 {
		t.Fatalf("lag %+v", lag)
	}
	var first, second, third Batch
	next(t, c, &first, Limits{Keys: 1})
	next(t, c, &second, Limits{Keys: 1})
	group, err := c.Ack(&first, 1)
	must(t, err)
	_, err = c.Ack(&second, 0)
	must(t, err)
	if lag := c.Lag(); lag.Oldest != 2 || lag.Refused != 1 {
		t.Fatalf("lag %+v, want that of what is refused", lag)
	}
	if next(t, c, &third, Limits{}) != "" {
		t.Fatalf("took %q", third.Wire)
	}
	group.Resolve(1)
	if lag := c.Lag(); lag != (Lag{}) {
		t.Fatalf("lag %+v, and everything is acknowledged", lag)
	}
}
