package server

import (
	"strconv"

	"github.com/mcsqueal/mcsqueal/cache"
)

// arithmetic is incr KEY DELTA [noreply], and decr.
func (s *Session) arithmetic(w *words, out *Output, incr bool) {
	key, by := w.next(), w.next()
	if len(by) == 0 {
		out.text(badFormat)
		return
	}
	from := out.mark()
	s.addDelta(key, by, out, incr)
	if noreply(w.line) {
		out.takeBack(from, s.store)
	}
}

func (s *Session) addDelta(key, by []byte, out *Output, incr bool) {
	if len(key) > cache.MaxKey {
		out.text(badFormat)
		return
	}
	delta, ok := unsigned64(by)
	if !ok {
		out.text("CLIENT_ERROR invalid numeric delta argument\r\n")
		return
	}
	e := s.store.Lock(key)
	defer e.Unlock()
	it, found := e.Plain()
	if !found {
		s.countDelta(it, incr, false)
		out.text(notFound)
		return
	}
	n, ok := s.value(it)
	if !ok {
		out.text(nonNumeric)
		return
	}
	// Before the number is written: the item may be another one then.
	s.countDelta(it, incr, true)
	n = plus(n, delta, incr)
	var digits [20]byte
	if _, ok := s.setNumber(&e, it, strconv.AppendUint(digits[:0], n, 10)); !ok {
		out.text("SERVER_ERROR out of memory in incr\r\n")
		return
	}
	out.number(n)
	out.text("\r\n")
}

// countDelta counts an incr or a decr. it is only looked at if it was found.
func (s *Session) countDelta(it cache.Item, incr, found bool) {
	t := s.tally
	switch {
	case incr && found:
		t.incrHits++
		t.classes[it.Class()].incrHits++
	case incr:
		t.incrMisses++
	case found:
		t.decrHits++
		t.classes[it.Class()].decrHits++
	default:
		t.decrMisses++
	}
}

// value is the number an item holds.
func (s *Session) value(it cache.Item) (uint64, bool) {
	if it.Size() == 0 || it.Large() {
		return 0, false
	}
	var room [64]byte
	body := it.AppendBody(room[:0])
	return numeric(body[:len(body)-2])
}

// plus adds, around the corner of 64 bits, or subtracts, down to zero.
func plus(n, delta uint64, incr bool) uint64 {
	switch {
	case incr:
		return n + delta
	case delta > n:
		return 0
	}
	return n - delta
}

// setNumber writes a number into an item if it fits there, else into a new one in its
// place. ok is false if there was no memory for that. The item that is there then is
// returned.
func (s *Session) setNumber(e *cache.Entry, it cache.Item, digits []byte) (now cache.Item, ok bool) {
	if len(digits) <= it.Size() && !it.Stub() && !it.Held() {
		e.SetNumber(it, digits)
		return it, true
	}
	size := max(len(digits), it.Size())
	var d cache.Draft
	if err := s.store.Draft(&d, it.Key(), it.Flags(), it.Exptime(), size); err != nil {
		return it, false
	}
	d.Write(digits)
	for range size - len(digits) {
		d.Write([]byte(" "))
	}
	d.Write([]byte("\r\n"))
	e.Put(&d)
	now, _ = e.Item()
	return now, true
}
