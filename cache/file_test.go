package cache

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// reopened closes a store and opens its file again, at a time.
func reopened(t *testing.T, s *Store, now time.Time) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := newStore(s.config, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	close(again.done)
	return again
}

// kept makes a store in a file, with chunks of every kind in it, at the time it returns.
func kept(t *testing.T, name string) (*Store, time.Time) {
	t.Helper()
	now := time.Now()
	s, err := newStore(Config{Memory: minMemory, StaleTime: time.Minute, File: name}, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	close(s.done)
	for i := range 1500 {
		size := i % 300
		if i%500 == 0 {
			size = 150_000
		}
		if err := set(t, s, fmt.Sprint("key", i), value("v", i, size), uint32(i%3*1000)); err != nil {
			t.Fatal(err)
		}
	}
	del(s, "key1")
	e := s.Lock([]byte("key1"))
	e.Lease()
	e.Unlock()
	e = s.Lock([]byte("key1000"))
	if it, ok := e.Item(); ok {
		it.AppendPieces(nil) // it stays pinned
	}
	e.Delete()
	e.Unlock()
	e = s.Lock([]byte("stub"))
	e.Lease()
	e.Unlock()
	var d Draft
	if err := s.Draft(&d, []byte("draft"), 0, 0, 100_000); err != nil {
		t.Fatal(err)
	}
	return s, now
}

func TestADamagedFileIsNotFollowed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "memory")
	s, now := kept(t, name)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	cold := 0
	const rounds = 60
	for round := range rounds {
		damaged := append([]byte(nil), whole...)
		for range 1 + random.IntN(3) {
			at := headBegin + random.IntN(len(s.appendSettings(nil))+1000)
			switch random.IntN(4) {
			case 0: // the table
				at = len(damaged) - 1 - random.IntN(len(s.pages.all)*tableSize)
			case 1, 2: // a header
				number := uint32(1 + random.IntN(len(s.pages.all)-1))
				p := s.pages.all[number]
				units := s.classes[p.class].units
				if p.fresh > 0 {
					at = int(s.pageStart(number)+uint32(random.IntN(int(p.fresh)))*units)<<s.shift + random.IntN(headerSize+12)
				}
			}
			if random.IntN(2) == 0 {
				damaged[at] = byte(random.Uint32())
			} else if at+4 <= len(damaged) {
				binary.LittleEndian.PutUint32(damaged[at:], uint32(random.IntN(1<<18)))
			}
		}
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := newStore(s.config, 1, now)
		if err != nil {
			t.Fatal(err)
		}
		close(again.done)
		if again.Cold() != "" {
			cold++
		}
		for i := range 300 {
			get(again, fmt.Sprint("key", i*5))
			if err := set(t, again, fmt.Sprint("new", i), make([]byte, i*50), uint32(i%2)); err != nil {
				t.Fatal(err)
			}
		}
		again.forward(2 * time.Second)
		if err := again.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if cold == 0 || cold == rounds {
		t.Errorf("%d of %d files were refused", cold, rounds)
	}
}

func TestAFileIsTakenOverInAnyState(t *testing.T) {
	s, now := kept(t, filepath.Join(t.TempDir(), "memory"))
	s = reopened(t, s, now)
	if s.Cold() != "" {
		t.Fatal(s.Cold())
	}
	s.check(t)
	for _, key := range []string{"key1", "key1000", "stub", "draft"} {
		e := s.Lock([]byte(key))
		if e.ref != 0 {
			t.Errorf("%s is there", key)
		}
		e.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheClockGoesOnAfterItWasSetBack(t *testing.T) {
	s, now := kept(t, filepath.Join(t.TempDir(), "memory"))
	if err := set(t, s, "short", []byte("v"), 60); err != nil {
		t.Fatal(err)
	}
	s = reopened(t, s, now.Add(-time.Hour))
	s.clock.advance(s, now.Add(-time.Hour).Add(61*time.Second))
	if v, ok := get(s, "short"); ok {
		t.Errorf("%q is there after a minute", v)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFlushToComeComesAfterARestart(t *testing.T) {
	for name, down := range map[string]time.Duration{"later": 0, "while down": time.Minute} {
		t.Run(name, func(t *testing.T) {
			s, now := kept(t, filepath.Join(t.TempDir(), "memory"))
			s.FlushAt(s.now.Load() + 30)
			s = reopened(t, s, now.Add(down))
			if down == 0 {
				if s.Stats().Items == 0 {
					t.Error("nothing is there before the flush")
				}
				s.forward(31 * time.Second)
			}
			if n := s.Stats().Items; n != 0 {
				t.Errorf("%d items are there after the flush", n)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
