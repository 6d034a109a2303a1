package cache

import (
	"sync"
	"sync/atomic"
)

// class is the memory of chunks of one size: its pages, the queue from which it evicts,
// and the stale values that go before anything is evicted.
//
// The queue is SIEVE's (Zhang et al., NSDI 2024): items stay where they were put in; a
// hand walks from the oldest to the newest, passes whatever was accessed since it last
// came by, and evicts the rest. A scan's items are met soon and go, and what others use
// stays. A read only marks its item: it takes no lock of the class.
type class struct {
	number  uint8
	side    bool // of stubs: evicts in order of age, within a budget of its own
	size    int  // of a chunk, in bytes
	units   uint32
	perPage int

	mu      sync.Mutex
	partial uint32 // first page with a free chunk
	queue   list
	hand    uint32 // the next candidate; 0: the oldest
	stale   list   // deleted items, which go first
	pages   int
	live    int // chunks in use
	counts  ClassCounts

	// bytes is what items take of the class, without what chunks leave over.
	bytes atomic.Int64

	ghosts ghosts // of what was evicted
	// victimAge is a moving average of how long, in ticks, evicted items had not been
	// used; evicted counts evictions since the balance was last looked at.
	victimAge float64
	evicted   int

	_ [64]byte // no two classes' locks in a line
}

// list is a doubly linked list of items, by their headers' prev and next.
type list struct {
	newest, oldest uint32
	len            int
}

// ClassCounts counts what a class did.
type ClassCounts struct {
	Evictions      uint64 // items that went before their time
	EvictedUnread  uint64 // of these, those nobody had read
	EvictedWithTTL uint64 // of these, those with an expiry
	Reclaimed      uint64 // expired items whose memory was used again
	Expired        uint64 // expired items that nobody had read
	OutOfMemory    uint64 // times there was nothing to evict
	Moved          uint64 // items moved to empty a page
}

func (l *list) push(s *Store, ref uint32, h *header) {
	h.prev, h.next = 0, l.newest
	if l.newest != 0 {
		s.at(l.newest).prev = ref
	} else {
		l.oldest = ref
	}
	l.newest = ref
	l.len++
}

func (l *list) remove(s *Store, h *header) {
	if h.prev != 0 {
		s.at(h.prev).next = h.next
	} else {
		l.newest = h.next
	}
	if h.next != 0 {
		s.at(h.next).prev = h.prev
	} else {
		l.oldest = h.prev
	}
	l.len--
}

// memory is how many bytes an item takes, without what its chunks leave over.
func (h *header) memory() int64 {
	return int64(h.keyOffset()) + int64(h.nkey) + int64(h.vlen) + 2
}

const (
	// dataChunk is the largest chunk, and dataSize how much of a large value it holds.
	dataChunk = 64 << 10
	dataSize  = dataChunk - headerSize
	// sizeStep is what chunk sizes are multiples of.
	sizeStep = 8
)

// makeClasses lays out the size classes: from smallest up, each growth times the last.
func (s *Store) makeClasses() {
	unit := 1 << s.shift
	round := func(n int) int { return (n + unit - 1) / unit * unit }
	size := round(max(headerSize+8, s.config.SmallestChunk))
	add := func(size int, side bool) {
		s.classes = append(s.classes, &class{
			number: uint8(len(s.classes)), side: side, size: size,
			units: uint32(size >> s.shift), perPage: pageSize / size,
			ghosts: makeGhosts(pageSize / size),
		})
	}
	for size < dataChunk && len(s.classes) < maxClasses-1 {
		add(size, false)
		size = max(size+unit, round(int(float64(size)*s.config.Growth)))
		// The largest chunk of which as many fit into a page wastes none of it.
		if fit := pageSize / (pageSize / min(size, dataChunk)) / unit * unit; fit < dataChunk && float64(fit) <= float64(size)*1.02 {
			size = fit
		}
	}
	add(dataChunk, false)
	s.valueClasses = len(s.classes)
	for _, size := range []int{96, 128, 192, headerSize + MaxKey + 2} {
		add(round(size), true)
	}
	s.classFor = make([]uint8, dataChunk/sizeStep+1)
	number := 0
	for i := range s.classFor {
		for s.classes[number].size < i*sizeStep {
			number++
		}
		s.classFor[i] = uint8(number)
	}
}

// maxClasses bounds the size classes of values, so that a class's number fits a byte.
const maxClasses = 200

// valueClass is the class for a chunk of n bytes, which is at most dataChunk.
func (s *Store) valueClass(n int) *class { return s.classes[s.classFor[(n+sizeStep-1)/sizeStep]] }

// stubClass is the class for a stub of n bytes.
func (s *Store) stubClass(n int) *class {
	for _, c := range s.classes[s.valueClasses:] {
		if c.size >= n {
			return c
		}
	}
	return s.classes[len(s.classes)-1]
}

// take returns a chunk of class c, of a kind and for an owner (0 except for data), or 0 if
// nothing can be evicted for it. The caller owns the chunk and holds no lock of a class; it may hold one shard's.
func (s *Store) take(c *class, kind uint8, owner uint32) uint32 {
	c.mu.Lock()
	ref := s.takeLocked(c, kind, owner)
	c.mu.Unlock()
	if ref != 0 || s.config.NoEviction && !c.side {
		return ref
	}
	// The class has nothing to give up: it must have a page of another's.
	for range stealTries {
		if !s.stealPage(c) {
			continue
		}
		c.mu.Lock()
		ref = s.takeLocked(c, kind, owner)
		c.mu.Unlock()
		if ref != 0 {
			return ref
		}
	}
	c.mu.Lock()
	c.counts.OutOfMemory++
	c.mu.Unlock()
	return 0
}

// stealTries is how many pages are emptied for one chunk: the index may have grown into
// what the first ones were, and others may be quicker to take them.
const stealTries = 16

// takeLocked is take with c.mu held.
func (s *Store) takeLocked(c *class, kind uint8, owner uint32) uint32 {
	for range evictTries {
		if ref := s.freeChunk(c, kind, owner); ref != 0 {
			return ref
		}
		if !s.evict(c) {
			return 0
		}
	}
	return 0
}

// evictTries is how often a class evicts for one chunk: what it evicts may be pinned, or
// lie in a page that is being emptied.
const evictTries = 8

// freeChunk returns a chunk that is in use by nobody, also of a page that is yet to be
// had, or 0. c.mu is held.
func (s *Store) freeChunk(c *class, kind uint8, owner uint32) uint32 {
	if c.partial == 0 {
		number := s.takePage(c)
		if number == 0 {
			return 0
		}
		c.pages++
		s.addPartial(c, number)
	}
	p := &s.pages.all[c.partial]
	var ref uint32
	if p.free != 0 {
		ref = p.free
		p.free = s.at(ref).next
	} else {
		ref = s.pageStart(c.partial) + uint32(p.fresh)*c.units
		p.fresh++
	}
	p.live++
	c.live++
	if p.free == 0 && int(p.fresh) == c.perPage {
		s.removePartial(c, c.partial)
		p.state = pageFull
	}
	h := s.at(ref)
	h.kind, h.prev, h.class = kind, owner, c.number
	return ref
}

// freeLocked gives a chunk back. The mu of its class is held.
func (s *Store) freeLocked(c *class, ref uint32) {
	h := s.at(ref)
	h.kind = kindFree
	number := s.pageOf(ref)
	p := &s.pages.all[number]
	p.live--
	c.live--
	if p.state == pageDrained {
		return
	}
	h.next = p.free
	p.free = ref
	if p.state == pageFull {
		s.addPartial(c, number)
	}
	if p.live == 0 && (c.partial != number || p.next != 0) {
		// Another page has free chunks: this one is for whoever needs it.
		s.removePartial(c, number)
		c.pages--
		s.givePage(number, c)
	}
}

func (s *Store) addPartial(c *class, number uint32) {
	p := &s.pages.all[number]
	p.state, p.prev, p.next = pagePartial, 0, c.partial
	if c.partial != 0 {
		s.pages.all[c.partial].prev = number
	}
	c.partial = number
}

func (s *Store) removePartial(c *class, number uint32) {
	p := &s.pages.all[number]
	if p.prev != 0 {
		s.pages.all[p.prev].next = p.next
	} else {
		c.partial = p.next
	}
	if p.next != 0 {
		s.pages.all[p.next].prev = p.prev
	}
	p.prev, p.next = 0, 0
}

// release frees an item that is in no index and no queue, with its data. No lock of a
// class is held.
func (s *Store) release(ref uint32) {
	h := s.at(ref)
	if h.large() {
		s.releaseData(*h.firstData())
	}
	c := s.classes[s.pages.all[s.pageOf(ref)].class]
	c.mu.Lock()
	s.freeLocked(c, ref)
	c.mu.Unlock()
}

func (s *Store) releaseData(ref uint32) {
	for ref != 0 {
		next := s.at(ref).next
		c := s.classes[s.pages.all[s.pageOf(ref)].class]
		c.mu.Lock()
		s.freeLocked(c, ref)
		c.mu.Unlock()
		ref = next
	}
}
