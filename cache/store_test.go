package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// open makes a store whose clock only the test moves.
func open(t testing.TB, config Config) *Store {
	t.Helper()
	s, err := newStore(config, growthReserve, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	close(s.done) // there is no upkeep to wait for
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// forward moves the store's clock.
func (s *Store) forward(d time.Duration) {
	if s.clock.advance(s, s.clock.started.Add(d+time.Duration(s.tick.Load())*time.Second/ticksPerSecond-s.clock.offset)) {
		s.everySecond()
	}
	s.rebalance()
}

func set(t testing.TB, s *Store, key string, value []byte, ttl uint32) error {
	t.Helper()
	exptime := uint32(0)
	if ttl > 0 {
		exptime = s.now.Load() + ttl
	}
	body := append(bytes.Clone(value), "\r\n"...)
	e := s.Lock([]byte(key))
	_, ok := e.Overwrite(body, 7, exptime)
	e.Unlock()
	if ok {
		return nil
	}
	var d Draft
	if err := s.Draft(&d, []byte(key), 7, exptime, len(value)); err != nil {
		return err
	}
	if n := d.Write(body); n != len(body) || d.Left() != 0 || !d.Terminated() {
		t.Errorf("%d of %d bytes of %s written, %d left", n, len(body), key, d.Left())
	}
	e = s.Lock([]byte(key))
	e.Put(&d)
	e.Unlock()
	return nil
}

func get(s *Store, key string) ([]byte, bool) {
	e := s.Lock([]byte(key))
	defer e.Unlock()
	it, ok := e.Plain()
	if !ok {
		return nil, false
	}
	e.Access(it)
	body := it.AppendBody(nil)
	return body[:len(body)-2], true
}

func del(s *Store, key string) {
	e := s.Lock([]byte(key))
	e.Delete()
	e.Unlock()
}

// value is what the tests store under a key: it can be told from any other key's.
func value(key string, version, size int) []byte {
	head := fmt.Appendf(nil, "%s#%d#", key, version)
	return bytes.Repeat(head, size/len(head)+1)[:size]
}

// check looks at everything that must hold of a store nobody uses.
func (s *Store) check(t testing.TB) {
	t.Helper()
	queued, inUse := 0, map[uint32]int{}
	for _, c := range s.classes {
		for _, l := range []list{c.queue, c.stale} {
			n, newer := 0, uint32(0)
			for ref := l.newest; ref != 0; ref = s.at(ref).next {
				h := s.at(ref)
				if h.prev != newer {
					t.Fatalf("class %d: the item at %d is behind %d and not %d", c.number, ref, newer, h.prev)
				}
				if h.kind != kindLinked && h.kind != kindStale {
					t.Fatalf("class %d: a chunk of kind %d is queued", c.number, h.kind)
				}
				inUse[s.pageOf(ref)]++
				if h.large() {
					for data := *h.firstData(); data != 0; data = s.at(data).next {
						inUse[s.pageOf(data)]++
					}
				}
				sh, hash := s.shardOf(h)
				if found, _ := sh.find(s, hash, h.key()); found != ref {
					t.Fatalf("%q is at %d and the index says %d", h.key(), ref, found)
				}
				newer = ref
				n++
			}
			if l.oldest != newer || n != l.len {
				t.Fatalf("class %d: %d items queued and %d counted", c.number, n, l.len)
			}
			queued += n
		}
	}
	indexed := 0
	for i := range s.shards {
		indexed += int(s.shards[i].items)
	}
	if indexed != queued {
		t.Fatalf("%d items are indexed and %d queued", indexed, queued)
	}
	live := make([]int, len(s.classes))
	for number := 1; number < len(s.pages.all); number++ {
		if p := s.pages.all[number]; p.state != pageUnused {
			live[p.class] += int(p.live)
		}
		if p := s.pages.all[number]; p.state != pageUnused && int(p.live) != inUse[uint32(number)] {
			t.Fatalf("page %d has %d chunks in use and counts %d", number, inUse[uint32(number)], p.live)
		}
	}
	for _, c := range s.classes {
		if c.live != live[c.number] {
			t.Fatalf("class %d counts %d chunks in use, its pages %d", c.number, c.live, live[c.number])
		}
	}
}

func TestAStoreHoldsWhatWasLastStored(t *testing.T) {
	s := open(t, Config{Memory: 64 << 20, StaleTime: 10 * time.Second})
	model := map[string][]byte{}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60_000 {
		key := fmt.Sprint("key", random.IntN(3000))
		switch random.IntN(6) {
		case 0:
			del(s, key)
			delete(model, key)
		case 1, 2:
			size := random.IntN(300)
			if random.IntN(100) == 0 {
				size = random.IntN(200_000)
			}
			v := value(key, i, size)
			if err := set(t, s, key, v, uint32(random.IntN(2)*1000)); err != nil {
				t.Fatal(err)
			}
			model[key] = v
		default:
			got, ok := get(s, key)
			want, there := model[key]
			if ok != there || !bytes.Equal(got, want) {
				t.Fatalf("step %d: %s is %.40q (%v), want %.40q (%v)", i, key, got, ok, want, there)
			}
		}
	}
	s.check(t)
	s.forward(1001 * time.Second)
	s.check(t)
	s.Flush()
	s.sweep()
	s.check(t)
	if n := s.Stats().Items; n != 0 {
		t.Errorf("%d items are left after a flush", n)
	}
}

func TestEvictionKeepsTheBound(t *testing.T) {
	s := open(t, Config{Memory: 8 << 20, StaleTime: 10 * time.Second})
	random := rand.New(rand.NewPCG(3, 4))
	sizes := []int{10, 100, 1000, 5000, 100_000}
	for i := range 60_000 {
		key := fmt.Sprint("key", random.IntN(20_000))
		// Sizes drift, so that pages have to move.
		size := random.IntN(sizes[min(i/12_000+1, len(sizes)-1)])
		if err := set(t, s, key, value(key, 0, size), uint32(random.IntN(3)*50)); err != nil {
			t.Fatalf("step %d: %v of %d bytes", i, err, size)
		}
		key = fmt.Sprint("key", random.IntN(20_000))
		if got, ok := get(s, key); ok && !bytes.Equal(got, value(key, 0, len(got))) {
			t.Fatalf("step %d: %s is %.60q", i, key, got)
		}
		if random.IntN(10) == 0 {
			del(s, key)
		}
		if i%1000 == 0 {
			s.forward(500 * time.Millisecond)
		}
	}
	s.check(t)
	s.pages.mu.Lock()
	used := int64(s.pages.inUse)<<pageShift + s.indexBytes.Load()
	s.pages.mu.Unlock()
	if used > s.config.Memory {
		t.Errorf("%d bytes are in use, of %d", used, s.config.Memory)
	}
}

func TestConcurrentUseTearsNothing(t *testing.T) {
	s, err := New(Config{Memory: 24 << 20, StaleTime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 9))
			var held []Pin
			for i := range 15_000 {
				key := fmt.Sprint("key", random.IntN(20_000))
				switch random.IntN(12) {
				case 0, 1, 2, 3:
					size := random.IntN(2000)
					if random.IntN(50) == 0 {
						size = random.IntN(150_000)
					}
					if err := set(t, s, key, value(key, worker, size), uint32(random.IntN(2))); err != nil {
						t.Errorf("%s of %d bytes: %v", key, size, err)
					}
				case 4:
					del(s, key)
				case 5:
					e := s.Lock([]byte(key))
					if it, ok := e.Item(); ok {
						if _, pin, ok := it.AppendPieces(nil); ok {
							held = append(held, pin)
						}
					}
					e.Unlock()
				case 6:
					e := s.Lock([]byte(key))
					if _, ok := e.Plain(); !ok {
						e.Lease()
					}
					e.Unlock()
				case 7:
					if i%1500 == 0 {
						s.Flush()
					}
				default:
					if got, ok := get(s, key); ok {
						good := false
						for w := range 4 {
							good = good || bytes.Equal(got, value(key, w, len(got)))
						}
						if !good {
							t.Errorf("%s is %.60q", key, got)
						}
					}
				}
				if len(held) > 4 {
					for _, pin := range held {
						s.Unpin(pin)
					}
					held = held[:0]
				}
			}
			for _, pin := range held {
				s.Unpin(pin)
			}
		})
	}
	all.Wait()
	close(s.stop)
	<-s.done
	s.check(t)
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	close(s.done)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestARestartKeepsValuesAndVoidsTokens(t *testing.T) {
	config := Config{Memory: 16 << 20, StaleTime: time.Minute, File: filepath.Join(t.TempDir(), "memory")}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		key := fmt.Sprint("key", i)
		size := i % 500
		if i%500 == 0 {
			size = 150_000
		}
		if err := set(t, s, key, value(key, 1, size), uint32(i%2)*1000); err != nil {
			t.Fatal(err)
		}
	}
	del(s, "key0")
	del(s, "key1")
	e := s.Lock([]byte("key1"))
	lease := e.Lease()
	e.Unlock()
	if !lease.HasStale || lease.Token <= HotMiss {
		t.Fatalf("the lease is %+v", lease)
	}
	e = s.Lock([]byte("cold"))
	e.HoldOff(time.Hour)
	e.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, config)
	if s.Cold() != "" {
		t.Fatal(s.Cold())
	}
	s.check(t)
	for i := 2; i < 5000; i++ {
		key := fmt.Sprint("key", i)
		got, ok := get(s, key)
		if !ok || !bytes.Equal(got, value(key, 1, len(got))) {
			t.Fatalf("%s is %.60q (%v)", key, got, ok)
		}
	}
	e = s.Lock([]byte("key1"))
	if e.MayFill(lease.Token) {
		t.Error("a token of before the restart fills")
	}
	if again := e.Lease(); again.HasStale || again.Token <= lease.Token {
		t.Errorf("the lease after the restart is %+v, the one before %+v", again, lease)
	}
	e.Unlock()
	e = s.Lock([]byte("other"))
	if !e.HeldOff() {
		t.Error("the hold-off is over after the restart")
	}
	e.Unlock()
}

func BenchmarkGet(b *testing.B) {
	s := open(b, Config{Memory: 512 << 20})
	keys := make([][]byte, 1<<20)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%d", i)
		if err := set(b, s, string(keys[i]), make([]byte, 135), 0); err != nil {
			b.Fatal(err)
		}
	}
	var dst []byte
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i = i*1664525 + 1013904223
		e := s.Lock(keys[i>>12])
		if it, ok := e.Plain(); ok {
			e.Access(it)
			dst = it.AppendBody(dst[:0])
		}
		e.Unlock()
	}
}

func BenchmarkSetNew(b *testing.B) {
	s := open(b, Config{Memory: 64 << 20})
	key := []byte("key:00000000")
	body := make([]byte, 137)
	b.ReportAllocs()
	n := uint32(0)
	for b.Loop() {
		n++
		binary.LittleEndian.PutUint32(key[4:], n)
		var d Draft
		if err := s.Draft(&d, key, 0, 0, 135); err != nil {
			b.Fatal(err)
		}
		d.Write(body)
		e := s.Lock(key)
		e.Put(&d)
		e.Unlock()
	}
}

// A cache with fewer pages than classes takes the last page of some: what these have
// counted stays.
func TestEvictionsAreNotForgotten(t *testing.T) {
	s := open(t, Config{Memory: minMemory})
	before := uint64(0)
	for i := range 30_000 {
		if err := set(t, s, fmt.Sprint("key", i), make([]byte, 300*(i/500)), 0); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			n := s.evictions()
			if n < before {
				t.Fatalf("%d evictions after %d", n, before)
			}
			before = n
		}
	}
	s.check(t)
	if before == 0 {
		t.Error("nothing was evicted")
	}
}

func TestTheSmallestCacheTakesTheLargestItem(t *testing.T) {
	s := open(t, Config{Memory: 1})
	for i := range 20 {
		if err := set(t, s, fmt.Sprint("small", i), make([]byte, 300*i), 0); err != nil {
			t.Fatal(err)
		}
		if err := set(t, s, "large", make([]byte, 1<<20-100), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.check(t)
}
