package cache

import (
	"fmt"
	"testing"
	"time"
)

func TestItemsGoWhenTheirSecondComes(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20})
	for i := range 2000 {
		if err := set(t, s, fmt.Sprint("k", i), []byte("v"), uint32(1+i%1500)); err != nil {
			t.Fatal(err)
		}
	}
	// Some get another time, sooner and later, and some none.
	for i, ttl := range map[int]uint32{3: 700, 600: 2, 1400: 0, 5: 1600} {
		e := s.Lock(fmt.Appendf(nil, "k%d", i))
		it, _ := e.Plain()
		exptime := uint32(0)
		if ttl > 0 {
			exptime = s.now.Load() + ttl
		}
		e.SetExpiry(it, exptime)
		e.Unlock()
	}
	for second := range 1700 {
		s.forward(time.Second)
		want := 0
		for i := range 2000 {
			ttl := 1 + i%1500
			switch i {
			case 3:
				ttl = 700
			case 600:
				ttl = 2
			case 1400:
				ttl = 1 << 30
			case 5:
				ttl = 1600
			}
			if ttl > second+1 {
				want++
			}
		}
		if got := s.Stats().Items; got != int64(want) {
			t.Fatalf("after %d seconds %d items are left, want %d", second+1, got, want)
		}
		if second%100 == 0 {
			s.check(t)
		}
	}
}

func TestAFlushTakesWhatWasThereAndNothingElse(t *testing.T) {
	s := leasing(t)
	for i := range 5000 {
		if err := set(t, s, fmt.Sprint("k", i), []byte("old"), 0); err != nil {
			t.Fatal(err)
		}
	}
	del(s, "k0")
	token, _ := lease(s, "missing")
	s.Flush()
	for i := 2500; i < 5000; i++ {
		if err := set(t, s, fmt.Sprint("k", i), []byte("new"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5000 {
		got, ok := get(s, fmt.Sprint("k", i))
		if ok != (i >= 2500) || ok && string(got) != "new" {
			t.Fatalf("k%d is %q (%v)", i, got, ok)
		}
	}
	if fill(t, s, "missing", token, "v") {
		t.Error("a token of before the flush fills")
	}
	if _, stale := lease(s, "k0"); stale != "" {
		t.Errorf("the stale value %q was not flushed", stale)
	}
	s.sweep()
	s.check(t)
	// Generations come around; what was flushed must not come back.
	if err := set(t, s, "kept", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		s.Flush()
		if _, ok := get(s, "kept"); ok {
			t.Fatal("a flushed item came back")
		}
	}
}

func TestAFlushInTheMiddleOfAStepTakesWhatThatStores(t *testing.T) {
	s := leasing(t)
	draft := func(key string) (d Draft) {
		if err := s.Draft(&d, []byte(key), 0, 0, 1); err != nil {
			t.Fatal(err)
		}
		d.Write([]byte("v\r\n"))
		return d
	}
	var token uint64
	for key, step := range map[string]func(e *Entry){
		"filled": func(e *Entry) {
			if !e.MayFill(token) {
				t.Error("the token is void before the flush")
			}
			s.Flush()
			d := draft("filled")
			e.Put(&d)
		},
		"overwritten": func(e *Entry) {
			s.Flush()
			if _, ok := e.Overwrite([]byte("w\r\n"), 0, 0); !ok {
				t.Error("not overwritten")
			}
		},
		"missed": func(e *Entry) {
			s.Flush()
			token = e.Lease().Token
		},
	} {
		switch key {
		case "overwritten":
			if err := set(t, s, key, []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
		case "filled":
			token, _ = lease(s, key)
		}
		e := s.Lock([]byte(key))
		step(&e)
		e.Unlock()
		if v, ok := get(s, key); ok {
			t.Errorf("%s is %q after the flush", key, v)
		}
		if key == "missed" && fill(t, s, key, token, "v") {
			t.Error("a token of before the flush fills")
		}
	}
}

func TestAFlushToComeComesOnce(t *testing.T) {
	s := leasing(t)
	if err := set(t, s, "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	s.FlushAt(s.now.Load() + 2)
	s.forward(time.Second)
	if _, ok := get(s, "k"); !ok {
		t.Fatal("flushed early")
	}
	s.forward(time.Second)
	if _, ok := get(s, "k"); ok {
		t.Fatal("not flushed")
	}
	if err := set(t, s, "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	s.forward(10 * time.Second)
	if _, ok := get(s, "k"); !ok {
		t.Error("flushed again")
	}
}

// TestAScanDoesNotFlushWhatIsUsed reads a hot set again and again while a scan twice as
// large as the cache goes through.
func TestAScanDoesNotFlushWhatIsUsed(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20})
	const hot = 8000
	for i := range hot {
		if err := set(t, s, fmt.Sprint("hot", i), make([]byte, 300), 0); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100_000 {
		if err := set(t, s, fmt.Sprint("scan", i), make([]byte, 300), 0); err != nil {
			t.Fatal(err)
		}
		get(s, fmt.Sprint("hot", i%hot))
	}
	kept := 0
	for i := range hot {
		if _, ok := get(s, fmt.Sprint("hot", i)); ok {
			kept++
		}
	}
	if kept < hot*95/100 {
		t.Errorf("%d of %d items in use are left after a scan", kept, hot)
	}
}

// TestMemoryFollowsTheSizesThatAreUsed fills the cache with small values, and then with
// large ones only.
func TestMemoryFollowsTheSizesThatAreUsed(t *testing.T) {
	s := open(t, Config{Memory: 32 << 20})
	for i := range 200_000 {
		if err := set(t, s, fmt.Sprint("small", i), make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
	}
	const large = 2000
	for step := range 160 {
		for i := range large / 4 {
			key := fmt.Sprint("large", step%4*large/4+i)
			if err := set(t, s, key, make([]byte, 10_000), 0); err != nil {
				t.Fatal(err)
			}
		}
		s.forward(250 * time.Millisecond)
	}
	kept := 0
	for i := range large {
		if _, ok := get(s, fmt.Sprint("large", i)); ok {
			kept++
		}
	}
	if kept < large*9/10 {
		t.Errorf("%d of %d large values are there; the small ones that nobody reads have kept the rest", kept, large)
	}
	s.check(t)
}

func TestHotPathsAllocateNothing(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20, StaleTime: time.Second})
	key, body := []byte("key"), make([]byte, 137)
	var dst []byte
	if n := testing.AllocsPerRun(1000, func() {
		var d Draft
		if err := s.Draft(&d, key, 0, 0, 135); err != nil {
			t.Fatal(err)
		}
		d.Write(body)
		e := s.Lock(key)
		e.Put(&d)
		it, _ := e.Plain()
		e.Access(it)
		dst = it.AppendBody(dst[:0])
		e.Overwrite(body, 0, 0)
		e.Delete()
		e.Lease()
		e.HoldOff(time.Second)
		e.HeldOff()
		e.Unlock()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
