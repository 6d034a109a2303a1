package server

import (
	"bytes"

	"github.com/mcsqueal/mcsqueal/cache"
)

// Session is one client's side of the protocol: what is known of it between one command
// and the next. It does no I/O. A transport gives it bytes and sends what it answers:
//
//	n := session.Consume(in, &out)   // answers whole commands at the head of in
//	send out; out.Release(store)
//	if session.Closing() { close }
//	in = in[n:]                      // keep the rest, and read more
//
// A Session belongs to one goroutine at a time.
type Session struct {
	server *Server
	store  *cache.Store
	tally  *tally

	started bool // the first byte was seen
	closing bool
	udp     bool // only reads, and no tokens: anybody can have sent it

	bulk bool // the value that was last stored is large: see Bulk

	swallow int64 // bytes of a value that is not wanted, still to come
	getAt   int   // where in a line of gets to go on, once there is room for answers
	stored  pending
	listing *listing // a dump that goes on
	watcher *watcher
	login   login
	waker   waker // the transport; nil in tests
	fd      int   // of the client's socket, for those who watch; 0 where it is not known
}

// newSession starts a session. Its counters go to t, which sessions of one event loop
// share.
func newSession(server *Server, t *tally) *Session {
	return &Session{server: server, store: server.store, tally: t}
}

const (
	// inputBound is how many bytes of an unfinished command a transport must be able to
	// hold. Longer lines are answered as errors, and longer values received through Body.
	inputBound = 256 << 10
	// lineBound is how long a line other than a get may be, as in memcached.
	lineBound = 2048
)

// Consume answers the commands that stand whole at the head of in, appends the answers to
// out, and returns how many bytes it took. It takes less than all when the rest is the
// beginning of a command (call again with more bytes behind it: at most inputBound are
// ever needed), when out is full (send it and call again with the rest, also without new
// bytes), or when the session is closing. in is not kept.
func (s *Session) Consume(in []byte, out *Output) int {
	s.tally.mu.Lock()
	at := 0
	for !s.closing {
		if s.stored.open {
			n := s.receive(in[at:], out)
			at += n
			if s.stored.open {
				break
			}
			continue
		}
		if s.server.auth != nil && !s.login.done {
			n, more := s.authenticate(in[at:], out)
			at += n
			if !more {
				break
			}
			continue
		}
		if s.swallow > 0 {
			n := min(s.swallow, int64(len(in)-at))
			s.swallow -= n
			at += int(n)
			if s.swallow > 0 {
				break
			}
			continue
		}
		if out.Full() {
			break
		}
		if s.listing != nil && !s.list(out) {
			break
		}
		if s.watcher != nil {
			s.watcher.drain(out)
		}
		if at == len(in) || out.Full() {
			break
		}
		rest := in[at:]
		if !s.started {
			s.started = true
			if rest[0] == 0x80 {
				out.Bytes = append(out.Bytes, "CLIENT_ERROR the binary protocol is not spoken here: use the text or meta protocol\r\n"...)
				s.closing = true
				break
			}
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			s.checkLength(rest, out)
			break
		}
		line := rest[:end]
		if end > 0 && line[end-1] == '\r' {
			line = line[:end-1]
		}
		n := s.command(line, rest[end+1:], end+1, out, at == 0)
		if n == goOnLater {
			break
		}
		at += end + 1 + n
	}
	s.tally.bytesRead += uint64(at)
	s.tally.mu.Unlock()
	return at
}

// authenticate takes one attempt to log in. more says whether to go on with what follows.
func (s *Session) authenticate(in []byte, out *Output) (n int, more bool) {
	before := s.login.awaited
	n, answer, err := s.server.auth.step(&s.login, in)
	if err != nil {
		s.closing = true
		return n, false
	}
	if answer == "" {
		return n, n > 0 && s.login.awaited != before && len(in) > n
	}
	s.started = true
	s.tally.authCmds++
	if !s.login.done {
		s.tally.authErrors++
	}
	out.text(answer)
	out.text("\r\n")
	return n, true
}

// goOnLater is what a command says that has answered as much as there is room for: its
// line is to be given again.
const goOnLater = -1

// checkLength closes a session whose line is too long, as memcached does: only gets may
// have more than lineBound bytes.
func (s *Session) checkLength(line []byte, out *Output) {
	if len(line) <= lineBound {
		return
	}
	head := line
	for len(head) > 0 && head[0] == ' ' && len(line)-len(head) < 100 {
		head = head[1:]
	}
	if !bytes.HasPrefix(head, []byte("get ")) && !bytes.HasPrefix(head, []byte("gets ")) {
		s.closing = true
		return
	}
	if len(line) >= inputBound {
		out.Bytes = append(out.Bytes, "CLIENT_ERROR line too long: ask for fewer keys at a time\r\n"...)
		s.closing = true
	}
}

// Body returns where the next bytes of a value that is being received belong, or nil when
// the next bytes are not of a large value. A transport may read straight into it, and then
// must call Filled; it may as well read elsewhere and call Consume.
func (s *Session) Body() []byte {
	if !s.stored.open {
		return nil
	}
	return s.stored.draft.Room()
}

// Filled says that n bytes were read into Body; Consume is to be called then, with no
// bytes if there are none.
func (s *Session) Filled(n int) { s.stored.draft.Filled(n) }

// Bulk reports whether the client's last value was large. A transport then does well to
// read little at first, a command's line, and what follows straight into Body: what comes
// with the line is copied.
func (s *Session) Bulk() bool { return s.bulk && s.swallow == 0 }

// bulkFrom is the size of a value from which copying it costs more than a second read.
const bulkFrom = 16 << 10

// More reports whether Consume has answers to give without any new bytes (a long listing,
// watched events): it is to be called again once out has been sent.
func (s *Session) More() bool { return s.listing != nil || s.watcher.pending() }

// Watching reports whether the client waits for what the server has to tell, and need not
// say anything itself.
func (s *Session) Watching() bool { return s.watcher != nil }

// Closing reports whether the connection is to be closed once the output is sent.
func (s *Session) Closing() bool { return s.closing }

// Close gives back what the session holds: a value half received, its watch.
func (s *Session) Close() {
	s.stored.abandon()
	s.unwatch()
	s.listing = nil
}

// receiving is how many bytes of the store's memory a value that is being received takes.
func (s *Session) receiving() int {
	if !s.stored.open {
		return 0
	}
	return s.stored.draft.Item().Memory()
}
