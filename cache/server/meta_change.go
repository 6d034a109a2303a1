package server

import (
	"strconv"

	"github.com/mcsqueal/mcsqueal/cache"
)

// metaDelete is md KEY FLAG….
func (s *Session) metaDelete(w *words, out *Output) {
	key := w.next()
	if len(key) == 0 {
		out.text(badFormat)
		return
	}
	r := &s.tally.request
	answer, _ := r.readFlags(w, key, 2)
	if answer == "" && !r.opaqueFits() {
		answer = opaqueTooLong
	}
	if answer != "" {
		out.text(answer)
		return
	}
	code := s.metaDeleteKey(r)
	if code == "HD" && r.given('q') {
		return
	}
	out.text(code)
	if code[len(code)-1] != '\n' {
		r.keyAndOpaque(out)
	}
}

func (s *Session) metaDeleteKey(r *metaRequest) (code string) {
	t := s.tally
	e := s.store.Lock(r.key)
	defer e.Unlock()
	it, found := e.Item()
	switch {
	case !found:
		t.deleteMisses++
		// A token may be out for it all the same.
		e.Delete()
		return "NF"
	case r.given('C') && r.cas != it.CAS():
		t.deleteMisses++
		return "EX"
	}
	if !r.given('x') && !r.given('I') {
		t.deleteHits++
		t.classes[it.Class()].deleteHits++
		s.note(watchDeletions, it, "md")
		e.Delete()
		return "HD"
	}
	if r.given('x') {
		if !r.given('I') {
			t.deleteHits++
			t.classes[it.Class()].deleteHits++
		}
		if it, found = s.emptyItem(r, &e, it); !found {
			return outOfMemory
		}
	}
	if r.given('I') {
		if r.given('T') {
			e.SetExpiry(it, s.store.Expiry(int64(r.ttl)))
		}
		e.MarkStale(it)
		if r.given('E') && r.newCAS != 0 {
			e.SetCAS(it, r.newCAS)
		}
	}
	return "HD"
}

// emptyItem drops an item's value and keeps the item, under its CAS id.
func (s *Session) emptyItem(r *metaRequest, e *cache.Entry, it cache.Item) (cache.Item, bool) {
	cas := it.CAS()
	if r.given('E') && r.newCAS != 0 {
		cas = r.newCAS
	}
	exptime := uint32(0)
	if r.given('T') {
		exptime = s.store.Expiry(int64(r.ttl))
	}
	var d cache.Draft
	if s.store.Draft(&d, r.key, r.clientFlags, exptime, 0) != nil {
		return it, false
	}
	d.Write([]byte("\r\n"))
	e.Put(&d)
	it, _ = e.Stored()
	e.SetCAS(it, cas)
	return it, true
}

// chunkedFrom is the size from which memcached divides a value, and does not look for a
// number in it.
const chunkedFrom = 512 << 10

// metaArithmetic is ma KEY FLAG….
func (s *Session) metaArithmetic(w *words, out *Output) {
	key := w.next()
	if len(key) == 0 {
		out.text(badFormat)
		return
	}
	r := &s.tally.request
	if answer, unreadable := r.readFlags(w, key, 2); answer != "" {
		if unreadable {
			out.text(badFormat)
			return
		}
		out.text("CLIENT_ERROR invalid or duplicate flag\r\n")
		return
	}
	incr := true
	switch r.mode {
	case 0, 'I', '+':
	case 'D', '-':
		incr = false
	default:
		out.text("CLIENT_ERROR invalid mode for ma M token\r\n")
		return
	}
	start := out.mark()
	if answer := s.metaAddDelta(r, out, incr); answer != "" {
		out.takeBack(start, s.store)
		out.text(answer)
	}
}

// metaAddDelta returns an error's answer, or appends the answer.
func (s *Session) metaAddDelta(r *metaRequest, out *Output, incr bool) (answer string) {
	e := s.store.Lock(r.key)
	defer e.Unlock()
	it, found := e.Item()
	var n uint64
	switch {
	case !found && !r.given('N'):
		s.countDelta(it, incr, false)
		out.text("NF")
		return r.keyAndOpaque(out)
	case !found:
		n = r.initial
		var room [20]byte
		digits := strconv.AppendUint(room[:0], n, 10)
		var d cache.Draft
		// N gives it its TTL, in its turn among the flags.
		if err := s.store.Draft(&d, r.key, 0, 0, len(digits)); err != nil {
			return s.noDraft(r.key, false, err)
		}
		d.Write(digits)
		d.Write([]byte("\r\n"))
		e.Put(&d)
		it, _ = e.Stored()
		if !s.watchNothing() {
			s.tellStore(r.key, it, "stored", "add")
		}
	default:
		if it.Size() == 0 || it.Size() >= chunkedFrom {
			return nonNumeric // whatever its CAS id
		}
		if r.given('C') && r.cas != 0 && r.cas != it.CAS() {
			out.text("EX")
			return r.keyAndOpaque(out)
		}
		value, ok := s.value(it)
		if !ok {
			return nonNumeric
		}
		s.countDelta(it, incr, true)
		n = plus(value, r.delta, incr)
		var room [20]byte
		if it, ok = s.setNumber(&e, it, strconv.AppendUint(room[:0], n, 10)); !ok {
			return "SERVER_ERROR out of memory in incr\r\n"
		}
	}
	if r.given('E') && r.newCAS != 0 {
		e.SetCAS(it, r.newCAS)
	}
	return s.answerDelta(r, &e, it, n, !found, out)
}

func (s *Session) answerDelta(r *metaRequest, e *cache.Entry, it cache.Item, n uint64, created bool, out *Output) (answer string) {
	start := out.mark()
	var room [20]byte
	digits := strconv.AppendUint(room[:0], n, 10)
	if r.given('v') {
		out.text("VA ")
		out.number(uint64(len(digits)))
	} else {
		out.text("HD")
	}
	for _, word := range r.flags[:r.nFlags] {
		switch word[0] {
		case 'T':
			e.SetExpiry(it, s.store.Expiry(int64(r.ttl)))
		case 'N':
			if created {
				e.SetExpiry(it, s.store.Expiry(int64(r.vivify)))
			}
		case 't':
			out.Bytes = appendTTL(append(out.Bytes, " t"...), it)
		case 'c':
			out.text(" c")
			out.number(s.shownCAS(it))
		default:
			if answer := r.echo(out, word, r.given('b')); answer != "" {
				return answer
			}
		}
	}
	out.text("\r\n")
	if r.given('v') {
		out.Bytes = append(append(out.Bytes, digits...), "\r\n"...)
	}
	if r.given('q') {
		// Only success is hidden, and this is one.
		out.Bytes = out.Bytes[:start.bytes]
	}
	return ""
}
