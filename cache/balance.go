package cache

// The paper's rule (§6): a class needs memory when it evicts and its next victim was used
// at least 20 % more recently than the average of the other classes' oldest items. It then
// gets pages of the class whose oldest item was not used for longest. Where a class has
// nothing it could evict it gets one at once.

// needy is how much younger than the others' oldest a class's victims must be.
const needy = 0.8

// idle is how many ticks the item that a class would evict was not used; ok is false where
// it has none. c.mu is held.
func (s *Store) idle(c *class) (ticks float64, ok bool) {
	if c.evicted > 0 {
		return c.victimAge, true
	}
	// What is retained for being used may stand there: the least used of a few counts.
	ref := c.hand
	if ref == 0 {
		ref = c.queue.oldest
	}
	for range idleSample {
		if ref == 0 {
			break
		}
		h := s.at(ref)
		if shard, _ := s.shardOf(h); shard.mu.TryLock() {
			ticks, ok = max(ticks, float64(s.tick.Load()-h.atime)), true
			shard.mu.Unlock()
		}
		ref = h.prev
	}
	return ticks, ok
}

const idleSample = 16

// donor is the class, of values or of stubs as c is, that can best spare a page, with how
// many ticks its next victim was not used, and the average of that over all classes but c.
func (s *Store) donor(c *class) (donor *class, oldest, average float64) {
	classes := s.classes[:s.valueClasses]
	if c.side {
		classes = s.classes[s.valueClasses:]
	}
	n, spare := 0, 0
	for _, other := range classes {
		if other == c {
			continue
		}
		other.mu.Lock()
		idle, ok := s.idle(other)
		pages := other.pages
		if other.queue.len+other.stale.len == 0 && (other.partial == 0 || s.pages.all[other.partial].live > 0) {
			pages = 0 // all it has is being received, or sent
		}
		other.mu.Unlock()
		if ok {
			average += idle
			n++
		}
		// The last page of a class goes only where no class has a second one.
		if pages > 0 && (donor == nil || pages > 1 && spare == 1 || (pages > 1) == (spare > 1) && idle > oldest) {
			donor, oldest, spare = other, idle, min(pages, 2)
		}
	}
	if n > 0 {
		average /= float64(n)
	}
	return donor, oldest, average
}

// stealPage empties a page of another class for c, whatever lies in it. It reports whether
// there is one to be had now. No class's lock is held, and at most one shard's.
func (s *Store) stealPage(c *class) bool {
	s.balance.Lock()
	defer s.balance.Unlock()
	if s.retryDraining() {
		return true
	}
	donor, _, _ := s.donor(c)
	if donor == nil || len(s.draining) > len(s.pages.all)/8 {
		return false
	}
	return s.drain(donor, s.victimPage(donor), false)
}

// victimPage is the page in which a class's next victim lies, or any.
func (s *Store) victimPage(c *class) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	ref := c.stale.oldest
	if ref == 0 {
		ref = c.hand
	}
	if ref == 0 {
		ref = c.queue.oldest
	}
	if ref != 0 {
		// A large item's victim is its data.
		if h := s.at(ref); int(h.class) != int(s.pages.all[s.pageOf(ref)].class) {
			ref = *h.firstData()
		}
		if number := s.pageOf(ref); s.pages.all[number].class == c.number {
			return number
		}
	}
	return c.partial
}

// rebalance moves pages to classes that need memory, and gives pages back where the index
// has grown into them.
func (s *Store) rebalance() {
	s.balance.Lock()
	defer s.balance.Unlock()
	s.retryDraining()
	for _, c := range s.classes[:s.valueClasses] {
		c.mu.Lock()
		evicted, age := c.evicted, c.victimAge
		c.mu.Unlock()
		if evicted == 0 {
			continue
		}
		donor, oldest, average := s.donor(c)
		if donor != nil && age <= needy*average && oldest > age {
			s.movePages(donor)
		}
	}
	for _, c := range s.classes[:s.valueClasses] {
		c.mu.Lock()
		c.evicted = 0
		c.mu.Unlock()
	}
	for range pagesPerStep {
		if !s.overdrawn() {
			break
		}
		if donor, _, _ := s.donor(&class{}); donor == nil || !s.drain(donor, s.victimPage(donor), true) {
			break
		}
		s.letStealersIn()
	}
	s.giveBack()
}

// pagesPerStep bounds how many pages are given back at one look.
const pagesPerStep = 64

// donorShare is which part of a donor's pages moves at one look.
const donorShare = 32

// letStealersIn gives balance, which is held, to those who wait for it: commands do, for
// a page that they need at once.
func (s *Store) letStealersIn() {
	s.balance.Unlock()
	s.balance.Lock()
}

func (s *Store) movePages(donor *class) {
	donor.mu.Lock()
	n := donor.pages/donorShare + 1
	n = min(n, donor.pages-1)
	donor.mu.Unlock()
	for range n {
		if !s.drain(donor, s.victimPage(donor), true) {
			return
		}
		s.moved.Add(1)
		s.letStealersIn()
	}
}

// retryDraining gives back the pages that could not be emptied before, as far as they can
// be now, and reports whether there was one. balance is held.
func (s *Store) retryDraining() bool {
	before := s.draining
	s.draining = nil
	some := false
	for _, number := range before {
		if s.empty(s.classes[s.pages.all[number].class], number, false) {
			some = true
		} else {
			s.draining = append(s.draining, number)
		}
	}
	return some
}

// drain takes a page from its class and empties it: what was used lately moves to other
// chunks of the class if keep says so, everything else goes. It reports whether the page
// is free now; if somebody holds an item of it, it will be later. balance is held.
func (s *Store) drain(c *class, number uint32, keep bool) bool {
	c.mu.Lock()
	p := &s.pages.all[number]
	if number == 0 || p.class != c.number || p.state != pagePartial && p.state != pageFull {
		c.mu.Unlock()
		return false
	}
	if p.state == pagePartial {
		s.removePartial(c, number)
	}
	p.state = pageDrained
	c.pages--
	c.mu.Unlock()
	if s.empty(c, number, keep) {
		return true
	}
	s.draining = append(s.draining, number)
	return false
}

// empty empties a drained page and gives it back if nothing is left in it.
func (s *Store) empty(c *class, number uint32, keep bool) bool {
	p := &s.pages.all[number]
	for i := range c.perPage {
		c.mu.Lock()
		if i >= int(p.fresh) || p.live == 0 {
			c.mu.Unlock()
			break
		}
		ref := s.pageStart(number) + uint32(i)*c.units
		h := s.at(ref)
		kind := h.kind
		if kind != kindLinked && kind != kindStale && kind != kindData {
			c.mu.Unlock()
			continue
		}
		owner, ownerClass := ref, s.classes[h.class]
		if kind == kindData {
			owner, ownerClass = h.prev, s.classes[s.valueClasses-1]
		}
		c.mu.Unlock()
		s.clearChunk(c, ref, kind, owner, ownerClass, keep)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.live > 0 {
		return false
	}
	s.givePage(number, c)
	return true
}

// clearChunk makes a chunk of class c free, which was seen to be of a kind, for an owner
// in the queue of ownerClass.
func (s *Store) clearChunk(c *class, ref uint32, kind uint8, owner uint32, ownerClass *class, keep bool) {
	ownerClass.mu.Lock()
	defer ownerClass.mu.Unlock()
	if ownerClass != c {
		c.mu.Lock()
	}
	h := s.at(ref)
	same := h.kind == kind
	if kind == kindData {
		// Data of a draft, or of an item that is only held, has an owner in no queue.
		same = same && h.prev == owner && s.queued(ownerClass, c, owner)
	} else {
		same = same && h.class == ownerClass.number
	}
	if ownerClass != c {
		c.mu.Unlock()
	}
	if !same {
		return
	}
	item := s.at(owner)
	shard, hash := s.shardOf(item)
	if !shard.mu.TryLock() {
		return
	}
	defer shard.mu.Unlock()
	if item.refs > 0 {
		return
	}
	if keep && kind == kindLinked && item.has(bitVisited) && !item.large() && !s.gone(item) {
		if s.move(c, shard, hash, ref, item) {
			return
		}
	}
	if item.kind != kindStale {
		s.countEviction(ownerClass, item)
	}
	s.dropLocked(ownerClass, shard, hash, owner, item)
}

// queued reports whether the owner of a data chunk is an item in the queue of class held;
// it says no where that cannot be told now. The mu of held is held, so that the item stays
// there, and that of class c, in whose page the chunk is, so that the owner is there: it
// is freed after its data.
func (s *Store) queued(held, c *class, owner uint32) bool {
	page := s.classes[s.pages.all[s.pageOf(owner)].class]
	if page != held && page != c {
		// It may be larger than c.
		if !page.mu.TryLock() {
			return false
		}
		defer page.mu.Unlock()
	}
	h := s.at(owner)
	return (h.kind == kindLinked || h.kind == kindStale) && h.class == held.number
}

// move puts an item into another chunk of its class. The shard's lock and c.mu are held.
func (s *Store) move(c *class, shard *shard, hash uint64, ref uint32, h *header) bool {
	to := s.takeLocked(c, kindDraft, 0)
	if to == 0 {
		return false
	}
	_, slot := shard.find(s, hash, h.key())
	if slot == nil || *slot != ref {
		s.freeLocked(c, to)
		return false
	}
	inRing := h.ringed()
	if inRing {
		shard.ring.remove(s, h)
	}
	copied := s.at(to)
	// The evictions above may have changed the neighbours: they are read here.
	prev, next := h.prev, h.next
	s.copyChunk(to, ref, int(h.memory()))
	copied.prev, copied.next = prev, next
	if prev != 0 {
		s.at(prev).next = to
	} else {
		c.queue.newest = to
	}
	if next != 0 {
		s.at(next).prev = to
	} else {
		c.queue.oldest = to
	}
	if c.hand == ref {
		c.hand = to
	}
	*slot = to
	copied.bits &^= bitVisited
	if inRing {
		shard.ring.add(s, to, copied)
	}
	c.counts.Moved++
	s.freeLocked(c, ref)
	return true
}

func (s *Store) copyChunk(to, from uint32, n int) {
	copy(s.memoryAt(to, n), s.memoryAt(from, n))
}
