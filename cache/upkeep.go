package cache

import "time"

// expireStep is how many items a shard expires before others are let in.
const expireStep = 256

// upkeep moves the clock and does what is due, until Close.
func (s *Store) upkeep() {
	defer close(s.done)
	ticker := time.NewTicker(time.Second / ticksPerSecond)
	defer ticker.Stop()
	for round := 0; ; round++ {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			if s.clock.advance(s, now) {
				s.everySecond()
			}
			if round%balanceTicks == 0 {
				s.rebalance()
			}
		}
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
