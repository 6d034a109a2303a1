package server

import "github.com/mcsqueal/mcsqueal/cache"

const (
	badFormat   = "CLIENT_ERROR bad command line format\r\n"
	badExptime  = "CLIENT_ERROR invalid exptime argument\r\n"
	badChunk    = "CLIENT_ERROR bad data chunk\r\n"
	tooLarge    = "SERVER_ERROR object too large for cache\r\n"
	outOfMemory = "SERVER_ERROR out of memory storing object\r\n"
	nonNumeric  = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
	notStored   = "NOT_STORED\r\n"
	notFound    = "NOT_FOUND\r\n"
	// version is what clients are told: the memcached whose protocol this is. What this
	// server is itself stands in stats.
	version = "VERSION 1.6.45\r\n"
)

// command answers one line, without its end; lineLen is its length with that, and after is
// what follows it, from which a value may be taken: it returns how many bytes, or goOnLater.
// first says that nothing was answered before it in this turn.
func (s *Session) command(line, after []byte, lineLen int, out *Output, first bool) int {
	if lineLen < 4 {
		out.text(badFormat)
		return 0
	}
	w := words{line: line}
	for w.at < len(line) && line[w.at] != ' ' {
		w.at++
	}
	name := line[:w.at]
	if s.udp {
		return s.datagram(name, &w, out)
	}
	switch string(name) {
	case "get":
		return s.get(&w, out, false)
	case "gets":
		return s.get(&w, out, true)
	case "mg":
		s.metaGet(&w, out)
	case "set":
		return s.store1(storeSet, &w, after, out)
	case "ms":
		return s.metaSet(&w, after, out)
	case "delete":
		s.deleteKey(&w, out)
	case "md":
		s.metaDelete(&w, out)
	case "mn":
		out.text("MN\r\n")
	case "add":
		return s.store1(storeAdd, &w, after, out)
	case "replace":
		return s.store1(storeReplace, &w, after, out)
	case "append":
		return s.store1(storeAppend, &w, after, out)
	case "prepend":
		return s.store1(storePrepend, &w, after, out)
	case "cas":
		return s.store1(storeCAS, &w, after, out)
	case "lease-get":
		s.leaseGet(&w, out)
	case "lease-set":
		return s.store1(storeLease, &w, after, out)
	case "incr":
		s.arithmetic(&w, out, true)
	case "decr":
		s.arithmetic(&w, out, false)
	case "touch":
		s.touch(&w, out)
	case "gat":
		return s.getAndTouch(&w, out, false)
	case "gats":
		return s.getAndTouch(&w, out, true)
	case "ma":
		s.metaArithmetic(&w, out)
	case "me":
		s.metaDebug(&w, out)
	case "version":
		out.text(version)
	case "stats":
		s.stats(&w, out)
	case "quit":
		s.closing = true
	default:
		s.rare(line, out, first)
	}
	return 0
}

// datagram answers what may be asked by datagram: anybody can have sent it in another's
// name, and it may get lost.
func (s *Session) datagram(name []byte, w *words, out *Output) int {
	switch string(name) {
	case "get":
		return s.get(w, out, false)
	case "gets":
		return s.get(w, out, true)
	case "mg":
		s.metaGet(w, out)
	default:
		out.text("SERVER_ERROR only get, gets and mg are answered by datagram\r\n")
	}
	return 0
}

// deleteKey is delete KEY [SECONDS] [noreply]. With seconds, adds of the key are refused
// for so long.
func (s *Session) deleteKey(w *words, out *Output) {
	key := w.next()
	if len(key) == 0 {
		out.text(badFormat)
		return
	}
	quiet := noreply(w.line)
	if len(key) > cache.MaxKey {
		if !quiet {
			out.text(badFormat)
		}
		return
	}
	seconds, _ := unsigned64(w.next())
	e := s.store.Lock(key)
	it, found := e.Plain()
	if found {
		s.tally.deleteHits++
		s.tally.classes[it.Class()].deleteHits++
		s.note(watchDeletions, it, "delete")
	} else {
		s.tally.deleteMisses++
	}
	e.Delete()
	if seconds > 0 {
		e.HoldOff(secondsOf(seconds))
	}
	e.Unlock()
	switch {
	case quiet:
	case found:
		out.text("DELETED\r\n")
	default:
		out.text(notFound)
	}
}

// touch is touch KEY EXPTIME [noreply].
func (s *Session) touch(w *words, out *Output) {
	key, expiry := w.next(), w.next()
	if len(expiry) == 0 {
		out.text(badFormat)
		return
	}
	answer := s.touchKey(key, expiry)
	if !noreply(w.line) {
		out.text(answer)
	}
}

func (s *Session) touchKey(key, expiry []byte) string {
	if len(key) > cache.MaxKey {
		return badFormat
	}
	exptime, ok := signed32(expiry)
	if !ok {
		return badExptime
	}
	s.tally.cmdTouch++
	e := s.store.Lock(key)
	defer e.Unlock()
	it, found := e.Plain()
	if !found {
		s.tally.touchMisses++
		return notFound
	}
	s.tally.touchHits++
	s.tally.classes[it.Class()].touchHits++
	e.SetExpiry(it, s.store.Expiry(int64(exptime)))
	e.Access(it)
	return "TOUCHED\r\n"
}
