package batcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mcsqueal/mcsqueal/binlog"
)

var testFile = binlog.File{Name: "bin.000001", Server: "a"}

// newTestLog is a Log of so many chunks, of a server whose GTIDs are gtid's.
func newTestLog(t *testing.T, chunks int64) (*Log, *Writer) {
	t.Helper()
	l := NewLog(Config{
		Bytes:      chunks * minChunk,
		ChunkBytes: minChunk,
		From:       binlog.Position{GTIDs: binlog.NewGTIDSet(binlog.MySQL), File: testFile, Offset: 4},
	})
	must(t, l.Writer().File(testFile))
	return l, l.Writer()
}

func gtid(n uint64) binlog.GTID {
	return binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{1}, Seq: n}
}

func newCursor(t *testing.T, l *Log) *Cursor {
	t.Helper()
	c, err := l.NewCursor(binlog.Position{})
	must(t, err)
	return c
}

// appendTransaction appends the nth transaction: at offset 100n, committed at n.
func appendTransaction(t *testing.T, w *Writer, n uint64, keys ...string) uint64 {
	t.Helper()
	seq := begin(t, w, n)
	for _, key := range keys {
		must(t, w.Key([]byte(key)))
	}
	must(t, w.End(100*n+100))
	return seq
}

func begin(t *testing.T, w *Writer, n uint64) uint64 {
	t.Helper()
	seq, err := w.Begin(Transaction{GTID: gtid(n), Start: 100 * n, Time: int64(n), Read: int64(n + 1)})
	must(t, err)
	return seq
}

// bare makes the key itself the command.
func bare(dst []byte, inv *Invalidation) []byte { return append(append(dst, inv.Key...), ' ') }

// next takes what is there, without waiting: "" if there is nothing.
func next(t *testing.T, c *Cursor, b *Batch, lim Limits) string {
	t.Helper()
	err := c.Next(&noWait{Context: context.Background()}, b, lim, bare)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b.Wire))
}

// takeAll takes and acknowledges all that is there.
func takeAll(t *testing.T, c *Cursor) []string {
	t.Helper()
	var keys []string
	for {
		var b Batch
		err := c.Next(&noWait{Context: context.Background()}, &b, Limits{}, bare)
		if errors.Is(err, context.Canceled) || err == io.EOF {
			return keys
		}
		must(t, err)
		keys = append(keys, strings.Fields(string(b.Wire))...)
		_, err = c.Ack(&b, 0)
		must(t, err)
	}
}

func wantSet(t *testing.T, c *Cursor, want string) {
	t.Helper()
	if got := c.Position().GTIDs.String(); got != want {
		t.Fatalf("position %q, want %q", got, want)
	}
}

const uuid = "01000000-0000-0000-0000-000000000000"

func TestNothingIsReadAboveTheWatermark(t *testing.T) {
	l, w := newTestLog(t, 4)
	c := newCursor(t, l)
	appendTransaction(t, w, 1, "a")
	two := appendTransaction(t, w, 2, "b")
	appendTransaction(t, w, 3)
	w.Publish()
	var b Batch
	if got := next(t, c, &b, Limits{}); got != "" {
		t.Fatalf("took %q before anything was visible", got)
	}
	l.SetVisible(two)
	if got := next(t, c, &b, Limits{}); got != "a b" {
		t.Fatalf("took %q, want what is visible", got)
	}
	l.SetVisible(1) // moves nothing down
	_, err := c.Ack(&b, 0)
	must(t, err)
	wantSet(t, c, uuid+":1-2")
	l.SetVisible(AllVisible)
	takeAll(t, c)
	wantSet(t, c, uuid+":1-3")
}

// TestAWatermarkOfWhatIsNotThereMeansNothing: who waits for visibility may answer
// after the transaction it waited for has been dropped.
func TestAWatermarkOfWhatIsNotThereMeansNothing(t *testing.T) {
	l, w := newTestLog(t, 4)
	c := newCursor(t, l)
	late := appendTransaction(t, w, 1, "dropped")
	w.Publish()
	_, err := w.Truncate()
	must(t, err)
	l.SetVisible(late + 1)
	l.SetVisible(1000)
	appendTransaction(t, w, 2, "new")
	w.Publish()
	if got := takeAll(t, c); len(got) != 0 {
		t.Fatalf("took %q, of which nobody said that it is visible", got)
	}
}

func TestALogWithoutCursorsIsFullAndLosesNothing(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	n := fill(t, w, 1)
	if free := l.Free(); free != 0 {
		t.Fatalf("%d bytes free in a full log", free)
	}
	c := newCursor(t, l)
	// What was refused is appended as soon as there is room.
	if got := takeAll(t, c); len(got) != n {
		t.Fatalf("took %d keys of %d", len(got), n)
	}
	must(t, l.WaitRoom(t.Context(), l.Capacity()/2))
	must(t, w.Key([]byte("late")))
	must(t, w.End(200))
	w.Publish()
	if got := takeAll(t, c); len(got) != 1 || got[0] != "late" {
		t.Fatalf("took %q", got)
	}
	wantSet(t, c, uuid+":1")
}

// fill appends keys of one transaction until the Log is full, and tells how many.
func fill(t *testing.T, w *Writer, n uint64) int {
	t.Helper()
	begin(t, w, n)
	for i := 0; ; i++ {
		if err := w.Key(fmt.Appendf(nil, "%d:%d", n, i)); errors.Is(err, ErrFull) {
			w.Publish()
			return i
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestATransactionLargerThanTheLogGetsOnThoughItIsCutOff(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	appendTransaction(t, w, 1)
	const keys = 5000
	var got []string
	for round := 0; ; round++ {
		if round > 1000 {
			t.Fatal("it does not get on")
		}
		// The dump begins again, at the transaction's start, and ends when the Log
		// is full.
		begin(t, w, 2)
		var err error
		for i := range keys {
			if err = w.Key(fmt.Appendf(nil, "key%d", i)); err != nil {
				break
			}
		}
		if err == nil {
			must(t, w.End(300))
			w.Publish()
			got = append(got, takeAll(t, c)...)
			break
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		w.Abort()
		got = append(got, takeAll(t, c)...)
		wantSet(t, c, uuid+":1")
	}
	if len(got) != keys {
		t.Fatalf("took %d keys, want each of %d once", len(got), keys)
	}
	for i, key := range got {
		if key != fmt.Sprintf("key%d", i) {
			t.Fatalf("key %d is %s", i, key)
		}
	}
	wantSet(t, c, uuid+":1-2")
}

func TestATransactionThatDoesNotComeAgainIsInNoPosition(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	begin(t, w, 1)
	must(t, w.Key([]byte("a")))
	w.Abort()
	appendTransaction(t, w, 2, "b")
	w.Publish()
	takeAll(t, c)
	wantSet(t, c, uuid+":2")
	// It may come later all the same, and is a transaction like any other.
	appendTransaction(t, w, 1, "a", "c")
	w.Publish()
	if got := takeAll(t, c); len(got) != 2 {
		t.Fatalf("took %q, want all of it", got)
	}
	wantSet(t, c, uuid+":1-2")
}

func TestFailoverDropsWhatIsNotVisible(t *testing.T) {
	l, w := newTestLog(t, 4)
	c := newCursor(t, l)
	appendTransaction(t, w, 1, "a")
	seq := begin(t, w, 2)
	must(t, w.Key([]byte("b")))
	must(t, w.End(300))
	appendTransaction(t, w, 3, "not everywhere")
	w.Publish()
	l.SetVisible(seq)
	pos, err := w.Truncate()
	must(t, err)
	if got := pos.String(); got != uuid+":1-2 @ bin.000001:300" {
		t.Fatalf("the reading is to begin again at %s", got)
	}
	if l.Visible() != l.Appended() {
		t.Fatalf("watermark %d, last appended %d: something would be waited for that is gone", l.Visible(), l.Appended())
	}
	must(t, w.File(binlog.File{Name: "other.000007", Server: "b"}))
	if again := appendTransaction(t, w, 4, "d"); again <= seq+1 {
		t.Fatalf("seq %d was given before", again)
	}
	w.Publish()
	l.SetVisible(AllVisible)
	if got := strings.Join(takeAll(t, c), " "); got != "a b d" {
		t.Fatalf("took %q", got)
	}
	if got := c.Position().String(); got != uuid+":1-2:4 @ other.000007:500" {
		t.Fatalf("position %s", got)
	}
}

func TestOnlyWhoIsAWholeLogBehindFallsOut(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	fast, slow := newCursor(t, l), newCursor(t, l)
	appendTransaction(t, w, 1, "a")
	w.Publish()
	takeAll(t, slow)
	n := uint64(2)
	for ; l.oldest.number == 0; n++ {
		if got := next(t, slow, new(Batch), Limits{Keys: 1}); got == "" && n > 2 {
			t.Fatal("nothing for the slow one, though it has not fallen out")
		}
		slow.Rewind()
		appendTransaction(t, w, n, strings.Repeat("k", 200))
		w.Publish()
		takeAll(t, fast)
	}
	if err := slow.Next(t.Context(), new(Batch), Limits{}, bare); !errors.Is(err, ErrFellOut) {
		t.Fatalf("Next of a cursor that has fallen out: %v", err)
	}
	if _, err := slow.Ack(new(Batch), 0); !errors.Is(err, ErrFellOut) {
		t.Fatalf("Ack of a cursor that has fallen out: %v", err)
	}
	wantSet(t, slow, uuid+":1")
	wantSet(t, fast, fmt.Sprintf("%s:1-%d", uuid, n-1))
	if _, err := l.NewCursor(slow.Position()); !errors.Is(err, ErrTooOld) {
		t.Fatalf("NewCursor where the log does not reach: %v", err)
	}
	// With what the Log has dropped it can join again.
	pos := slow.Position()
	must(t, pos.GTIDs.AddRange([16]byte{1}, "", 2, n-2))
	c, err := l.NewCursor(pos)
	must(t, err)
	if got := takeAll(t, c); len(got) != 1 {
		t.Fatalf("took %d keys, want the one that is not executed", len(got))
	}
}

func TestNobodyFallsOutWhereTheSlowestIsWaitedFor(t *testing.T) {
	l := NewLog(Config{Bytes: 4 * minChunk, ChunkBytes: minChunk, KeepSlowest: true})
	w := l.Writer()
	l.SetVisible(AllVisible)
	fast, slow := newCursor(t, l), newCursor(t, l)
	n := fill(t, w, 1)
	if got := takeAll(t, fast); len(got) != n {
		t.Fatalf("took %d keys of %d", len(got), n)
	}
	if l.Free() != 0 {
		t.Fatalf("%d bytes free, and the slow cursor has acknowledged nothing", l.Free())
	}
	if err := w.Key(make([]byte, MaxKey)); !errors.Is(err, ErrFull) {
		t.Fatalf("appended to what the slow cursor has not acknowledged: %v", err)
	}
	if got := takeAll(t, slow); len(got) != n {
		t.Fatalf("took %d keys of %d", len(got), n)
	}
	must(t, w.Key(make([]byte, MaxKey)))
	// One that is closed is not waited for.
	slow.Close()
	must(t, w.End(200))
	fill(t, w, 2)
	if takeAll(t, fast); l.Free() == 0 {
		t.Fatal("waits for a cursor that is closed")
	}
}

func TestTheLastCursorNeverFallsOut(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	fill(t, w, 1)
	for range 100 {
		if err := w.Key(make([]byte, 100)); !errors.Is(err, ErrFull) {
			t.Fatalf("appended to a full log: %v", err)
		}
	}
	if err := c.Next(t.Context(), new(Batch), Limits{}, bare); err != nil {
		t.Fatal(err)
	}
}

func TestNeighboursWithoutKeysTakeNoRoom(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	for n := uint64(1); n <= 100_000; n++ {
		appendTransaction(t, w, n)
	}
	w.Publish()
	if used := l.Capacity() - l.Free(); used > minChunk || l.last.readable() > 200 {
		t.Fatalf("%d bytes for transactions without keys", l.last.readable())
	}
	takeAll(t, c)
	wantSet(t, c, uuid+":1-100000")
}

func TestAnIdleSourceMovesPositions(t *testing.T) {
	l := NewLog(Config{From: binlog.Position{File: testFile, Offset: 4}}) // a server without GTIDs
	w := l.Writer()
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	// The log is rotated, and nothing is written.
	rotated := binlog.File{Name: "bin.000002", Server: "a"}
	must(t, w.File(rotated))
	must(t, w.Idle(123))
	must(t, w.Idle(123)) // a heartbeat says it again
	w.Publish()
	takeAll(t, c)
	if got := c.Position(); got.File.Name != rotated.Name || got.Offset != 123 {
		t.Fatalf("position %s", got)
	}
	if l.Appended() != 1 {
		t.Fatalf("%d transactions, want one", l.Appended())
	}
	// Not inside a transaction, whose end has not been read.
	_, err := w.Begin(Transaction{Start: 123})
	must(t, err)
	must(t, w.Idle(150))
	must(t, w.Key([]byte("k")))
	must(t, w.End(200))
	w.Publish()
	if got := takeAll(t, c); len(got) != 1 {
		t.Fatalf("took %q", got)
	}
}

func TestWhatNoServerSendsIsRefused(t *testing.T) {
	_, w := newTestLog(t, 4)
	if err := w.Key([]byte("k")); err == nil {
		t.Error("a key outside a transaction")
	}
	if err := w.End(1); err == nil {
		t.Error("an end outside a transaction")
	}
	if err := w.File(binlog.File{Name: strings.Repeat("n", maxFileName+1)}); err == nil {
		t.Error("a file name of any length")
	}
	for _, g := range []binlog.GTID{
		{Flavor: binlog.MySQL, SID: [16]byte{1}},
		{Flavor: binlog.MySQL, SID: [16]byte{1}, Seq: 1 << 63},
		{Flavor: binlog.MySQL, SID: [16]byte{1}, Tag: "not a tag", Seq: 1},
		{Flavor: binlog.MariaDB, Seq: 1}, // in MySQL's log
	} {
		if _, err := w.Begin(Transaction{GTID: g, Start: 4}); err == nil {
			t.Errorf("a transaction with GTID %+v, which no position can take", g)
		}
	}
	begin(t, w, 1)
	if err := w.Key(nil); err == nil {
		t.Error("an empty key")
	}
	if err := w.Key(make([]byte, MaxKey+1)); err == nil {
		t.Error("a key that is too long")
	}
	must(t, w.Key(make([]byte, MaxKey)))
	must(t, w.End(200))
}

func TestWaitRoomWakesWhenTheFastestHasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 8)
		l.SetVisible(AllVisible)
		fill(t, w, 1)
		done := make(chan error)
		go func() { done <- l.WaitRoom(t.Context(), l.Capacity()/2) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("there is room in a log without cursors")
		default:
		}
		c := newCursor(t, l)
		synctest.Wait()
		for {
			var b Batch
			must(t, c.Next(t.Context(), &b, Limits{Keys: 10}, bare))
			_, err := c.Ack(&b, 0)
			must(t, err)
			synctest.Wait()
			select {
			case err := <-done:
				must(t, err)
				if l.Free() < l.Capacity()/2 {
					t.Fatalf("woken with %d bytes free", l.Free())
				}
				return
			default:
				if l.Free() >= l.Capacity()/2 {
					t.Fatalf("not woken with %d bytes free", l.Free())
				}
			}
		}
	})
}

func TestWaitRoomEndsWithItsContext(t *testing.T) {
	l, w := newTestLog(t, 4)
	fill(t, w, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.WaitRoom(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("WaitRoom: %v", err)
	}
}

// TestChunksAreUsedAgain: memory is the Log's bound, however much goes through it.
func TestChunksAreUsedAgain(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	seen := map[*byte]bool{}
	for n := uint64(1); n < 2000; n++ {
		appendTransaction(t, w, n, strings.Repeat("k", 100))
		w.Publish()
		takeAll(t, c)
		seen[&l.last.buf[0]] = true
	}
	if len(seen) != 4 {
		t.Fatalf("%d buffers for a log of 4 chunks", len(seen))
	}
}
