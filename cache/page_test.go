package cache

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

func TestASmallerBoundHoldsForWhatIsUnusedToo(t *testing.T) {
	s := open(t, Config{Memory: 64 << 20})
	fill := func(n int) {
		for i := range n {
			if err := set(t, s, fmt.Sprint("key", i), value("v", i, 2000), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	resident := func() int64 {
		s.pages.mu.Lock()
		defer s.pages.mu.Unlock()
		return int64(s.pages.inUse+len(s.pages.unused))<<pageShift + s.indexBytes.Load()
	}
	fill(40_000)
	for name, empty := range map[string]func(){"full": func() {}, "emptied": func() { s.Flush(); s.sweep() }} {
		if !s.SetMemory(64 << 20) {
			t.Fatal("not set to what it was")
		}
		fill(40_000)
		empty()
		if !s.SetMemory(minMemory) {
			t.Fatal("not set")
		}
		for range 20 {
			s.forward(time.Second / 4)
		}
		if n := resident(); n > minMemory {
			t.Errorf("%s: %d bytes are resident, of %d", name, n, minMemory)
		}
		fill(5000)
		if err := set(t, s, "large", make([]byte, 1<<20-100), 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.check(t)
	}
	if !s.SetMemory(64 << 20) {
		t.Fatal("not set again")
	}
	fill(20_000)
	for i := range 20_000 {
		if got, ok := get(s, fmt.Sprint("key", i)); !ok || !bytes.Equal(got, value("v", i, 2000)) {
			t.Fatalf("key%d is %.40q (%v)", i, got, ok)
		}
	}
	if n := resident(); n > 64<<20 {
		t.Errorf("%d bytes are resident, of 64 MiB", n)
	}
	s.check(t)
}

// A cache that was made for far more keeps the index and the budgets of that: a small
// bound leaves room for values all the same.
func TestASmallBoundLeavesRoomForValues(t *testing.T) {
	s := open(t, Config{Memory: 1 << 30})
	if !s.SetMemory(minMemory) {
		t.Fatal("not set")
	}
	for i := range 100 {
		if err := set(t, s, fmt.Sprint("key", i), make([]byte, i*100), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(t, s, "large", make([]byte, 1<<20-100), 0); err != nil {
		t.Error(err)
	}
}
