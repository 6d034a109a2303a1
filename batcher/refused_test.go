package batcher

import "testing"

func TestThePositionWaitsForWhatIsRefusedAndForNothingElse(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	n := uint64(0)
	// Each batch is one transaction.
	deliver := func(refused int) *Refused {
		t.Helper()
		n++
		appendTransaction(t, w, n, "a", "b", "c")
		w.Publish()
		var b Batch
		must(t, c.Next(t.Context(), &b, Limits{}, bare))
		r, err := c.Ack(&b, refused)
		must(t, err)
		return r
	}
	deliver(0)
	older := deliver(1)
	wantSet(t, c, uuid+":1")
	deliver(0)
	younger := deliver(2)
	if younger == older {
		t.Fatal("what was refused later would hold the position where it was first refused")
	}
	deliver(0)
	if deliver(1) != younger {
		t.Fatal("a third group")
	}
	wantSet(t, c, uuid+":1")
	older.Resolve(1)
	wantSet(t, c, uuid+":1-3")
	if got := c.Lag().Refused; got != 3 {
		t.Fatalf("%d refused", got)
	}
	// The younger is the older now.
	again := deliver(1)
	younger.Resolve(2)
	younger.Resolve(1)
	wantSet(t, c, uuid+":1-6")
	again.Resolve(1)
	wantSet(t, c, uuid+":1-7")
	// A younger group that is empty first leaves nothing behind.
	older, younger = deliver(1), deliver(1)
	younger.Resolve(1)
	wantSet(t, c, uuid+":1-7")
	older.Resolve(1)
	wantSet(t, c, uuid+":1-9")
	// Resolved after the cursor was closed, it moves the position too.
	last := deliver(3)
	c.Close()
	wantSet(t, c, uuid+":1-9")
	last.Resolve(3)
	wantSet(t, c, uuid+":1-10")
}
