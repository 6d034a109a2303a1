package server

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
	tally  *tally
	waker  waker // the transport; nil in tests

	closing bool
}

// newSession starts a session. Its counters go to t, which sessions of one event loop
// share.
func newSession(server *Server, t *tally) *Session {
	return &Session{server: server, tally: t}
}

// Consume answers the commands that stand whole at the head of in, appends the answers to
// out, and returns how many bytes it took. It takes less than all when the rest is the
// beginning of a command (call again with more bytes behind it: at most inputBound are
// ever needed), when out is full (send it and call again with the rest, also without new
// bytes), or when the session is closing. in is not kept.
func (s *Session) Consume(in []byte, out *Output) int {
	return 0
}

// inputBound is how many bytes of an unfinished command a transport must be able to hold.
// Longer lines are answered as errors, and longer values are received through Body.
const inputBound = 64 << 10

// Body returns where the next bytes of a value that is being received belong, or nil when
// the next bytes are not of a large value. A transport may read straight into it, and then
// must call Filled; it may as well read elsewhere and call Consume.
func (s *Session) Body() []byte { return nil }

// Filled says that n bytes were read into Body.
func (s *Session) Filled(n int) {}

// More reports whether Consume has answers to give without any new bytes (a long listing,
// watched events): it is to be called again once out has been sent.
func (s *Session) More() bool { return false }

// Closing reports whether the connection is to be closed once the output is sent.
func (s *Session) Closing() bool { return s.closing }

// Close gives back what the session holds: a value half received, its watch.
func (s *Session) Close() {}

// receiving is how many bytes of the store's memory a value that is being received takes.
func (s *Session) receiving() int { return len(s.Body()) }
