package server

import (
	"strconv"

	"github.com/mcsqueal/mcsqueal/cache"
)

// metaGet is mg KEY FLAG….
func (s *Session) metaGet(w *words, out *Output) {
	key := w.next()
	if len(key) == 0 {
		out.text(badFormat)
		return
	}
	r := &s.tally.request
	if answer, _ := r.readFlags(w, key, 2); answer != "" {
		out.text(answer)
		return
	}
	if s.udp && (r.given('N') || r.given('T') || r.given('R') || r.given('E')) {
		out.text(invalidFlag) // neither tokens nor changes are given by datagram
		return
	}
	start := out.mark()
	if answer := s.metaGetKey(r, out); answer != "" {
		out.takeBack(start, s.store)
		out.text(answer)
	}
}

func (s *Session) metaGetKey(r *metaRequest, out *Output) (answer string) {
	t := s.tally
	e := s.store.Lock(r.key)
	it, found := e.Item()
	created := false
	if !found && r.given('N') {
		if it, created, found = e.Vivify(0); created && r.given('E') && r.newCAS != 0 {
			e.SetCAS(it, r.newCAS)
		}
	}
	if !found {
		e.Unlock()
		t.cmdGet++
		t.getMisses++
		s.noteMiss(r.key)
		start := out.mark()
		out.text("EN")
		answer := r.keyAndOpaque(out)
		if r.given('q') && answer == "" {
			out.takeBack(start, s.store)
		}
		return answer
	}
	if created {
		s.noteMiss(r.key)
	} else {
		s.note(watchFetchers, it, "")
	}
	shown := r.given('v') && (!r.given('C') || r.cas == 0 || r.cas != it.CAS())
	if shown {
		out.text("VA ")
		out.number(uint64(it.Size()))
	} else {
		out.text("HD")
	}
	won, answer := s.metaGetFlags(r, &e, it, created, out)
	if answer != "" {
		// memcached has counted it as fetched by then, unless a flag wants to know how it
		// was before.
		if r.has&(letter('u')|letter('h')|letter('l')|letter('T')|letter('N')|letter('R')) == 0 {
			e.Access(it)
		}
		e.Unlock()
		return answer
	}
	stale, sent := it.Stale(), it.TokenSent()
	if sent {
		out.text(" Z")
	}
	if stale {
		out.text(" X")
	}
	won = won || created || stale && !sent
	s.store.NoteMetaLease(won && !created && !s.udp, sent && !created, stale && shown)
	if won && !s.udp {
		out.text(" W")
		e.SetToken(it)
	}
	out.text("\r\n")
	if shown {
		out.value(it)
	}
	if !r.given('u') {
		e.Access(it)
	}
	s.countMetaGet(r, it)
	e.Unlock()
	return ""
}

// countMetaGet counts an mg that found its item.
func (s *Session) countMetaGet(r *metaRequest, it cache.Item) {
	t := s.tally
	if r.given('T') {
		t.cmdTouch++
		t.touchHits++
		t.classes[it.Class()].touchHits++
		return
	}
	t.cmdGet++
	t.getHits++
	t.classes[it.Class()].getHits++
}

// metaGetFlags does what the flags say, in their order, and appends what they ask for.
func (s *Session) metaGetFlags(r *metaRequest, e *cache.Entry, it cache.Item, created bool, out *Output) (won bool, answer string) {
	for _, word := range r.flags[:r.nFlags] {
		b := out.Bytes
		switch word[0] {
		case 'T':
			e.SetExpiry(it, s.store.Expiry(int64(r.ttl)))
		case 'N':
			if created {
				e.SetExpiry(it, s.store.Expiry(int64(r.vivify)))
			}
		case 'R':
			if !created && !it.TokenSent() && it.Exptime() != 0 && it.Exptime() < s.store.Expiry(int64(r.recache)) {
				won = true
			}
		case 's':
			b = strconv.AppendUint(append(b, " s"...), uint64(it.Size()), 10)
		case 't':
			b = appendTTL(append(b, " t"...), it)
		case 'c':
			b = strconv.AppendUint(append(b, " c"...), s.shownCAS(it), 10)
		case 'f':
			b = strconv.AppendUint(append(b, " f"...), uint64(it.Flags()), 10)
		case 'l':
			b = strconv.AppendInt(append(b, " l"...), max(it.Idle(), 0), 10)
		case 'h':
			if it.Fetched() {
				b = append(b, " h1"...)
			} else {
				b = append(b, " h0"...)
			}
		default:
			if answer := r.echo(out, word, it.Binary()); answer != "" {
				return won, answer
			}
			continue
		}
		out.Bytes = b
	}
	return won, ""
}

// appendTTL appends for how long an item stays, as memcached does: what is past is a large
// number.
func appendTTL(b []byte, it cache.Item) []byte {
	if it.Exptime() == 0 {
		return append(b, "-1"...)
	}
	return strconv.AppendUint(b, uint64(uint32(it.TTL())), 10)
}

// metaDebug is me KEY [b]: what the store knows of an item, for people.
func (s *Session) metaDebug(w *words, out *Output) {
	key := w.next()
	if len(key) == 0 {
		out.text(badFormat)
		return
	}
	r := &s.tally.request
	if _, unreadable := r.readFlags(w, key, 2); unreadable || len(key) > cache.MaxKey {
		out.text(badFormat)
		return
	}
	// A b counts only right behind the key, and with something behind it.
	if r.nFlags >= 2 && string(r.flags[0]) == "b" {
		decoded, ok := decodeKey(r.decoded[:0], key)
		if !ok {
			out.text(badFormat)
			return
		}
		key = decoded
	}
	s.tally.cmdMeta++
	e := s.store.Lock(key)
	defer e.Unlock()
	it, found := e.Item()
	if !found {
		out.text("EN\r\n")
		return
	}
	out.text("ME ")
	if it.Binary() {
		out.key(it.Key(), true)
		out.Bytes = out.Bytes[:len(out.Bytes)-len(" b")]
	} else {
		out.key(it.Key(), false)
	}
	b := append(out.Bytes, " exp="...)
	if it.Exptime() == 0 {
		b = append(b, "-1"...)
	} else {
		b = strconv.AppendInt(b, it.TTL(), 10)
	}
	b = strconv.AppendInt(append(b, " la="...), max(it.Idle(), 0), 10)
	b = strconv.AppendUint(append(b, " cas="...), s.shownCAS(it), 10)
	b = append(b, " fetch="...)
	if it.Fetched() {
		b = append(b, "yes"...)
	} else {
		b = append(b, "no"...)
	}
	b = strconv.AppendInt(append(b, " cls="...), int64(it.Class()), 10)
	b = strconv.AppendInt(append(b, " size="...), int64(it.Memory()), 10)
	out.Bytes = append(b, "\r\n"...)
}
