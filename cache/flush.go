package cache

import "sync"

// flushes are the flush that is to come, and how far the last ones were swept.
type flushes struct {
	mu    sync.Mutex
	at    uint32 // the second of a flush to come; 0: none. Guarded by mu
	swept uint32 // the generation up to which everything flushed was freed. Guarded by mu
}

// Flush makes everything that was stored before this call gone: values, stubs, their
// tokens, stale values. Whatever is stored after it returns stays. A flush that was to
// come is cancelled.
func (s *Store) Flush() {
	s.flushes.mu.Lock()
	defer s.flushes.mu.Unlock()
	s.flushes.at = 0
	s.flushLocked()
}

// FlushAt does so when the store's clock comes to a second (of Expiry); a later call, or
// Flush, takes its place.
func (s *Store) FlushAt(second uint32) {
	s.flushes.mu.Lock()
	defer s.flushes.mu.Unlock()
	if second <= s.now.Load() {
		s.flushes.at = 0
		s.flushLocked()
		return
	}
	s.flushes.at = second
}

// maxUnswept is how many flushes there can be before what they flushed is freed.
const maxUnswept = 200

func (s *Store) flushLocked() {
	if s.gen.Load()-s.flushes.swept >= maxUnswept {
		// Items carry eight bits of the generation: none may outlive that.
		s.sweepAll()
		s.flushes.swept = s.gen.Load()
	}
	s.gen.Add(1)
}

// flushDue carries out a flush whose time has come.
func (s *Store) flushDue() {
	s.flushes.mu.Lock()
	defer s.flushes.mu.Unlock()
	if s.flushes.at != 0 && s.flushes.at <= s.now.Load() {
		s.flushes.at = 0
		s.flushLocked()
	}
}

// sweep frees what was flushed.
func (s *Store) sweep() {
	gen := s.gen.Load()
	s.flushes.mu.Lock()
	swept := s.flushes.swept == gen
	s.flushes.mu.Unlock()
	if swept {
		return
	}
	// Whoever flushes again meanwhile does not wait for this.
	s.sweepAll()
	s.flushes.mu.Lock()
	s.flushes.swept = max(s.flushes.swept, gen)
	s.flushes.mu.Unlock()
}

// sweepAll frees everything that is of another generation than now.
func (s *Store) sweepAll() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for number := uint32(0); number < sh.bucketCount(); number++ {
			s.sweepBucket(sh, number)
			if number%sweepStep == sweepStep-1 {
				sh.mu.Unlock() // let others in
				sh.mu.Lock()
			}
		}
		sh.mu.Unlock()
	}
}

// sweepStep is how many buckets are swept before others are let in.
const sweepStep = 64

func (s *Store) sweepBucket(sh *shard, number uint32) {
	for {
		ref := s.flushedIn(sh, number)
		if ref == 0 {
			return
		}
		h := s.at(ref)
		c := s.classes[h.class]
		c.mu.Lock()
		s.dropLocked(c, sh, s.hash(h.key()), ref, h)
		c.mu.Unlock()
	}
}

// flushedIn is an item of a bucket that was flushed, or 0.
func (s *Store) flushedIn(sh *shard, number uint32) uint32 {
	for b := s.bucketAt(number, sh.number); ; b = s.overflowAt(b.overflow) {
		for _, ref := range b.refs {
			if ref != 0 && s.at(ref).gen != uint8(s.gen.Load()) {
				return ref
			}
		}
		if b.overflow == 0 {
			return 0
		}
	}
}
