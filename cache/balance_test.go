package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// asideOf asks for one of n keys as a look-aside client does, and reports whether it was
// there.
func asideOf(t *testing.T, s *Store, random *rand.Rand, what string, n, size int) bool {
	t.Helper()
	key := fmt.Sprintf("%s:%d", what, random.IntN(n))
	e := s.Lock([]byte(key))
	it, ok := e.Plain()
	if ok {
		e.Access(it)
	}
	e.Unlock()
	if !ok {
		if err := set(t, s, key, make([]byte, size), 0); err != nil {
			t.Fatal(err)
		}
	}
	return ok
}

// What nobody asks for any more makes room for items of another size, also where there is
// not much to tell it by.
func TestMemoryGoesToWhatIsAskedFor(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20})
	for i := range 100_000 {
		if err := set(t, s, fmt.Sprintf("old:%d", i), make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	const seconds, each, fit = 240, 400, 12_000
	hits := 0
	for second := range seconds {
		for range ticksPerSecond {
			for range each / ticksPerSecond {
				if asideOf(t, s, random, "new", fit, 1000) && second >= seconds-20 {
					hits++
				}
			}
			s.forward(time.Second / ticksPerSecond)
		}
	}
	if asked := 20 * each; hits < asked*95/100 {
		t.Errorf("of %d that fit %d are there", asked, hits)
	}
}

// Small items that are asked for as often as large ones, and of which nearly all are
// there, are evicted for none of them: nothing is stored among them that would tell.
func TestMemoryIsNotTakenFromWhatIsInUse(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20})
	const small = 50_000
	for i := range small {
		if err := set(t, s, fmt.Sprintf("hot:%d", i), make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	asked, hits := 0, 0
	for range 20 * ticksPerSecond {
		for range 500 {
			asked++
			if asideOf(t, s, random, "hot", small, 100) {
				hits++
			}
			asideOf(t, s, random, "cold", 125_000, 1000)
		}
		s.forward(time.Second / ticksPerSecond)
	}
	if hits < asked*95/100 {
		t.Errorf("of %d in use %d are there", asked, hits)
	}
	if s.moved.Load() == 0 {
		t.Error("no page has moved: nothing was asked of the balance")
	}
}

// A miss that was given a token is a miss, too.
func TestFillsByTokenAreCountedAsMisses(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20})
	random := rand.New(rand.NewPCG(1, 1))
	missed := 0
	for range 100_000 {
		key := fmt.Sprintf("k:%d", random.IntN(20_000))
		e := s.Lock([]byte(key))
		it, there := e.Plain()
		if there {
			e.Access(it)
		} else {
			e.Lease()
		}
		e.Unlock()
		if !there {
			missed++
			if err := set(t, s, key, make([]byte, 1000), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if back := s.valueClass(headerSize + 1010).ghosts.back; missed == 0 || back == 0 {
		t.Errorf("of %d misses %d were of keys evicted lately", missed, back)
	}
}

// A reader who takes his time holds one item, and not the memory of its class.
func TestAnItemThatIsHeldKeepsNoMemoryFromOthers(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20})
	for i := range 2000 {
		if err := set(t, s, fmt.Sprintf("large:%d", i), make([]byte, 10_000), 0); err != nil {
			t.Fatal(err)
		}
	}
	c := s.valueClass(10_060)
	ref := c.hand
	if ref == 0 {
		ref = c.queue.oldest
	}
	e := s.Lock(bytes.Clone(s.at(ref).key()))
	it, ok := e.Plain()
	if !ok {
		t.Fatal("the next victim is not there")
	}
	_, pin, ok := it.AppendPieces(nil)
	e.Unlock()
	if !ok {
		t.Fatal("it cannot be held")
	}
	for i, size := range []int{100, 300, 500} {
		if err := set(t, s, fmt.Sprintf("small:%d", i), make([]byte, size), 0); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	s.SetMemory(8 << 20)
	for range 40 {
		s.rebalance()
	}
	if s.overdrawn() {
		t.Error("the memory is not given back")
	}
	s.Unpin(pin)
}

func TestTheBalanceEvictsNothingWhereNothingMayBeEvicted(t *testing.T) {
	s := open(t, Config{Memory: 16 << 20, NoEviction: true})
	fill := func(what string, size, most int) (n int) {
		for n < most && set(t, s, fmt.Sprintf("%s:%d", what, n), make([]byte, size), 0) == nil {
			n++
		}
		return n
	}
	large, small := fill("large", 1000, 7000), fill("small", 100, 1<<30)
	evictions := func() (n uint64) {
		for _, c := range s.Classes() {
			n += c.Evictions
		}
		return n
	}
	s.SetMemory(12 << 20) // for which some must go
	for range 100 {
		s.forward(time.Second / ticksPerSecond)
	}
	before := evictions()
	if before == 0 {
		t.Fatal("nothing made room for less memory")
	}
	for i := range large / 2 {
		del(s, fmt.Sprintf("large:%d", i))
	}
	for i := range small / 4 {
		del(s, fmt.Sprintf("small:%d", small-1-i))
	}
	for i := range small {
		_ = set(t, s, fmt.Sprintf("small:%d", i), make([]byte, 100), 0) // there may be no room
	}
	for range 400 {
		s.forward(time.Second / ticksPerSecond)
	}
	if n := evictions() - before; n > 0 || s.moved.Load() > 0 {
		t.Errorf("%d items were evicted, %d pages moved", n, s.moved.Load())
	}
}

// What is in use in pages that are given away moves to others.
func TestWhatIsInUseMovesOutOfPagesThatAreGivenAway(t *testing.T) {
	s := open(t, Config{Memory: 8 << 20})
	const count = 125_000 // more than fit
	for i := range count {
		if err := set(t, s, fmt.Sprintf("k:%d", i), make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
	}
	var hot []string
	for i := 0; i < count; i += 10 {
		key := fmt.Sprintf("k:%d", i)
		if _, ok := get(s, key); ok {
			hot = append(hot, key)
		}
	}
	s.balance.Lock()
	c := s.valueClass(headerSize + 110)
	for range 3 {
		if !s.drain(c, s.victimPage(c), true) {
			t.Error("a page is not empty")
		}
	}
	s.balance.Unlock()
	kept := 0
	for _, key := range hot {
		if _, ok := get(s, key); ok {
			kept++
		}
	}
	if len(hot) == 0 || kept < len(hot)*999/1000 {
		t.Errorf("of %d in use %d are there", len(hot), kept)
	}
	s.check(t)
}

// What a few events say is held against what many do only as far as they can tell.
func TestGhostsSayHowSureTheyAre(t *testing.T) {
	few, many := makeGhosts(1000), makeGhosts(1000)
	for look := range 50 {
		few.back, many.back = look%25/24, 100 // 2 in all
		few.look()
		many.look()
	}
	least, most := many.bounds()
	if got := many.worth(); least > got || got > most || got/least > 1.2 || most/got > 1.2 {
		t.Errorf("of many: %.1f, at least %.1f and at most %.1f", got, least, most)
	}
	if least, most := few.bounds(); least != 0 || most < few.worth() {
		t.Errorf("of two: %.3f, at least %.3f and at most %.3f", few.worth(), least, most)
	}
	if _, most := few.bounds(); most >= least {
		t.Error("what hardly ever happens is not told from what always does")
	}
	// A page of 1000 of 1024 ghosts.
	many.evicted(7)
	many.stored(7)
	many.stored(7)
	if many.back != 1 {
		t.Errorf("one ghost came back %d times", many.back)
	}
}

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
