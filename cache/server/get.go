package server

import (
	"strconv"

	"github.com/mcsqueal/mcsqueal/cache"
)

// get is get KEY…, and gets, which shows the CAS ids.
func (s *Session) get(w *words, out *Output, cas bool) int {
	return s.getKeys(w, out, cas, false, 0)
}

// getAndTouch is gat EXPTIME KEY…, and gats.
func (s *Session) getAndTouch(w *words, out *Output, cas bool) int {
	expiry := w.next()
	from := w.at
	if len(w.next()) == 0 {
		out.text(badFormat)
		return 0
	}
	w.at = from
	exptime, ok := signed32(expiry)
	if !ok {
		out.text(badExptime)
		return 0
	}
	return s.getKeys(w, out, cas, true, s.store.Expiry(int64(exptime)))
}

// getKeys answers the keys of a line, and stops in its middle where there is no more room
// for answers.
func (s *Session) getKeys(w *words, out *Output, cas, touch bool, exptime uint32) int {
	start := out.mark()
	w.at = max(w.at, s.getAt)
	for some := s.getAt > 0; ; some = true {
		key := w.next()
		if len(key) == 0 {
			s.getAt = 0
			if !some {
				out.text(badFormat)
				return 0
			}
			out.text("END\r\n")
			return 0
		}
		if len(key) > cache.MaxKey {
			// memcached forgets what it has gathered, and says one line too many. What
			// was sent already stays.
			out.takeBack(start, s.store)
			out.text(badFormat)
			out.text("\r\n")
			s.getAt = 0
			return 0
		}
		s.getKey(key, out, cas, touch, exptime)
		if out.Full() {
			s.getAt = w.at
			return goOnLater
		}
	}
}

// getKey answers one key.
func (s *Session) getKey(key []byte, out *Output, cas, touch bool, exptime uint32) {
	t := s.tally
	if touch {
		t.cmdTouch++
	} else {
		t.cmdGet++
	}
	e := s.store.Lock(key)
	it, ok := e.Plain()
	if !ok {
		e.Unlock()
		if touch {
			t.touchMisses++
		} else {
			t.getMisses++
		}
		s.noteMiss(key)
		return
	}
	if touch {
		t.touchHits++
		t.classes[it.Class()].touchHits++
		e.SetExpiry(it, exptime)
	} else {
		t.getHits++
		t.classes[it.Class()].getHits++
	}
	b := append(out.Bytes, "VALUE "...)
	b = append(b, key...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(it.Flags()), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(it.Size()), 10)
	if cas {
		b = append(b, ' ')
		b = strconv.AppendUint(b, s.shownCAS(it), 10)
	}
	out.Bytes = append(b, "\r\n"...)
	out.value(it)
	e.Access(it)
	s.note(watchFetchers, it, "")
	e.Unlock()
}

// shownCAS is the CAS id a client sees of an item.
func (s *Session) shownCAS(it cache.Item) uint64 {
	if s.server.options.NoCAS {
		return 0
	}
	return it.CAS()
}

// leaseGet is lease-get KEY, mcrouter's: VALUE, or LVALUE with a token that a lease-set is
// to carry, or 1 for those who are to wait, and with the stale value if there is one.
func (s *Session) leaseGet(w *words, out *Output) {
	key := w.next()
	if len(key) == 0 || len(w.next()) != 0 || len(key) > cache.MaxKey {
		out.text(badFormat)
		return
	}
	t := s.tally
	t.cmdGet++
	e := s.store.Lock(key)
	if it, ok := e.Plain(); ok {
		t.getHits++
		t.classes[it.Class()].getHits++
		out.text("VALUE ")
		out.leased(key, it)
		e.Access(it)
	} else {
		t.getMisses++
		lease := e.Lease()
		out.text("LVALUE ")
		if lease.HasStale {
			out.Bytes = append(out.Bytes, key...)
			out.text(" ")
			out.number(lease.Token)
			out.text(" ")
			out.flagsAndValue(lease.Stale)
		} else {
			out.Bytes = append(out.Bytes, key...)
			out.text(" ")
			out.number(lease.Token)
			out.text(" 0 0\r\n\r\n")
		}
	}
	e.Unlock()
	out.text("END\r\n")
}

// leased appends "KEY FLAGS BYTES\r\nDATA\r\n".
func (o *Output) leased(key []byte, it cache.Item) {
	o.Bytes = append(o.Bytes, key...)
	o.text(" ")
	o.flagsAndValue(it)
}

func (o *Output) flagsAndValue(it cache.Item) {
	o.number(uint64(it.Flags()))
	o.text(" ")
	o.number(uint64(it.Size()))
	o.text("\r\n")
	o.value(it)
}

func (o *Output) number(n uint64) { o.Bytes = strconv.AppendUint(o.Bytes, n, 10) }
