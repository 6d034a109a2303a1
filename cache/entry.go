package cache

// Entry is a key, locked: what it shows stays so, and what is done through it is one step
// for everybody else, until Unlock. It belongs to the goroutine that made it.
type Entry struct {
	store *Store
	shard *shard
	key   []byte
	hash  uint64
	ref   uint32
	slot  *uint32
	// gen is the flush generation in which the step is taken: a flush that comes in its
	// middle comes after it, and takes what it stores.
	gen uint8
}

// Lock locks a key of 1 to MaxKey bytes. key is not to be changed before Unlock.
func (s *Store) Lock(key []byte) Entry {
	hash := s.hash(key)
	sh := &s.shards[hash&shardMask]
	sh.mu.Lock()
	ref, slot := sh.find(s, hash, key)
	e := Entry{store: s, shard: sh, key: key, hash: hash, ref: ref, slot: slot, gen: uint8(s.gen.Load())}
	if ref != 0 {
		if h := s.at(ref); s.goneIn(h, e.gen) {
			e.bury(h)
		}
	}
	return e
}

// Unlock ends the step.
func (e *Entry) Unlock() { e.shard.mu.Unlock() }

// bury takes a gone item away. A deleted value whose token is still out leaves a stub, so
// that a database slower than the value's time still fills.
func (e *Entry) bury(h *header) {
	s := e.store
	if h.has(bitInvisible) && h.has(bitToken) && h.gen == e.gen {
		cas, granted := h.cas, h.atime
		e.drop()
		e.makeStub(s.secondAfter(granted), bitText|bitToken, cas, granted)
		return
	}
	if h.gen != e.gen {
		e.shard.flushedHits++
	} else {
		e.shard.expiredHits++
	}
	e.drop()
}

// drop takes the item out of the store.
func (e *Entry) drop() {
	s, h := e.store, e.store.at(e.ref)
	c := s.classes[h.class]
	c.mu.Lock()
	s.dropLocked(c, e.shard, e.hash, e.ref, h)
	c.mu.Unlock()
	e.ref, e.slot = 0, nil
}

// Item is the item as meta commands see it: also a stub, and one that is marked stale.
func (e *Entry) Item() (Item, bool) {
	if e.ref == 0 {
		return Item{}, false
	}
	h := e.store.at(e.ref)
	if h.has(bitInvisible) || h.has(bitText) && h.exptime <= e.store.now.Load() {
		return Item{}, false
	}
	return Item{store: e.store, h: h, ref: e.ref}, true
}

// Plain is the item as the classic commands see it: no stub, and nothing stale.
func (e *Entry) Plain() (Item, bool) {
	if e.ref == 0 {
		return Item{}, false
	}
	h := e.store.at(e.ref)
	if h.has(bitInvisible | bitStub | bitStale) {
		return Item{}, false
	}
	return Item{store: e.store, h: h, ref: e.ref}, true
}

// Stored is the item after Put, also one that is expired from the outset.
func (e *Entry) Stored() (Item, bool) {
	if e.ref == 0 {
		return Item{}, false
	}
	return Item{store: e.store, h: e.store.at(e.ref), ref: e.ref}, true
}

// Access notes that the item was read.
func (e *Entry) Access(it Item) {
	h := it.h
	if h.bits&(bitVisited|bitFetched) != bitVisited|bitFetched {
		h.bits |= bitVisited | bitFetched
	}
	// Until when a token keeps others waiting is told from its grant.
	if tick := e.store.tick.Load(); h.atime != tick && h.bits&(bitStale|bitToken) != bitStale|bitToken {
		h.atime = tick
	}
}

// Put stores a draft of this key in the place of whatever is there, and returns its CAS
// id. Tokens of the key are void from then on, and its hold-off is over.
func (e *Entry) Put(d *Draft) uint64 {
	s := e.store
	ref := d.ref
	d.ref = 0
	h := s.at(ref)
	h.cas = s.nextCAS()
	h.gen = e.gen
	h.atime = s.tick.Load()
	e.link(ref, h)
	s.itemTotal.Add(1)
	e.shard.endHoldoff(s, e.hash)
	return h.cas
}

// link puts a chunk that its owner has filled into the place of whatever is there.
func (e *Entry) link(ref uint32, h *header) {
	s := e.store
	c := s.classes[h.class]
	if e.ref == 0 {
		e.shard.insert(s, e.hash, ref)
		// The slot is looked up by whoever needs it: a split may have moved it.
		c.mu.Lock()
		c.ghosts.stored(e.hash)
	} else {
		old := s.at(e.ref)
		oldClass := s.classes[old.class]
		stub := old.has(bitStub) // the fill of a miss
		if e.slot == nil {
			_, e.slot = e.shard.find(s, e.hash, e.key)
		}
		*e.slot = ref
		oldClass.mu.Lock()
		s.leaveLocked(oldClass, e.shard, e.ref, old)
		s.freeItemLocked(oldClass, e.ref, old)
		if oldClass != c {
			oldClass.mu.Unlock()
			c.mu.Lock()
		}
		if stub {
			c.ghosts.stored(e.hash)
		}
	}
	s.setKind(c, ref, h, kindLinked)
	c.queue.push(s, ref, h)
	c.mu.Unlock()
	c.bytes.Add(h.memory())
	s.itemCount.Add(1)
	s.itemBytes.Add(h.memory())
	if h.ringed() {
		e.shard.ring.add(s, ref, h)
	}
	e.ref = ref
}

// Overwrite stores a value in the memory of the item that is there, and reports whether it
// could: where sizes differ much, somebody holds the item, or it is no plain value, it
// does nothing, and a Draft is needed. body is the value and "\r\n".
func (e *Entry) Overwrite(body []byte, flags, exptime uint32) (cas uint64, ok bool) {
	if e.ref == 0 {
		return 0, false
	}
	s := e.store
	h := s.at(e.ref)
	if h.kind != kindLinked || h.refs != 0 || h.large() || h.bits&(bitStub|bitInvisible) != 0 ||
		h.ringed() != (exptime != 0) {
		return 0, false
	}
	size := int(h.keyOffset()) + int(h.nkey) + len(body)
	if size > dataChunk || s.valueClass(size).number != h.class {
		return 0, false
	}
	if change := int64(len(body)) - int64(h.vlen) - 2; change != 0 {
		s.classes[h.class].bytes.Add(change)
		s.itemBytes.Add(change)
	}
	h.vlen = uint32(len(body) - 2)
	h.flags = flags
	copy(h.body(), body)
	e.setExpiry(h, exptime)
	h.bits = bitVisited
	h.atime = s.tick.Load()
	h.gen = e.gen
	h.cas = s.nextCAS()
	s.itemTotal.Add(1)
	e.shard.endHoldoff(s, e.hash)
	return h.cas, true
}

// SetExpiry changes until when the item stays; exptime is of Store.Expiry.
func (e *Entry) SetExpiry(it Item, exptime uint32) { e.setExpiry(it.h, exptime) }

func (e *Entry) setExpiry(h *header, exptime uint32) {
	if h.exptime == exptime {
		return
	}
	if !h.ringed() {
		h.exptime = exptime
		return
	}
	e.shard.ring.remove(e.store, h)
	h.exptime = exptime
	e.shard.ring.add(e.store, e.ref, h)
}

// SetCAS gives the item a CAS id of the caller's.
func (e *Entry) SetCAS(it Item, cas uint64) { it.h.cas = cas }

// SetToken notes that somebody was told to fill the item.
func (e *Entry) SetToken(it Item) {
	it.h.bits |= bitToken
	switch tick := e.store.tick.Load(); {
	case it.h.has(bitStub):
		it.h.flags = tick
	case it.h.has(bitStale):
		it.h.atime = tick
	}
}

// MarkStale marks the item stale and voids its token, as memcached's "md … I" does.
func (e *Entry) MarkStale(it Item) {
	it.h.bits = it.h.bits&^bitToken | bitStale
	it.h.cas = e.store.nextCAS()
}

// SetStale marks an item that was just stored as stale; sent says whether a token for it
// is out.
func (e *Entry) SetStale(it Item, sent bool) {
	it.h.bits |= bitStale
	if sent {
		it.h.bits |= bitToken
	}
}

// SetNumber writes a number over the item's value, which is at least as long: what is left
// over is filled with spaces, as memcached does.
func (e *Entry) SetNumber(it Item, digits []byte) {
	body := it.h.body()
	n := copy(body[:len(body)-2], digits)
	for i := n; i < len(body)-2; i++ {
		body[i] = ' '
	}
	it.h.cas = e.store.nextCAS()
}

// Remove takes the item out of the store: neither a stale value nor a token stays.
func (e *Entry) Remove() {
	if e.ref != 0 {
		e.drop()
	}
}

// Delete deletes the key: tokens are void, and the value stays for a while for those who
// ask for stale ones, where the store keeps such.
func (e *Entry) Delete() {
	if e.ref == 0 {
		return
	}
	s := e.store
	h := s.at(e.ref)
	switch {
	case h.has(bitInvisible):
		// Deleted again: the token of a reader in between is void. The value's time is
		// not prolonged.
		h.bits &^= bitToken
	case h.has(bitStub) || s.config.StaleTime <= 0 || h.memory() > s.staleBudget/4:
		e.drop()
	default:
		e.keepStale(h)
	}
}

// keepStale makes a stale value of the item.
func (e *Entry) keepStale(h *header) {
	s := e.store
	c := s.classes[h.class]
	c.mu.Lock()
	s.leaveLocked(c, e.shard, e.ref, h)
	s.setKind(c, e.ref, h, kindStale)
	h.bits = h.bits&^(bitToken|bitStale) | bitInvisible
	h.exptime = s.now.Load() + uint32(max(s.config.StaleTime.Seconds(), 1))
	c.stale.push(s, e.ref, h)
	c.bytes.Add(h.memory())
	over := s.staleBytes.Add(h.memory()) > s.staleBudget
	// The oldest of the class goes, also where another class's are older: the sum is
	// what is bounded.
	for over && c.stale.oldest != e.ref && s.evictStale(c) {
		over = s.staleBytes.Load() > s.staleBudget
	}
	c.mu.Unlock()
	if over {
		e.drop()
	}
}

// Key is the key that is locked.
func (e *Entry) Key() []byte { return e.key }
