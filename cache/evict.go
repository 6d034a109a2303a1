package cache

// evict frees one item of class c: a stale value if there is one, else whatever the hand
// comes to that was not accessed since its last round. It reports whether it freed one.
// c.mu is held; of shards' locks only those are taken that are free.
func (s *Store) evict(c *class) bool {
	if s.evictStale(c) {
		return true
	}
	if s.config.NoEviction && !c.side {
		return false
	}
	ref := c.hand
	if ref == 0 || c.side {
		ref = c.queue.oldest
	}
	for range handSteps {
		if ref == 0 {
			ref = c.queue.oldest
			if ref == 0 {
				return false
			}
		}
		h := s.at(ref)
		newer := h.prev
		shard, hash := s.shardOf(h)
		if !shard.mu.TryLock() {
			ref = newer
			continue
		}
		switch {
		case h.refs > 0:
		case h.has(bitVisited) && !c.side && !s.gone(h):
			h.bits &^= bitVisited
		default:
			c.hand = newer
			s.evictVictim(c, shard, hash, ref, h)
			shard.mu.Unlock()
			return true
		}
		shard.mu.Unlock()
		ref = newer
	}
	// Everything the hand saw is in use: take the next one that nobody holds.
	return s.evictAny(c, ref)
}

// handSteps bounds how many items the hand passes for one eviction, so that no set waits
// for a whole round of it.
const handSteps = 64

// evictAny frees the first item from ref on that can be had.
func (s *Store) evictAny(c *class, ref uint32) bool {
	for range handSteps {
		if ref == 0 {
			ref = c.queue.oldest
			if ref == 0 {
				return false
			}
		}
		h := s.at(ref)
		newer := h.prev
		shard, hash := s.shardOf(h)
		if shard.mu.TryLock() {
			if h.refs == 0 {
				c.hand = newer
				s.evictVictim(c, shard, hash, ref, h)
				shard.mu.Unlock()
				return true
			}
			shard.mu.Unlock()
		}
		ref = newer
	}
	return false
}

// evictStale frees the oldest stale value of class c, if there is one that can be had.
func (s *Store) evictStale(c *class) bool {
	ref := c.stale.oldest
	for range handSteps {
		if ref == 0 {
			return false
		}
		h := s.at(ref)
		newer := h.prev
		shard, hash := s.shardOf(h)
		if shard.mu.TryLock() {
			if h.refs == 0 {
				s.dropLocked(c, shard, hash, ref, h)
				shard.mu.Unlock()
				return true
			}
			shard.mu.Unlock()
		}
		ref = newer
	}
	return false
}

// evictVictim frees what the hand chose.
func (s *Store) evictVictim(c *class, shard *shard, hash uint64, ref uint32, h *header) {
	s.countEviction(c, hash, h)
	age := float64(s.tick.Load() - h.atime)
	if c.evicted == 0 {
		c.victimAge = age
	} else {
		c.victimAge += (age - c.victimAge) / victimWeight
	}
	c.evicted++
	s.dropLocked(c, shard, hash, ref, h)
}

// countEviction counts an item that is to make room.
func (s *Store) countEviction(c *class, hash uint64, h *header) {
	if s.gone(h) {
		c.counts.Reclaimed++
		if !h.has(bitFetched) {
			c.counts.Expired++
		}
		return
	}
	c.counts.Evictions++
	c.ghosts.evicted(hash)
	if !h.has(bitFetched) {
		c.counts.EvictedUnread++
	}
	if h.exptime != 0 {
		c.counts.EvictedWithTTL++
	}
	if watch := s.onEvict.Load(); watch != nil {
		(*watch)(Item{store: s, h: h})
	}
}

// victimWeight is over how many evictions the age of victims is averaged.
const victimWeight = 64

// dropLocked takes an item out of index, ring and queue, and frees it; one that is pinned
// is freed when it is not any more. The shard's lock is held, and the mu of class c, in
// whose queue the item is.
func (s *Store) dropLocked(c *class, shard *shard, hash uint64, ref uint32, h *header) {
	shard.remove(s, hash, ref)
	s.leaveLocked(c, shard, ref, h)
	s.freeItemLocked(c, ref, h)
}

// leaveLocked takes an item out of ring and queue.
func (s *Store) leaveLocked(c *class, shard *shard, ref uint32, h *header) {
	if h.ringed() && h.kind != kindStale {
		shard.ring.remove(s, h)
	}
	c.bytes.Add(-h.memory())
	if h.kind == kindStale {
		c.stale.remove(s, h)
		s.staleBytes.Add(-h.memory())
		return
	}
	s.itemCount.Add(-1)
	s.itemBytes.Add(-h.memory())
	if c.hand == ref {
		c.hand = h.prev
	}
	c.queue.remove(s, h)
}

// freeItemLocked frees an item that is in no index, ring and queue any more.
func (s *Store) freeItemLocked(c *class, ref uint32, h *header) {
	if h.refs > 0 {
		s.setKind(c, ref, h, kindOrphan)
		return
	}
	if !h.large() {
		s.freeLocked(c, ref)
		return
	}
	// c is the class of the data chunks; the item's own and the last chunk's are others.
	for data := *h.firstData(); data != 0; {
		next := s.at(data).next
		s.freeChunkOf(c, data)
		data = next
	}
	s.freeChunkOf(c, ref)
}

// freeChunkOf frees a chunk of any class, with the mu of held held. Classes of chunks are
// locked from the largest down only: those of an item and its last data chunk are never
// larger than that of its data.
func (s *Store) freeChunkOf(held *class, ref uint32) {
	c := s.classes[s.pages.all[s.pageOf(ref)].class]
	if c == held {
		s.freeLocked(c, ref)
		return
	}
	c.mu.Lock()
	s.freeLocked(c, ref)
	c.mu.Unlock()
}

// setKind says what a chunk is from now on. The shard's lock is held, and the mu of held,
// in whose queue the item is or will be; a large item lies in a page of another class,
// whose mu guards the kind too.
func (s *Store) setKind(held *class, ref uint32, h *header, kind uint8) {
	c := s.classes[s.pages.all[s.pageOf(ref)].class]
	if c == held {
		h.kind = kind
		return
	}
	c.mu.Lock()
	h.kind = kind
	c.mu.Unlock()
}
