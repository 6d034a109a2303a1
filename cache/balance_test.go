package cache

import (
	"testing"
	"time"
)

// The owner of a data chunk is looked at while the chunk cannot be freed, and is taken for
// an item in a queue only with that queue's lock held: it may be a draft, or be held.
func TestDataIsTakenFromQueuedItemsOnly(t *testing.T) {
	s := open(t, Config{})
	data := s.classes[s.valueClasses-1]
	if err := set(t, s, "large", make([]byte, 100_000), 0); err != nil {
		t.Fatal(err)
	}
	if err := set(t, s, "small", make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	var d Draft
	if err := s.Draft(&d, []byte("draft"), 0, 0, 100_000); err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	refOf := func(key string) uint32 {
		e := s.Lock([]byte(key))
		defer e.Unlock()
		return e.ref
	}
	for name, c := range map[string]struct {
		ref  uint32
		want bool
	}{"large": {refOf("large"), true}, "small": {refOf("small"), false}, "draft": {d.ref, false}} {
		data.mu.Lock()
		if got := s.queued(data, data, c.ref); got != c.want {
			t.Errorf("the %s item is in the queue of large values: %v", name, got)
		}
		data.mu.Unlock()
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
