package cache

import "sync/atomic"

// Stats is how a store stands.
type Stats struct {
	Items      int64  // that can be had, and stubs, but not deleted values that are kept
	Bytes      int64  // that these take: headers, keys and values
	TotalItems uint64 // stored since the start, stubs too
	Limit      int64  // bytes of memory
	IndexBytes int64
	StaleBytes int64 // of deleted values that are kept
	Buckets    int64 // of the index
	PagesMoved uint64
	// ExpiredHits and FlushedHits count lookups that met an item which was past its time,
	// or flushed, and not yet freed.
	ExpiredHits, FlushedHits uint64
}

// Stats says how the store stands.
func (s *Store) Stats() Stats {
	stats := Stats{
		Items: s.itemCount.Load(), Bytes: s.itemBytes.Load(), TotalItems: s.itemTotal.Load(),
		Limit: s.limit.Load(), IndexBytes: s.indexBytes.Load(), StaleBytes: s.staleBytes.Load(),
		PagesMoved: s.moved.Load(),
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		stats.Buckets += int64(sh.bucketCount())
		stats.ExpiredHits += sh.expiredHits
		stats.FlushedHits += sh.flushedHits
		sh.mu.Unlock()
	}
	return stats
}

// ClassStats is how a size class stands.
type ClassStats struct {
	Class     int // from 1
	ChunkSize int
	PerPage   int
	Pages     int
	Items     int
	Stale     int   // deleted values that are kept
	Bytes     int64 // of items, without what chunks leave over
	UsedChunk int   // chunks in use
	OldestAge int64 // seconds for which the item that goes next was not accessed
	Side      bool  // of stubs
	ClassCounts
}

// Classes says how the size classes stand that have memory, or have done anything.
func (s *Store) Classes() []ClassStats {
	var all []ClassStats
	for _, c := range s.classes {
		c.mu.Lock()
		if c.pages > 0 || c.counts != (ClassCounts{}) {
			// What is retained for being used may stand there: the least used of a few counts.
			_, idle := s.idle(c)
			all = append(all, ClassStats{
				Class: int(c.number) + 1, ChunkSize: c.size, PerPage: c.perPage, Pages: c.pages,
				Items: c.queue.len, Stale: c.stale.len, Bytes: c.bytes.Load(), UsedChunk: c.live,
				OldestAge: int64(idle) / ticksPerSecond, Side: c.side, ClassCounts: c.counts,
			})
		}
		c.mu.Unlock()
	}
	return all
}

// ClassCount is how many size classes there are.
func (s *Store) ClassCount() int { return len(s.classes) }

// OnEvict has f called for every item that is evicted before its time, with locks held: f
// must not wait, and must not use the store. nil ends it.
func (s *Store) OnEvict(f func(Item)) {
	if f == nil {
		s.onEvict.Store(nil)
		return
	}
	s.onEvict.Store(&f)
}

// Key is the item's key. It is not to be kept or changed.
func (it Item) Key() []byte { return it.h.key() }

// Expires is the Unix time at which the item is gone, and -1 for one that stays.
func (it Item) Expires() int64 {
	if it.h.exptime == 0 {
		return -1
	}
	return it.store.clock.epoch + int64(it.h.exptime)
}

// Accessed is the Unix time of the last access.
func (it Item) Accessed() int64 {
	return it.store.clock.epoch + int64(it.h.atime/ticksPerSecond)
}

// Walk is a place in a walk over all items. The zero value is its beginning.
type Walk struct {
	shard  int
	bucket uint32
}

// Walk calls f for the items of the next bucket, with their shard locked: f must not wait,
// and must not use the store. It reports false when there is no more. An item that stays
// during the whole walk is seen at least once.
func (s *Store) Walk(w *Walk, f func(Item)) bool {
	for w.shard < shardCount {
		sh := &s.shards[w.shard]
		sh.mu.Lock()
		if w.bucket >= sh.bucketCount() {
			sh.mu.Unlock()
			w.shard, w.bucket = w.shard+1, 0
			continue
		}
		// Splits move items to buckets that are yet to come.
		for b := s.bucketAt(w.bucket, sh.number); ; b = s.overflowAt(b.overflow) {
			for _, ref := range b.refs {
				if ref == 0 {
					continue
				}
				if h := s.at(ref); !h.has(bitInvisible) && !s.gone(h) {
					f(Item{store: s, h: h, ref: ref})
				}
			}
			if b.overflow == 0 {
				break
			}
		}
		w.bucket++
		sh.mu.Unlock()
		return true
	}
	return false
}

// ResetStats sets the counters to zero, and leaves what tells how the store stands.
func (s *Store) ResetStats() {
	s.itemTotal.Store(0)
	s.moved.Store(0)
	for _, c := range s.classes {
		c.mu.Lock()
		c.counts = ClassCounts{}
		c.mu.Unlock()
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.expiredHits, sh.flushedHits = 0, 0
		sh.mu.Unlock()
	}
	l := &s.leases
	for _, n := range []*atomic.Uint64{
		&l.granted, &l.regranted, &l.hotMisses, &l.filled, &l.refused, &l.staleHits, &l.noStub,
		&l.holdoffRefused, &l.holdoffDisplaced,
	} {
		n.Store(0)
	}
}
