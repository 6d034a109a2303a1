package cache

// ring holds the items of a shard that expire, in a list for each second, so that they go
// when their time comes and not when somebody happens to meet them (the paper, §6,
// "transient items"). An item whose time is further off than the ring reaches waits in the
// list that comes up last, and is put in again from there.
//
// Guarded by the shard's mu.
type ring struct {
	heads []uint32 // by second modulo ringSeconds; nil until something expires
	next  uint32   // the next second that is due
}

// ringSeconds is how far a ring reaches. A power of two.
const ringSeconds = 512

func (r *ring) slot(s *Store, exptime uint32) *uint32 {
	if r.heads == nil {
		r.heads = make([]uint32, ringSeconds)
		r.next = s.now.Load()
	}
	exptime = max(exptime, r.next)
	exptime = min(exptime, r.next+ringSeconds-1)
	return &r.heads[exptime%ringSeconds]
}

func (r *ring) add(s *Store, ref uint32, h *header) {
	links := h.ring()
	if h.exptime == 0 {
		*links = ringLinks{}
		return
	}
	head := r.slot(s, h.exptime)
	links.prev, links.next = 0, *head
	if *head != 0 {
		s.at(*head).ring().prev = ref
	}
	*head = ref
}

func (r *ring) remove(s *Store, h *header) {
	links := h.ring()
	switch {
	case links.prev != 0:
		s.at(links.prev).ring().next = links.next
	default:
		// It is the first of its list, or in none: then no list begins with it.
		r.removeHead(s, h, links.next)
	}
	if links.next != 0 {
		s.at(links.next).ring().prev = links.prev
	}
	*links = ringLinks{}
}

// removeHead makes next the head of the list that begins with h. Where an item that waits
// for a time beyond the ring stands depends on when it was put in, so that its list cannot
// be told from its time: the ring is searched.
func (r *ring) removeHead(s *Store, h *header, next uint32) {
	if r.heads == nil {
		return
	}
	if h.exptime != 0 {
		if head := r.slot(s, h.exptime); *head != 0 && s.at(*head) == h {
			*head = next
			return
		}
	}
	for i, head := range r.heads {
		if head != 0 && s.at(head) == h {
			r.heads[i] = next
			return
		}
	}
}

// expire frees what is due in the shard, at most limit items, and reports whether that was
// all. The shard's mu is held.
func (sh *shard) expire(s *Store, now uint32, limit int) bool {
	r := &sh.ring
	if r.heads == nil {
		return true
	}
	for ; r.next <= now; r.next++ {
		head := &r.heads[r.next%ringSeconds]
		for *head != 0 {
			if limit--; limit < 0 {
				return false
			}
			ref := *head
			h := s.at(ref)
			r.removeHead(s, h, h.ring().next)
			if next := h.ring().next; next != 0 {
				s.at(next).ring().prev = 0
			}
			*h.ring() = ringLinks{}
			if !s.gone(h) {
				// It was touched, or its time was beyond the ring. The list of this
				// second is not to be met again in this loop.
				if h.exptime > now {
					r.add(s, ref, h)
				}
				continue
			}
			hash := s.hash(h.key())
			c := s.classes[h.class]
			c.mu.Lock()
			c.counts.Reclaimed++
			if !h.has(bitFetched) {
				c.counts.Expired++
			}
			s.dropLocked(c, sh, hash, ref, h)
			c.mu.Unlock()
		}
	}
	return true
}
