package cache

import (
	"cmp"
	"slices"
)

// Memory goes to where it spares most misses. The paper (§6) gives a class that evicts the
// memory of another when its next victim was used at least 20 % more recently than the
// others' oldest items: it takes age for what memory is worth. Here that is counted
// (ghosts): a class gets pages of another when a page would spare it at least 20 % more
// misses. Age speaks where nothing can be counted: a class may evict so soon that no key
// comes back in time, and another hold what nobody asks for any more. Where a class has
// nothing it could evict it gets a page at once.

const (
	// needy is how many times more misses a page must spare a class than the one it is
	// taken from.
	needy = 1.2
	// aged is how many times longer than a class's victims the next ones of another must
	// not have been used, where nothing is counted of that one.
	aged = 4
	// agedVictims is how many victims tell their age.
	agedVictims = 8
)

// donor is the class, of values or of stubs as c is, that can best spare a page; nil if
// there is none.
func (s *Store) donor(c *class) (donor *class) {
	classes := s.classes[:s.valueClasses]
	if c.side {
		classes = s.classes[s.valueClasses:]
	}
	var best struct {
		spare bool
		worth float64
		pages int
	}
	for _, other := range classes {
		if other == c {
			continue
		}
		other.mu.Lock()
		pages, spare := s.spare(other)
		worth := other.ghosts.worth()
		other.mu.Unlock()
		// What a class should keep goes only where no class has more.
		if pages > 0 && (donor == nil || spare && !best.spare || spare == best.spare &&
			(worth < best.worth || worth == best.worth && pages > best.pages)) {
			donor, best.spare, best.worth, best.pages = other, spare, worth, pages
		}
	}
	return donor
}

// spare is how many pages can be had of a class, and whether it has more than it should
// keep. c.mu is held.
func (s *Store) spare(c *class) (pages int, more bool) {
	if c.queue.len+c.stale.len == 0 && (c.partial == 0 || s.pages.all[c.partial].live > 0) {
		return 0, false // all it has is being received, or sent
	}
	return c.pages, c.pages > s.keeps(c)
}

// keeps is how many pages a class should keep once it has them: one, and that of the
// chunks of large values as many as the largest takes.
func (s *Store) keeps(c *class) int {
	if int(c.number) == s.valueClasses-1 {
		return min(s.config.MaxItem/(c.perPage*dataSize)+1, int(s.limit.Load()>>pageShift)/16)
	}
	return 1
}

// stealPage empties a page of another class for c, whatever lies in it. It reports whether
// there is one to be had now. No class's lock is held, and at most one shard's.
func (s *Store) stealPage(c *class) bool {
	s.balance.Lock()
	defer s.balance.Unlock()
	if s.retryDraining() {
		return true
	}
	donor := s.donor(c)
	if donor == nil || len(s.draining) > len(s.pages.all)/8 {
		return false
	}
	return s.drain(donor, s.victimPage(donor), false)
}

// victimPage is the page in which a class's next victim lies that is not being emptied
// already, or any.
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
	for range handSteps {
		if ref == 0 {
			break
		}
		h, at := s.at(ref), ref
		// A large item's victim is its data.
		if int(h.class) != int(s.pages.all[s.pageOf(ref)].class) {
			at = *h.firstData()
		}
		if p := &s.pages.all[s.pageOf(at)]; p.class == c.number && p.state != pageDrained {
			return s.pageOf(at)
		}
		ref = h.prev
	}
	return c.partial
}

// rebalance moves pages to classes that need memory, and gives pages back where the index
// has grown into them.
func (s *Store) rebalance() {
	s.balance.Lock()
	defer s.balance.Unlock()
	s.retryDraining()
	if !s.config.NoEviction {
		s.weigh() // emptying a page evicts
	}
	for range pagesPerStep {
		if !s.overdrawn() {
			break
		}
		if donor := s.donor(&class{}); donor == nil || !s.drain(donor, s.victimPage(donor), true) {
			break
		}
		s.letStealersIn()
	}
	s.giveBack()
}

// pagesPerStep bounds how many pages are given back at one look.
const pagesPerStep = 64

// donorShare is which part of a donor's pages moves at one look.
const donorShare = 16

// letStealersIn gives balance, which is held, to those who wait for it: commands do, for
// a page that they need at once.
func (s *Store) letStealersIn() {
	s.balance.Unlock()
	s.balance.Lock()
}

// weigh looks at what pages are worth, every second or whenever there is much to tell it
// by, and moves some from the classes that have least of theirs to those that would have
// most of them. balance is held.
func (s *Store) weigh() {
	classes := s.classes[:s.valueClasses]
	back := 0
	for _, c := range classes {
		c.mu.Lock()
		back += c.ghosts.back
		c.mu.Unlock()
	}
	tick := s.tick.Load()
	if back < lookAfter && tick-s.weighed < ticksPerSecond {
		return
	}
	s.weighed = tick
	accounts := make([]account, 0, maxClasses)
	for _, c := range classes {
		accounts = append(accounts, s.account(c))
	}
	donors := slices.Clone(accounts)
	slices.SortFunc(accounts, func(a, b account) int { return cmp.Compare(b.least, a.least) })
	slices.SortFunc(donors, func(a, b account) int { return cmp.Compare(a.most, b.most) })
	donors = slices.DeleteFunc(donors, func(a account) bool { return a.spare == 0 })
	for _, taker := range accounts {
		i := slices.IndexFunc(donors, func(d account) bool {
			return d.class != taker.class && (taker.least > needy*d.most ||
				d.quiet && taker.victims > 0 && d.idle > aged*taker.victims)
		})
		if i < 0 {
			continue
		}
		s.movePages(donors[i].class, taker.class, donors[i].spare)
		donors = slices.Delete(donors, i, i+1)
	}
}

// account is what the balance goes by, of a class.
type account struct {
	class       *class
	least, most float64 // worth of a page
	quiet       bool    // next to no ghost came back
	spare       int     // pages that can be had
	victims     float64 // ticks for which what was evicted was not used; 0: too little was
	idle        float64 // ticks for which what is next was not used
}

// account ends a look.
func (s *Store) account(c *class) account {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := account{class: c}
	c.ghosts.look()
	a.least, a.most = c.ghosts.bounds()
	a.quiet = c.ghosts.quiet()
	if pages, more := s.spare(c); more {
		a.spare = min(pages/donorShare+1, pages-s.keeps(c))
	}
	if c.evicted >= agedVictims {
		a.victims = max(c.victimAge, 1)
		c.evicted = 0
	}
	// What comes from a file was not asked for while there was nobody to ask.
	least, _ := s.idle(c)
	a.idle = float64(min(least, s.tick.Load()-s.started))
	return a
}

// idle is for how many ticks those items were not used that the hand comes to next, at
// least and at most. c.mu is held.
func (s *Store) idle(c *class) (least, most uint32) {
	ref := c.hand
	if ref == 0 {
		ref = c.queue.oldest
	}
	some := false
	for range idleSample {
		if ref == 0 {
			break
		}
		h := s.at(ref)
		if shard, _ := s.shardOf(h); shard.mu.TryLock() {
			ticks := s.tick.Load() - h.atime
			shard.mu.Unlock()
			most = max(most, ticks)
			if !some || ticks < least {
				least, some = ticks, true
			}
		}
		ref = h.prev
	}
	return least, most
}

const idleSample = 16

// movePages moves up to n pages from one class to another.
func (s *Store) movePages(from, to *class, n int) {
	for range n {
		// Somebody else may have taken of it meanwhile.
		from.mu.Lock()
		_, more := s.spare(from)
		from.mu.Unlock()
		if !more || !s.drain(from, s.victimPage(from), true) {
			return
		}
		to.mu.Lock()
		if number := s.takePage(to); number != 0 {
			to.pages++
			s.addPartial(to, number)
			s.moved.Add(1)
		}
		to.mu.Unlock()
		s.letStealersIn()
	}
}

// lookAfter is how many ghosts that are back make a look due before a second is over.
const lookAfter = 512

// retryDraining gives back the pages that could not be emptied before, as far as they can
// be now, and reports whether there was one. balance is held.
func (s *Store) retryDraining() bool {
	before := s.draining
	s.draining = nil
	some := false
	for _, number := range before {
		if s.empty(s.classes[s.pages.all[number].class], number, true) {
			some = true
		} else {
			s.draining = append(s.draining, number)
		}
	}
	return some
}

// drain takes a page from its class and empties it: if keep says so, items move to other
// chunks of the class, for which others are evicted; stale values, and what large values
// lie in, go. It reports whether the page is free now; if somebody holds an item of it, it
// will be later. balance is held.
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
	for range drainTries {
		if s.empty(c, number, keep) {
			return true
		}
	}
	s.draining = append(s.draining, number)
	return false
}

// drainTries is how often a page is gone through for the items whose shards are busy.
const drainTries = 3

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
	if keep && kind == kindLinked && !item.large() && !s.gone(item) {
		if s.move(c, shard, hash, ref, item) {
			return
		}
	}
	if item.kind != kindStale {
		s.countEviction(ownerClass, hash, item)
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
	// What is evicted for it lies in the page that is being emptied, more often than not.
	var to uint32
	for range moveTries {
		if to = s.takeLocked(c, kindDraft, 0); to != 0 {
			break
		}
	}
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
	if inRing {
		shard.ring.add(s, to, copied)
	}
	c.counts.Moved++
	s.freeLocked(c, ref)
	return true
}

// moveTries is how often evictTries items are evicted to move one.
const moveTries = 8

func (s *Store) copyChunk(to, from uint32, n int) {
	copy(s.memoryAt(to, n), s.memoryAt(from, n))
}
