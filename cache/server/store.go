package server

import (
	"errors"
	"math"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
)

// storeMode is what a command does with a value.
type storeMode uint8

const (
	storeSet storeMode = iota
	storeAdd
	storeReplace
	storeAppend
	storePrepend
	storeCAS
	storeLease
)

// pending is a value that is being received.
type pending struct {
	open    bool
	quiet   bool // noreply, or the q flag
	mode    storeMode
	meta    bool
	draft   cache.Draft
	cas     uint64 // of cas, the token of lease-set
	request *metaRequest
	// waited says that the value did not come in one piece.
	waited bool
}

// abandon gives back what is half received.
func (p *pending) abandon() {
	if p.open {
		p.draft.Discard()
		*p = pending{}
	}
}

// maxValue is the longest value a line can announce.
const maxValue = math.MaxInt32 - 2

// secondsOf is n seconds, or as many as a duration holds.
func secondsOf(n uint64) time.Duration {
	return time.Duration(min(n, uint64(math.MaxInt64/time.Second))) * time.Second
}

// store1 is set KEY FLAGS EXPTIME BYTES [noreply], and the commands like it: cas has a CAS
// id behind that, lease-set its token behind the key.
func (s *Session) store1(mode storeMode, w *words, after []byte, out *Output) int {
	key := w.next()
	var token []byte
	if mode == storeLease {
		token = w.next()
	}
	flagsWord, expiry, sizeWord := w.next(), w.next(), w.next()
	size, ok := signed32(sizeWord)
	if len(sizeWord) == 0 || !ok || size < 0 || size > maxValue {
		out.text(badFormat)
		return 0
	}
	quiet := noreply(w.line)
	refuse := func(answer string) int {
		if !quiet {
			out.text(answer)
		}
		s.swallow = int64(size) + 2
		return 0
	}
	flags, okFlags := cUnsigned(flagsWord)
	exptime, okExptime := cSigned(expiry)
	if len(key) > cache.MaxKey || !okFlags || !okExptime {
		return refuse(badFormat)
	}
	var cas uint64
	switch mode {
	case storeCAS:
		if cas, ok = unsigned64(w.next()); !ok {
			return refuse(badFormat)
		}
	case storeLease:
		if cas, ok = unsigned64(token); !ok {
			return refuse(badFormat)
		}
	}
	s.bulk = size >= bulkFrom
	until := s.store.Expiry(int64(int32(exptime)))
	if n := int(size) + 2; mode == storeSet && len(after) >= n && n <= overwriteBound && s.watchNothing() {
		body := after[:n]
		if body[n-2] == '\r' && body[n-1] == '\n' {
			e := s.store.Lock(key)
			_, ok := e.Overwrite(body, uint32(flags), until)
			if ok {
				it, _ := e.Plain()
				s.tally.classes[it.Class()].cmdSet++
			}
			e.Unlock()
			if ok {
				s.tally.cmdSet++
				if !quiet {
					out.text("STORED\r\n")
				}
				return n
			}
		}
	}
	p := &s.stored
	if err := s.store.Draft(&p.draft, key, uint32(flags), until, int(size)); err != nil {
		return refuse(s.noDraft(key, mode == storeSet, err))
	}
	p.open, p.quiet, p.mode, p.meta, p.cas = true, quiet, mode, false, cas
	return s.receive(after, out)
}

// overwriteBound is the size of the values that are stored in the place of the one that is
// there, if they fit: they are copied while the key is locked.
const overwriteBound = 16 << 10

// noDraft counts a value there is no room for, and returns what to answer. What was there
// before goes where the command would have replaced it, so that nobody reads it any more.
func (s *Session) noDraft(key []byte, remove bool, err error) string {
	if remove {
		e := s.store.Lock(key)
		e.Remove()
		e.Unlock()
	}
	if errors.Is(err, cache.ErrTooLarge) {
		s.tally.storeTooLarge++
		return tooLarge
	}
	s.tally.storeNoMemory++
	return outOfMemory
}

// receive takes what there is of the value that is being received, and stores it when it
// is whole. It returns how many bytes of in it took.
func (s *Session) receive(in []byte, out *Output) int {
	p := &s.stored
	n := p.draft.Write(in)
	if p.draft.Left() > 0 {
		if !p.waited {
			p.waited = true
			s.bound(out)
		}
		return n
	}
	quiet := p.quiet
	from := out.mark()
	switch {
	case !p.draft.Terminated():
		s.tally.cmdSet++
		s.tally.classes[p.draft.Item().Class()].cmdSet++
		out.text(badChunk)
		// Of an ms, q hides nothing but success.
		quiet = quiet && !p.meta
	case p.meta:
		s.storeMeta(p, out)
		quiet = false
	default:
		out.text(s.storeClassic(p))
	}
	if quiet {
		out.takeBack(from, s.store)
	}
	p.abandon()
	return n
}

// bound refuses a value that is not all here where what is half received takes as much
// memory as it may: clients that stop in the middle cost no more than that.
func (s *Session) bound(out *Output) {
	p := &s.stored
	taken := s.server.conns.partial.Load() + int64(p.draft.Item().Memory())
	if taken <= max(s.server.options.Memory/8, 2*int64(s.server.options.MaxItemSize)) {
		return
	}
	key := append(s.tally.key[:0], p.draft.Item().Key()...)
	answer := s.noDraft(key, p.meta || p.mode == storeSet, cache.ErrNoMemory)
	if !p.quiet || p.meta {
		out.text(answer)
	}
	s.swallow = int64(p.draft.Left())
	p.abandon()
}

// storeClassic stores a value that is whole, and returns the answer.
func (s *Session) storeClassic(p *pending) string {
	t := s.tally
	class := p.draft.Item().Class()
	t.cmdSet++
	t.classes[class].cmdSet++
	// Joining takes the draft's memory away, with its key.
	key := append(t.key[:0], p.draft.Item().Key()...)
	e := s.store.Lock(key)
	defer e.Unlock()
	answer := s.decideClassic(&e, p, class)
	s.noteStore(&e, p, answer)
	return answer
}

func (s *Session) decideClassic(e *cache.Entry, p *pending, class int) string {
	t := s.tally
	old, found := e.Plain()
	switch p.mode {
	case storeSet:
	case storeAdd:
		if found || e.HeldOff() {
			return notStored
		}
	case storeReplace:
		if !found {
			return notStored
		}
	case storeAppend, storePrepend:
		if !found || !s.join(&p.draft, old, p.mode == storePrepend) {
			return notStored
		}
	case storeCAS:
		switch {
		case !found:
			t.casMisses++
			return notFound
		case old.CAS() != p.cas:
			t.casBadval++
			t.classes[old.Class()].casBadval++
			return "EXISTS\r\n"
		}
		t.casHits++
		t.classes[class].casHits++
	case storeLease:
		if !e.MayFill(p.cas) {
			return notStored
		}
	}
	e.Put(&p.draft)
	return "STORED\r\n"
}

// join puts what is there before or behind a draft's value. It keeps the flags and expiry
// of what is there, and reports false, with the draft as it was, if that would be too
// large or there is no memory for it.
func (s *Session) join(d *cache.Draft, old cache.Item, draftFirst bool) bool {
	added := d.Item()
	var whole cache.Draft
	if s.store.Draft(&whole, old.Key(), old.Flags(), old.Exptime(), old.Size()+added.Size()) != nil {
		return false
	}
	first, second := old, added
	if draftFirst {
		first, second = added, old
	}
	first.WriteValue(&whole)
	second.WriteValue(&whole)
	whole.Write([]byte("\r\n"))
	d.Discard()
	*d = whole
	return true
}
