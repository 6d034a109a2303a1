package server

import (
	"bytes"

	"github.com/mcsqueal/mcsqueal/cache"
)

// metaSet is ms KEY BYTES FLAG….
func (s *Session) metaSet(w *words, after []byte, out *Output) int {
	key, sizeWord := w.next(), w.next()
	size, ok := signed32(sizeWord)
	if len(sizeWord) == 0 || !ok || size < 0 || size > maxValue {
		out.text(badFormat)
		return 0
	}
	r := &s.tally.request
	answer, unreadable := r.readFlags(w, key, 3)
	if unreadable {
		out.text(badFormat)
		return 0
	}
	mode := storeSet
	if answer == "" {
		mode, answer = r.storeMode()
	}
	p := &s.stored
	if answer == "" {
		if err := s.store.Draft(&p.draft, r.key, r.clientFlags, s.expiryOf(r, mode), int(size)); err != nil {
			answer = s.noDraft(r.key, true, err)
		}
	}
	if answer == "" && !r.opaqueFits() {
		// memcached counts it all the same.
		s.tally.cmdSet++
		s.tally.classes[p.draft.Item().Class()].cmdSet++
		p.draft.Discard()
		answer = opaqueTooLong
	}
	if answer != "" {
		out.text(answer)
		s.swallow = int64(size) + 2
		return 0
	}
	if r.given('b') {
		p.draft.SetBinary()
	}
	if len(after) < int(size)+2 {
		// The line will be gone when the value is whole.
		r = r.kept(w.line)
	}
	s.bulk = size >= bulkFrom
	p.open, p.quiet, p.mode, p.meta, p.request = true, r.given('q'), mode, true, r
	return s.receive(after, out)
}

// kept is the same request, with words of its own.
func (r *metaRequest) kept(line []byte) *metaRequest {
	w := words{line: bytes.Clone(line)}
	w.next() // ms
	key := w.next()
	w.next() // the length
	own := new(metaRequest)
	own.readFlags(&w, key, 3)
	return own
}

// expiryOf is when what an ms stores is to go: appending to what is not there has its own.
func (s *Session) expiryOf(r *metaRequest, mode storeMode) uint32 {
	switch {
	case r.given('N') && (mode == storeAppend || mode == storePrepend):
		return s.store.Expiry(int64(r.vivify))
	case r.given('T'):
		return s.store.Expiry(int64(r.ttl))
	}
	return 0
}

// storeMode is what ms is to do.
func (r *metaRequest) storeMode() (mode storeMode, answer string) {
	switch r.mode {
	case 0, 'S':
		mode = storeSet
	case 'E':
		mode = storeAdd
	case 'A':
		mode = storeAppend
	case 'P':
		mode = storePrepend
	case 'R':
		mode = storeReplace
	default:
		return 0, "CLIENT_ERROR invalid mode for ms M token\r\n"
	}
	return mode, ""
}

// storeMeta stores the value of an ms, which is whole, and answers.
func (s *Session) storeMeta(p *pending, out *Output) {
	t, r := s.tally, p.request
	t.cmdSet++
	t.classes[p.draft.Item().Class()].cmdSet++
	size := p.draft.Item().Size()
	e := s.store.Lock(r.key)
	code, it := s.decideMeta(&e, p)
	var cas uint64
	if code == "HD" {
		if r.newCAS != 0 && r.given('E') {
			e.SetCAS(it, r.newCAS)
		}
		cas, size = it.CAS(), it.Size()
	}
	s.noteStore(&e, p, code)
	e.Unlock()
	if code == "HD" && p.quiet {
		return
	}
	out.text(code)
	for _, word := range r.flags[:r.nFlags] {
		switch word[0] {
		case 'c':
			out.text(" c")
			if s.server.options.NoCAS {
				cas = 0
			}
			out.number(cas)
		case 's':
			out.text(" s")
			out.number(uint64(size))
		default:
			r.echo(out, word, r.given('b'))
		}
	}
	out.text("\r\n")
}

// decideMeta stores or refuses, and returns the answer's code and what was stored.
func (s *Session) decideMeta(e *cache.Entry, p *pending) (code string, stored cache.Item) {
	t, r := s.tally, p.request
	old, found := e.Item()
	put := func() (string, cache.Item) {
		e.Put(&p.draft)
		it, _ := e.Stored()
		return "HD", it
	}
	switch p.mode {
	case storeAdd:
		if found || e.HeldOff() {
			return "NS", old
		}
		return put()
	case storeAppend, storePrepend:
		switch {
		case !found && r.given('N'):
			return put()
		case !found:
			return "NS", old
		case r.given('C') && r.cas != 0 && r.cas != old.CAS():
			return "EX", old
		case !s.join(&p.draft, old, p.mode == storePrepend):
			return "NS", old
		}
		return put()
	case storeReplace:
		if !r.given('C') && !found {
			return "NS", old
		}
	}
	if !r.given('C') {
		return put()
	}
	switch {
	case !found:
		t.casMisses++
		s.store.NoteMetaFill(false)
		return "NF", old
	case r.cas == old.CAS() && r.cas != 0:
		t.casHits++
		t.classes[old.Class()].casHits++
		if !old.Plain() {
			s.store.NoteMetaFill(true)
		}
		return put()
	case r.given('I') && r.cas != 0 && r.cas < old.CAS():
		// An older value: better than none, but marked.
		t.casHits++
		t.classes[old.Class()].casHits++
		exptime, sent := old.Exptime(), old.TokenSent()
		code, stored = put()
		e.SetExpiry(stored, exptime)
		e.SetStale(stored, sent)
		return code, stored
	}
	t.casBadval++
	t.classes[old.Class()].casBadval++
	s.store.NoteMetaFill(false)
	return "EX", old
}
