package cache

import (
	"testing"
	"time"
)

// The owner of a data chunk is looked at when the chunk's lock is not held any more: a
// draft that was discarded meanwhile may have become an item of another class, whose queue
// is not locked.
func TestAnOwnerIsTakenForWhatItWasOnlyInItsOwnQueue(t *testing.T) {
	s := open(t, Config{})
	if err := set(t, s, "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	e := s.Lock([]byte("k"))
	ref, of := e.ref, s.classes[s.at(e.ref).class]
	e.Unlock()
	for _, held := range []*class{of, s.classes[s.valueClasses-1]} {
		held.mu.Lock()
		if got := s.queued(held, ref); got != (held == of) {
			t.Errorf("as of class %d it is queued: %v; it is of class %d", held.number, got, of.number)
		}
		held.mu.Unlock()
	}
}

// While millions of items are swept the clock goes on: leases, hold-offs and expiry hang
// on it.
func TestTheClockGoesOnWhileTheUpkeepIsBusy(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := s.Lock([]byte("k")) // the sweep waits for this
	s.Flush()
	began := s.now.Load()
	for deadline := time.Now().Add(20 * time.Second); s.now.Load() < began+3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("after %d seconds the clock stands still", s.now.Load()-began)
			break
		}
	}
	e.Unlock()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
