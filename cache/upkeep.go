package cache

import (
	"sync"
	"time"
)

// expireStep is how many items a shard expires before others are let in.
const expireStep = 256

// upkeep moves the clock and does what is due, until Close.
func (s *Store) upkeep() {
	defer close(s.done)
	ticker := time.NewTicker(time.Second / ticksPerSecond)
	defer ticker.Stop()
	// Sweeping millions of items takes its time, in which the clock goes on.
	due := make(chan struct{}, 1)
	var chores sync.WaitGroup
	chores.Go(func() { s.chores(due) })
	defer chores.Wait()
	defer close(due)
	for round := 0; ; round++ {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			if s.clock.advance(s, now) || round%balanceTicks == 0 {
				select {
				case due <- struct{}{}:
				default:
				}
			}
		}
	}
}

// chores does what is due whenever it is told to look, until due is closed.
func (s *Store) chores(due <-chan struct{}) {
	last := s.now.Load()
	for range due {
		if now := s.now.Load(); now != last {
			last = now
			s.everySecond()
		}
		s.rebalance()
	}
}

// balanceTicks is how many ticks pass between two looks at the balance of classes.
const balanceTicks = 4

func (s *Store) everySecond() {
	s.flushDue()
	s.sweep()
	now := s.now.Load()
	for i := range s.shards {
		sh := &s.shards[i]
		for all := false; !all; {
			sh.mu.Lock()
			all = sh.expire(s, now, expireStep)
			sh.mu.Unlock()
		}
	}
	for _, c := range s.classes[:s.valueClasses] {
		s.expireStale(c)
	}
}

// expireStale frees the stale values of a class whose time is over.
func (s *Store) expireStale(c *class) {
	var key [MaxKey]byte
	for {
		c.mu.Lock()
		ref := c.stale.oldest
		if ref == 0 {
			c.mu.Unlock()
			return
		}
		n := copy(key[:], s.at(ref).key())
		c.mu.Unlock()
		// Lock takes away what is gone, or leaves its stub.
		e := s.Lock(key[:n])
		due := e.ref != ref || s.at(ref).kind != kindStale || s.goneIn(s.at(ref), e.gen)
		e.Unlock()
		if !due {
			return
		}
	}
}
