package cache

import (
	"sync"
	"unsafe"
)

// pageSize is what a size class takes and gives back at a time. It is small beside
// memcached's 1 MiB so that a hundred classes fit into a small cache too.
const (
	pageShift = 18
	pageSize  = 1 << pageShift
)

// page is what is known of a page. Guarded by the mu of its class, and by that of pages
// while it has none.
type page struct {
	// prev and next are neighbours in the class's list of pages with free chunks.
	prev, next uint32
	// free is the first free chunk, linked by next; chunks from fresh on were never used.
	free uint32
	// live is how many chunks are in use.
	live, fresh uint16
	class       uint8
	state       uint8
}

// Where a page is.
const (
	pageUnused  = iota // of no class
	pageFull           // of a class, without a free chunk
	pagePartial        // in its class's list of pages with free chunks
	pageDrained        // being emptied: what is freed in it stays free
)

// pages hands out the pages of a store.
type pages struct {
	all []page // by number; 0 is never handed out

	mu     sync.Mutex
	unused []uint32 // were given back, and are resident; guarded by mu
	absent []uint32 // were given back, and their memory to the system; guarded by mu
	next   uint32   // the first that was never handed out; guarded by mu
	inUse  int      // guarded by mu
	side   int      // of these, those of stubs; guarded by mu
}

// takePage returns a page for class c, or 0 if what c may have is in use.
func (s *Store) takePage(c *class) uint32 {
	p := &s.pages
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.side {
		if p.side >= s.sideLimit() {
			return 0
		}
	} else if p.inUse-p.side >= s.valuePages() {
		return 0
	}
	var number uint32
	switch n := len(p.unused); {
	case n > 0:
		number = p.unused[n-1]
		p.unused = p.unused[:n-1]
	case len(p.absent) > 0:
		number = p.absent[len(p.absent)-1]
		p.absent = p.absent[:len(p.absent)-1]
	case int(p.next) < len(p.all):
		number = p.next
		p.next++
	default:
		return 0
	}
	p.inUse++
	if c.side {
		p.side++
	}
	p.all[number] = page{class: c.number, state: pageUnused}
	return number
}

// givePage takes back a page in which no chunk is in use. The class's mu is held.
func (s *Store) givePage(number uint32, c *class) {
	p := &s.pages
	p.all[number].state = pageUnused
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse--
	if c.side {
		p.side--
	}
	p.unused = append(p.unused, number)
}

// giveBack gives the memory of unused pages to the system, as far as they take what the
// index has grown into, or what is above a bound that got smaller.
func (s *Store) giveBack() {
	p := &s.pages
	for range pagesPerStep {
		p.mu.Lock()
		n := len(p.unused)
		if n == 0 || p.inUse-p.side+n <= s.valuePages() {
			p.mu.Unlock()
			return
		}
		number := p.unused[n-1]
		p.unused = p.unused[:n-1]
		p.mu.Unlock()
		// Nobody sees the page meanwhile. Where this fails it stays resident.
		_ = s.memory.forget(int(number)<<pageShift, int(number+1)<<pageShift)
		p.mu.Lock()
		p.absent = append(p.absent, number)
		p.mu.Unlock()
	}
}

// valuePages is how many pages values may have beside the index and the side budget. The
// mu of pages is held.
func (s *Store) valuePages() int {
	side := max(s.pages.side, s.sideLimit())
	return max(leastPages, int((s.limit.Load()-s.indexBytes.Load())>>pageShift)-side-s.holdoffPages)
}

// leastPages is what values always may have: an index that was made for far more memory
// does not shrink with it.
const leastPages = 16

// sideLimit is how many pages stubs may have.
func (s *Store) sideLimit() int {
	return max(4, int(int64(s.sidePages)*min(s.limit.Load(), s.config.Memory)/s.config.Memory))
}

// overdrawn reports whether values hold more pages than they may.
func (s *Store) overdrawn() bool {
	s.pages.mu.Lock()
	defer s.pages.mu.Unlock()
	return s.pages.inUse-s.pages.side > s.valuePages()
}

func (s *Store) pageOf(ref uint32) uint32 { return ref >> (pageShift - s.shift) }

// pageStart is the reference of a page's first chunk.
func (s *Store) pageStart(number uint32) uint32 { return number << (pageShift - s.shift) }

// memoryAt is n bytes from a reference on.
func (s *Store) memoryAt(ref uint32, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s.at(ref))), n)
}

// SetMemory changes the bound on items and index, up to MaxMemory. It reports false beyond
// that. When the bound gets smaller, memory is given back little by little.
func (s *Store) SetMemory(bytes int64) bool {
	if bytes > s.most || bytes < minMemory {
		return false
	}
	s.limit.Store(bytes)
	return true
}

// MaxMemory is the most that SetMemory can set: four times what the store was made with,
// as far as that is below 64 GiB; with a file, or locked, just what it was made with.
func (s *Store) MaxMemory() int64 { return s.most }

// PageSize is what size classes take and give back at a time, in bytes.
const PageSize = pageSize
