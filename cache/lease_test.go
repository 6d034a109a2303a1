package cache

import (
	"fmt"
	"testing"
	"time"
)

// lease asks for a key's lease, and returns its token and the stale value.
func lease(s *Store, key string) (token uint64, stale string) {
	e := s.Lock([]byte(key))
	defer e.Unlock()
	l := e.Lease()
	if l.HasStale {
		body := l.Stale.AppendBody(nil)
		stale = string(body[:len(body)-2])
	}
	return l.Token, stale
}

// fill stores a value by token, if it is good.
func fill(t testing.TB, s *Store, key string, token uint64, value string) bool {
	t.Helper()
	var d Draft
	if err := s.Draft(&d, []byte(key), 0, 0, len(value)); err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	d.Write([]byte(value + "\r\n"))
	e := s.Lock([]byte(key))
	defer e.Unlock()
	if !e.MayFill(token) {
		return false
	}
	e.Put(&d)
	return true
}

func leasing(t testing.TB) *Store {
	return open(t, Config{Memory: 16 << 20, StaleTime: 5 * time.Second, LeaseInterval: 10 * time.Second})
}

func TestOneReaderFillsAndOthersWait(t *testing.T) {
	s := leasing(t)
	token, _ := lease(s, "k")
	if token <= HotMiss {
		t.Fatalf("the first reader's token is %d", token)
	}
	for range 3 {
		if other, _ := lease(s, "k"); other != HotMiss {
			t.Errorf("another reader's token is %d, want %d", other, HotMiss)
		}
	}
	if !fill(t, s, "k", token, "v") {
		t.Fatal("the fill was refused")
	}
	if got, _ := get(s, "k"); string(got) != "v" {
		t.Errorf("k is %q after the fill", got)
	}
	if fill(t, s, "k", token, "again") {
		t.Error("one token filled twice")
	}
}

func TestWhateverHappensInBetweenVoidsTheToken(t *testing.T) {
	for name, happens := range map[string]func(*Store){
		"delete": func(s *Store) { del(s, "k") },
		"set": func(s *Store) {
			if err := set(t, s, "k", []byte("newer"), 0); err != nil {
				t.Error(err)
			}
		},
		"set and delete": func(s *Store) {
			if err := set(t, s, "k", []byte("newer"), 0); err != nil {
				t.Error(err)
			}
			del(s, "k")
		},
		"flush": func(s *Store) { s.Flush() },
		"eviction": func(s *Store) {
			for i := range 300_000 {
				lease(s, fmt.Sprint("other", i))
				// Values make the stale ones go, which stubs do not.
				if err := set(t, s, fmt.Sprint("value", i), []byte("any"), 0); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		for _, stale := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stale value %v", name, stale), func(t *testing.T) {
				s := leasing(t)
				if stale {
					if err := set(t, s, "k", []byte("old"), 0); err != nil {
						t.Fatal(err)
					}
					del(s, "k")
				}
				token, _ := lease(s, "k")
				happens(s)
				if fill(t, s, "k", token, "stale") {
					t.Fatal("a fill that began before was stored")
				}
				if got, ok := get(s, "k"); ok && string(got) != "newer" {
					t.Errorf("k is %q", got)
				}
			})
		}
	}
}

func TestAfterADeleteTheNextReaderWinsAtOnce(t *testing.T) {
	s := leasing(t)
	first, _ := lease(s, "k")
	del(s, "k")
	second, _ := lease(s, "k")
	if second == HotMiss || second == first {
		t.Fatalf("the token after the delete is %d, the one before %d", second, first)
	}
	if fill(t, s, "k", first, "old") {
		t.Error("the token of before the delete fills")
	}
	if !fill(t, s, "k", second, "new") {
		t.Error("the token of after the delete does not fill")
	}
}

func TestASlowDatabaseStillFills(t *testing.T) {
	for _, stale := range []bool{false, true} {
		t.Run(fmt.Sprintf("stale value %v", stale), func(t *testing.T) {
			s := leasing(t)
			if stale {
				if err := set(t, s, "k", []byte("old"), 0); err != nil {
					t.Fatal(err)
				}
				del(s, "k")
			}
			token, _ := lease(s, "k")
			s.forward(9 * time.Second)
			if other, _ := lease(s, "k"); other != HotMiss {
				t.Errorf("a second token within the interval: %d", other)
			}
			s.forward(2 * time.Second)
			other, value := lease(s, "k")
			if other != token {
				t.Errorf("after the interval the token is %d and not the first one, %d", other, token)
			}
			if value != "" {
				t.Errorf("%q is stale for longer than its time", value)
			}
			if third, _ := lease(s, "k"); third != HotMiss {
				t.Errorf("the interval did not begin anew: token %d", third)
			}
			s.forward(30 * time.Second)
			if !fill(t, s, "k", token, "v") {
				t.Error("the fill of a slow database was refused")
			}
		})
	}
}

func TestADeletedValueIsStaleForAWhile(t *testing.T) {
	s := leasing(t)
	if err := set(t, s, "k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	del(s, "k")
	if got, ok := get(s, "k"); ok {
		t.Errorf("a get sees the deleted value %q", got)
	}
	token, value := lease(s, "k")
	if value != "old" || token == HotMiss {
		t.Errorf("the lease is %d with %q", token, value)
	}
	if other, value := lease(s, "k"); other != HotMiss || value != "old" {
		t.Errorf("the second reader's lease is %d with %q", other, value)
	}
	s.forward(6 * time.Second)
	if _, value := lease(s, "k"); value != "" {
		t.Errorf("%q is still there", value)
	}
	if !fill(t, s, "k", token, "v") {
		t.Error("the token went with the stale value")
	}
	if left := s.Stats().StaleBytes; left != 0 {
		t.Errorf("%d bytes of stale values are counted and none is there", left)
	}
	s.check(t)
}

func TestStubsAndStaleValuesEvictNoValue(t *testing.T) {
	s := open(t, Config{Memory: 32 << 20, StaleTime: time.Hour})
	n := 0
	for n%1000 != 0 || s.evictions() == 0 {
		if err := set(t, s, fmt.Sprint("value", n), make([]byte, 400), 0); err != nil {
			t.Fatal(err)
		}
		n++
	}
	before, items := s.evictions(), s.Stats().Items
	for i := range 200_000 {
		lease(s, fmt.Sprint("missing:", i))
		e := s.Lock(fmt.Appendf(nil, "held:%d", i))
		e.HoldOff(time.Minute)
		e.Unlock()
	}
	if now := s.evictions(); now != before {
		t.Errorf("stubs and hold-offs have evicted %d values", now-before)
	}
	deleted := int64(0)
	for i := range n / 2 {
		key := fmt.Sprint("value", n-1-i)
		if _, ok := get(s, key); ok {
			del(s, key)
			deleted++
		}
	}
	if now := s.Stats().Items - stubs(s); now != items-deleted {
		t.Errorf("%d items are left of %d, %d of which were deleted", now, items, deleted)
	}
	if stale := s.Stats().StaleBytes; stale > 32<<20/budgetShare {
		t.Errorf("stale values take %d bytes", stale)
	}
	s.check(t)
}

// stubs is how many stubs there are.
func stubs(s *Store) (n int64) {
	for _, c := range s.Classes() {
		if c.Side {
			n += int64(c.Items)
		}
	}
	return n
}

func (s *Store) evictions() (n uint64) {
	for _, c := range s.Classes() {
		if !c.Side {
			n += c.Evictions
		}
	}
	return n
}

func TestCASIDsAreNotReused(t *testing.T) {
	first := open(t, Config{Memory: 8 << 20})
	for range 1000 {
		first.nextCAS()
	}
	last := first.nextCAS()
	if last <= HotMiss || last >= 1<<63 {
		t.Errorf("a CAS id is %d", last)
	}
	s, err := newStore(Config{Memory: 8 << 20}, 1, time.Now().Add(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	close(s.done)
	t.Cleanup(func() { _ = s.Close() })
	if next := s.nextCAS(); next <= last {
		t.Errorf("after a restart comes %d, before it was %d", next, last)
	}
}

func TestAHoldOffRefusesAdds(t *testing.T) {
	s := leasing(t)
	hold := func(key string, d time.Duration) {
		e := s.Lock([]byte(key))
		e.Delete()
		e.HoldOff(d)
		e.Unlock()
	}
	held := func(key string) bool {
		e := s.Lock([]byte(key))
		defer e.Unlock()
		return e.HeldOff()
	}
	hold("k", 2*time.Second)
	hold("filled", 2*time.Second)
	if !held("k") || !held("filled") || held("other") {
		t.Errorf("held off: k %v, filled %v, other %v", held("k"), held("filled"), held("other"))
	}
	if err := set(t, s, "filled", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if held("filled") {
		t.Error("a set did not end the hold-off")
	}
	s.forward(2*time.Second - time.Millisecond)
	if !held("k") {
		t.Error("the hold-off ended early")
	}
	s.forward(250 * time.Millisecond)
	if held("k") {
		t.Error("the hold-off did not end")
	}
}

func TestAFullHoldOffTableRefusesEveryAdd(t *testing.T) {
	s := open(t, Config{Memory: 8 << 20})
	keys := 0
	for s.LeaseStats().HoldoffsDisplaced == 0 {
		e := s.Lock(fmt.Appendf(nil, "k%d", keys))
		e.HoldOff(10 * time.Second)
		e.Unlock()
		keys++
	}
	for i := range keys {
		e := s.Lock(fmt.Appendf(nil, "k%d", i))
		if !e.HeldOff() {
			t.Fatalf("the hold-off of k%d slipped", i)
		}
		e.Unlock()
	}
	s.forward(11 * time.Second)
	e := s.Lock([]byte("k0"))
	defer e.Unlock()
	if e.HeldOff() {
		t.Error("adds are refused for ever")
	}
}

func TestAShortHoldOffWithoutAPlaceRefusesEveryAddForAShortTime(t *testing.T) {
	s := open(t, Config{})
	// Keys that have the same places, one more than there are.
	byPlace := map[*holdoff][][]byte{}
	var keys [][]byte
	for i := 0; len(keys) <= holdoffWays; i++ {
		key := fmt.Appendf(nil, "k%d", i)
		hash := s.hash(key)
		first := &s.shards[hash&shardMask].ways(hash)[0]
		byPlace[first] = append(byPlace[first], key)
		keys = byPlace[first]
	}
	held := func(key []byte) bool {
		e := s.Lock(key)
		defer e.Unlock()
		return e.HeldOff()
	}
	for i, key := range keys {
		d := time.Hour
		if i == holdoffWays {
			d = 2 * time.Second
		}
		e := s.Lock(key)
		e.HoldOff(d)
		e.Unlock()
	}
	if s.LeaseStats().HoldoffsDisplaced != 1 || !held([]byte("other")) {
		t.Error("the hold-off without a place was not counted, or slipped")
	}
	s.forward(3 * time.Second)
	if held([]byte("other")) {
		t.Error("every add is refused for longer than the hold-off without a place")
	}
	for _, key := range keys[:holdoffWays] {
		if !held(key) {
			t.Errorf("the hold-off of %s slipped", key)
		}
	}
}

// Both dialects give out the same token: who comes by the meta one while lease-get's
// reader is at the database waits for that reader's fill, and does not void its token.
func TestOneTokenForBothDialects(t *testing.T) {
	s := open(t, Config{StaleTime: time.Minute})
	if err := set(t, s, "k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	del(s, "k")
	e := s.Lock([]byte("k"))
	defer e.Unlock()
	lease := e.Lease()
	if lease.Token <= HotMiss || !lease.HasStale {
		t.Fatalf("the first reader after a delete: %+v", lease)
	}
	it, won, ok := e.Vivify(0)
	if won || !ok || !it.TokenSent() || it.CAS() != lease.Token {
		t.Errorf("the second: won is %v, ok %v, token %d, the first has %d", won, ok, it.CAS(), lease.Token)
	}
	if again := e.Lease(); again.Token != HotMiss {
		t.Errorf("the third: %+v", again)
	}
	if !e.MayFill(lease.Token) {
		t.Error("the first reader's token is void")
	}
	e.Delete()
	if it, won, ok := e.Vivify(0); !won || !ok || it.CAS() == lease.Token {
		t.Errorf("after the next delete: won is %v, ok %v", won, ok)
	}
}

func TestATokenForAStaleItemKeepsOthersWaiting(t *testing.T) {
	s := leasing(t)
	if err := set(t, s, "k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	e := s.Lock([]byte("k"))
	it, _ := e.Item()
	e.MarkStale(it)
	e.Unlock()
	s.forward(time.Minute)
	e = s.Lock([]byte("k"))
	it, _ = e.Item()
	e.SetToken(it)
	e.Access(it)
	second := e.Lease()
	e.Unlock()
	if second.Token != HotMiss || !second.HasStale {
		t.Errorf("the second reader, at once: %+v", second)
	}
	s.forward(11 * time.Second)
	if token, _ := lease(s, "k"); token != it.CAS() {
		t.Errorf("the token after the interval is %d, and was %d", token, it.CAS())
	}
}

// A stub that is to stay for ever rations in both dialects as long as one of lease-get.
func TestAStubWithoutATimeKeepsOthersWaiting(t *testing.T) {
	s := leasing(t)
	e := s.Lock([]byte("k"))
	defer e.Unlock()
	it, _, _ := e.Vivify(0)
	e.SetToken(it)
	if lease := e.Lease(); lease.Token != HotMiss {
		t.Errorf("lease-get is told %+v", lease)
	}
	if _, ok := e.Item(); !ok {
		t.Error("the stub is hidden though its token is out")
	}
}

// The token of a stub that was marked stale is a new one, and was handed out only now.
func TestATokenForAStaleStubKeepsOthersWaiting(t *testing.T) {
	s := open(t, Config{})
	e := s.Lock([]byte("k"))
	it, won, ok := e.Vivify(0)
	if !won || !ok {
		t.Fatal("no stub was made")
	}
	e.SetToken(it)
	e.MarkStale(it)
	e.Unlock()
	s.forward(20 * time.Second)
	e = s.Lock([]byte("k"))
	if it, ok = e.Item(); !ok {
		t.Fatal("the stub is gone")
	}
	e.SetToken(it)
	e.Unlock()
	s.forward(time.Second)
	if token, _ := lease(s, "k"); token != HotMiss {
		t.Errorf("a second reader was told to fill, with %d", token)
	}
}
