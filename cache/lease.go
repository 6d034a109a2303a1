package cache

import "sync/atomic"

// leaseCounts counts what leases did.
type leaseCounts struct {
	granted, regranted, hotMisses, filled, refused, staleHits, noStub atomic.Uint64
	holdoffRefused, holdoffDisplaced                                  atomic.Uint64
}

// LeaseStats are counters of leases and hold-offs since the start.
type LeaseStats struct {
	Granted           uint64 // tokens handed out
	Regranted         uint64 // tokens handed out again, since their interval ended unfilled
	HotMisses         uint64 // readers who were told to wait
	Filled            uint64 // values stored by token
	Refused           uint64 // fills whose token was void
	StaleHits         uint64 // stale values handed out
	NoStub            uint64 // tokens that were void from the outset, for want of memory
	HoldoffRefused    uint64 // adds refused by a hold-off
	HoldoffsDisplaced uint64 // hold-offs that had no place: all adds were refused instead
}

// LeaseStats returns the counters of leases.
func (s *Store) LeaseStats() LeaseStats {
	l := &s.leases
	return LeaseStats{
		Granted: l.granted.Load(), Regranted: l.regranted.Load(), HotMisses: l.hotMisses.Load(),
		Filled: l.filled.Load(), Refused: l.refused.Load(), StaleHits: l.staleHits.Load(),
		NoStub: l.noStub.Load(), HoldoffRefused: l.holdoffRefused.Load(),
		HoldoffsDisplaced: l.holdoffDisplaced.Load(),
	}
}

// HotMiss is the token of those who are to wait for another's fill.
const HotMiss = 1

// Lease is what a reader who misses is told.
type Lease struct {
	// Token is what a fill must carry, or HotMiss.
	Token uint64
	// Stale is the value of before, if there is one.
	Stale    Item
	HasStale bool
}

// Lease hands out the right to fill a key that Plain does not show. The first who asks
// gets a token; whoever else asks within the interval is to wait. When the interval ends
// unfilled, the same token goes to the next: a database that is slower still fills. (The
// paper, §3.2.1; there, too, one token in ten seconds.)
func (e *Entry) Lease() Lease {
	s := e.store
	tick := s.tick.Load()
	if e.ref == 0 {
		return Lease{Token: e.grantStub(tick)}
	}
	h := s.at(e.ref)
	if h.has(bitStub) && !h.has(bitText) && h.has(bitToken) {
		// A stub of the meta dialect: its token is out since it was made.
		h.bits |= bitText
		if h.exptime == 0 {
			h.exptime = s.secondAfter(h.flags)
		}
	}
	lease := Lease{Stale: Item{store: s, h: h, ref: e.ref}, HasStale: !h.has(bitStub)}
	if lease.HasStale {
		s.leases.staleHits.Add(1)
	}
	granted := &h.atime
	if h.has(bitStub) {
		granted = &h.flags
	}
	switch {
	case !h.has(bitToken):
		h.cas = s.nextCAS()
		h.bits |= bitToken
		s.leases.granted.Add(1)
	case tick-*granted < s.intervalTicks():
		s.leases.hotMisses.Add(1)
		lease.Token = HotMiss
		return lease
	default:
		s.leases.regranted.Add(1)
	}
	*granted = tick
	if h.has(bitText) {
		h.exptime = s.secondAfter(tick)
	}
	lease.Token = h.cas
	return lease
}

func (s *Store) intervalTicks() uint32 {
	return max(1, uint32(s.config.LeaseInterval.Seconds()*ticksPerSecond))
}

// secondAfter is the second at which an interval that began at a tick is over.
func (s *Store) secondAfter(tick uint32) uint32 {
	return (tick + s.intervalTicks() + ticksPerSecond - 1) / ticksPerSecond
}

// grantStub makes a stub for a key that is not there, and returns its token. Without
// memory for it the token is void from the outset: the reader has its value, and its fill
// is refused.
func (e *Entry) grantStub(tick uint32) uint64 {
	s := e.store
	s.leases.granted.Add(1)
	cas := s.nextCAS()
	if !e.makeStub(s.secondAfter(tick), bitText|bitToken, cas, tick) {
		s.leases.noStub.Add(1)
	}
	return cas
}

// makeStub puts a stub where nothing is. It reports false if there was no memory: stubs
// have a budget of their own, and only other stubs make room for them.
func (e *Entry) makeStub(exptime uint32, bits uint16, cas uint64, granted uint32) bool {
	s := e.store
	c := s.stubClass(headerSize + len(e.key) + 2)
	ref := s.take(c, kindDraft, 0)
	if ref == 0 {
		return false
	}
	h := s.at(ref)
	h.exptime, h.flags, h.vlen = exptime, granted, 0
	h.nkey, h.refs, h.bits, h.shape = uint8(len(e.key)), 0, bitStub|bits, 0
	h.cas = cas
	h.gen = e.gen
	h.atime = s.tick.Load()
	copy(h.key(), e.key)
	copy(h.body(), "\r\n")
	e.link(ref, h)
	s.itemTotal.Add(1)
	return true
}

// Vivify makes a stub for a key whose Item is not there, as memcached's "mg … N" does. won
// says whether the caller is the one who fills: not where lease-get has given the token to
// somebody whose interval lasts. ok is false if there was no memory for a stub.
func (e *Entry) Vivify(exptime uint32) (it Item, won, ok bool) {
	s := e.store
	won = true
	bits, cas, granted := uint16(0), uint64(0), s.tick.Load()
	if e.ref != 0 {
		// A deleted value, or a stub of the text dialect whose interval is over.
		h := s.at(e.ref)
		if h.has(bitInvisible) && h.has(bitToken) && granted-h.atime < s.intervalTicks() {
			won = false
			bits, cas, granted = bitText|bitToken, h.cas, h.atime
			exptime = s.secondAfter(granted)
		}
		e.drop()
	}
	if won {
		cas = s.nextCAS()
	}
	if !e.makeStub(exptime, bits, cas, granted) {
		return Item{}, false, false
	}
	if won {
		s.leases.granted.Add(1)
	} else {
		s.leases.hotMisses.Add(1)
	}
	return Item{store: s, h: s.at(e.ref), ref: e.ref}, won, true
}

// MayFill reports whether token is the one that was handed out for the key, and is not
// void. It counts what it finds.
func (e *Entry) MayFill(token uint64) bool {
	ok := false
	if e.ref != 0 {
		h := e.store.at(e.ref)
		// A client may have given the item the id of HotMiss.
		ok = h.has(bitToken) && h.cas == token && token != HotMiss && h.bits&(bitStub|bitStale|bitInvisible) != 0
	}
	if ok {
		e.store.leases.filled.Add(1)
	} else {
		e.store.leases.refused.Add(1)
	}
	return ok
}

// NoteMetaLease counts what a meta reader was told of a key that has an item: that the
// token is his (won), that it is another's (sent), that the value is stale. Vivify has
// counted those for whom it made the item.
func (s *Store) NoteMetaLease(won, sent, stale bool) {
	if won {
		s.leases.granted.Add(1)
	}
	if sent {
		s.leases.hotMisses.Add(1)
	}
	if stale {
		s.leases.staleHits.Add(1)
	}
}

// NoteMetaFill counts a value that came with a CAS id, for a key whose item waits for one,
// or has another id, or is not there.
func (s *Store) NoteMetaFill(stored bool) {
	if stored {
		s.leases.filled.Add(1)
	} else {
		s.leases.refused.Add(1)
	}
}
