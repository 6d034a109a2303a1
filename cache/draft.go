package cache

// Draft is an item that is being filled: nobody else sees it. It belongs to one goroutine
// at a time. Entry.Put stores it; a draft that is not stored must be discarded. The zero
// value is no draft.
type Draft struct {
	store *Store
	ref   uint32
	data  uint32 // of a large value: the chunk that is being filled
	at    int    // how much of the value, or of that chunk, is filled
	left  int    // how much of the value and "\r\n" is not filled yet
}

// Draft takes memory for an item: a value of size bytes and "\r\n". exptime is of Expiry.
// It fails with ErrTooLarge or ErrNoMemory. The caller may have one Entry locked.
func (s *Store) Draft(d *Draft, key []byte, flags, exptime uint32, size int) error {
	*d = Draft{store: s}
	// As large as memcached's limit lets a value be, give or take what its header takes
	// more than this one.
	if size < 0 || size+len(key)+memcachedOverhead > s.config.MaxItem {
		return ErrTooLarge
	}
	var shape uint8
	head := headerSize + len(key)
	if exptime != 0 {
		shape |= shapeRing
		head += ringLinkSize
	}
	large := head+size+2 > dataChunk
	if large {
		shape |= shapeLarge
		head += largeRefSize
	} else {
		head += size + 2
	}
	c := s.valueClass(head)
	ref := s.take(c, kindDraft, 0)
	if ref == 0 {
		return ErrNoMemory
	}
	h := s.at(ref)
	h.exptime, h.flags, h.vlen = exptime, flags, uint32(size)
	h.nkey, h.refs, h.bits, h.shape = uint8(len(key)), 0, 0, shape
	copy(h.key(), key)
	d.ref, d.left = ref, size+2
	if large {
		h.class = uint8(s.valueClasses - 1)
		if !s.takeData(h, ref, size+2) {
			s.release(ref)
			d.ref = 0
			return ErrNoMemory
		}
		d.data = *h.firstData()
	}
	return nil
}

// memcachedOverhead is what memcached's own item takes beside key and value.
const memcachedOverhead = 60

// takeData takes the chunks for n bytes of a large value.
func (s *Store) takeData(h *header, owner uint32, n int) bool {
	last := h.firstData()
	*last = 0
	for ; n > 0; n -= dataSize {
		ref := s.take(s.valueClass(headerSize+min(n, dataSize)), kindData, owner)
		if ref == 0 {
			return false
		}
		chunk := s.at(ref)
		chunk.next = 0
		*last = ref
		last = &chunk.next
	}
	return true
}

// Room is where the next bytes of the value and "\r\n" belong; empty when all are there.
func (d *Draft) Room() []byte {
	if d.left == 0 {
		return nil
	}
	if d.data == 0 {
		return d.store.at(d.ref).body()[d.at:]
	}
	n := min(d.left+d.at, dataSize)
	return d.store.at(d.data).data(n)[d.at:]
}

// Filled says that n bytes, at most len(Room()), were written into Room.
func (d *Draft) Filled(n int) {
	d.at += n
	d.left -= n
	if d.data != 0 && d.at == dataSize && d.left > 0 {
		d.data, d.at = d.store.at(d.data).next, 0
	}
}

// Write copies as much of b as belongs to the value and "\r\n", and returns how much.
func (d *Draft) Write(b []byte) int {
	total := 0
	for len(b) > 0 && d.left > 0 {
		n := copy(d.Room(), b)
		d.Filled(n)
		b = b[n:]
		total += n
	}
	return total
}

// Left is how many bytes are still to be written.
func (d *Draft) Left() int { return d.left }

// Open reports whether there is a draft, neither stored nor discarded.
func (d *Draft) Open() bool { return d.ref != 0 }

// Terminated reports whether the value, all of which is written, ends with "\r\n".
func (d *Draft) Terminated() bool {
	it := Item{store: d.store, h: d.store.at(d.ref)}
	var last, before byte
	for piece := range it.pieces {
		if n := len(piece); n > 1 {
			before, last = piece[n-2], piece[n-1]
		} else if n == 1 {
			before, last = last, piece[0]
		}
	}
	return before == '\r' && last == '\n'
}

// SetBinary notes that the key was given in base64.
func (d *Draft) SetBinary() { d.store.at(d.ref).bits |= bitBinary }

// SetExpiry changes until when the item will stay, if it was to expire at all.
func (d *Draft) SetExpiry(exptime uint32) { d.store.at(d.ref).exptime = exptime }

// Item is the draft's item.
func (d *Draft) Item() Item { return Item{store: d.store, h: d.store.at(d.ref), ref: d.ref} }

// Discard gives the memory back. It does nothing to a draft that was stored.
func (d *Draft) Discard() {
	if d.ref != 0 {
		d.store.release(d.ref)
		d.ref = 0
	}
}
