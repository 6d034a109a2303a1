package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// streams are the connections that a goroutine each serves: those with TLS, and all where
// there are no event loops.
type streams struct {
	ended sync.WaitGroup

	mu       sync.Mutex
	open     map[*stream]struct{} // guarded by mu
	draining bool                 // guarded by mu
	deadline time.Time            // until when, if draining; guarded by mu
	next     int                  // guarded by mu
}

// streamTallies is how many tallies all streams share.
const streamTallies = 4

// stream is one of them.
type stream struct {
	srv     *Server
	conn    net.Conn
	socket  *meteredConn // under conn, where that is encrypted
	session Session
	ending  ending       // why it ends; of the one that reads
	seen    atomic.Int64 // when something last came, in nanoseconds since the server started

	// What the session says unasked is sent by a goroutine of its own, once there is
	// something: the one that reads may wait for long.
	telling sync.WaitGroup
	poked   chan struct{}
	tellMu  sync.Mutex
	told    bool // that goroutine was started; guarded by tellMu
	ended   bool // it is not to be started any more; guarded by tellMu
	end     chan struct{}

	mu    sync.Mutex // the session's, and out's: the one who reads and the one who was woken
	out   Output     // guarded by mu
	input int        // guarded by mu: the room of what is read into
	holds streamHolds

	// Of the one that reads: a time is set by which something has to come; what is read
	// though the server's time for it is over, and from which byte on.
	timed, overdue bool
	lateFrom       int64
}

const (
	handshakeTimeout = 10 * time.Second
	// streamRead is how much is read at once of a client that says much, and streamIdle
	// of one that does not.
	streamRead = 16 << 10
	streamIdle = 2 << 10
	// lateBytes bounds what is read when the server stops though its time is over.
	lateBytes = 64 << 10
)

// start serves an admitted connection.
func (ss *streams) start(srv *Server, c net.Conn, mode TLSMode) {
	s := &stream{srv: srv, socket: &meteredConn{Conn: c}, poked: make(chan struct{}, 1), end: make(chan struct{})}
	if s.conn = s.socket; mode != TLSOff {
		s.conn = tls.Server(s.socket, srv.certs.config(mode))
	}
	ss.mu.Lock()
	if ss.draining {
		ss.mu.Unlock()
		_ = c.Close()
		srv.release()
		return
	}
	if ss.open == nil {
		ss.open = make(map[*stream]struct{})
	}
	ss.open[s] = struct{}{}
	s.session = *newSession(srv, srv.tallies[srv.options.Threads+ss.next])
	ss.next = (ss.next + 1) % streamTallies
	ss.mu.Unlock()
	s.session.waker = s
	srv.conns.structures.Add(1)
	srv.tellConn(s.describe, "conn_new", endedNot)
	ss.ended.Go(func() {
		s.run()
		srv.tellConn(s.describe, "conn_close", s.ending)
		ss.mu.Lock()
		delete(ss.open, s)
		ss.mu.Unlock()
		srv.conns.structures.Add(-1)
		srv.release()
	})
}

// drain lets every stream answer what has been received, and waits until all have ended,
// at most until deadline.
func (ss *streams) drain(deadline time.Time) {
	ss.mu.Lock()
	ss.draining, ss.deadline = true, deadline
	for s := range ss.open {
		// What has been received already is answered; reading on is over soon.
		_ = s.socket.SetReadDeadline(time.Now().Add(drainRead))
		_ = s.socket.SetWriteDeadline(deadline)
	}
	ss.mu.Unlock()
	ss.ended.Wait()
}

func (ss *streams) stopped() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.draining
}

func (s *stream) wake() {
	s.tellMu.Lock()
	if !s.told && !s.ended {
		s.told = true
		s.telling.Go(s.tell)
	}
	s.tellMu.Unlock()
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

func (s *stream) run() {
	if !s.handshake() {
		_ = s.conn.Close()
		return
	}
	s.read()
	s.tellMu.Lock()
	s.ended = true
	s.tellMu.Unlock()
	close(s.end)
	if s.ending != endedByError && !s.holds.cut.Load() {
		s.linger()
	}
	_ = s.conn.Close() // whoever writes stops
	s.telling.Wait()
	s.mu.Lock()
	s.session.Close()
	s.out.Release(s.srv.store)
	s.out.Bytes, s.input = nil, 0
	s.account()
	s.mu.Unlock()
	if s.holds.cut.Load() {
		s.ending = endedByError
	}
}

// linger ends a connection whose answers have all been sent, as event loops do: the client
// is told that nothing more comes, and what it still says is discarded, until it closes or
// says no more.
func (s *stream) linger() {
	ss := &s.srv.streams
	ss.mu.Lock()
	until := time.Now().Add(time.Duration(s.srv.options.lingerSeconds) * time.Second)
	if ss.draining {
		until = earlier(until, ss.deadline)
	}
	ss.mu.Unlock()
	_ = s.socket.SetWriteDeadline(until)
	for _, c := range []net.Conn{s.conn, s.socket.Conn} {
		if c, ok := c.(interface{ CloseWrite() error }); ok && c.CloseWrite() != nil {
			return
		}
	}
	rest := make([]byte, streamIdle)
	for left := lingerBytes; left > 0; {
		now := time.Now()
		if s.socket.SetReadDeadline(earlier(now.Add(drainRead), until)) != nil {
			return
		}
		n, err := s.socket.Read(rest)
		// Closing while something waits would take back what was said last.
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && now.Before(until) && waits(s.socket.Conn)) {
			return
		}
		left -= n
	}
}

// tell sends what the session says unasked, until s.end.
func (s *stream) tell() {
	for {
		select {
		case <-s.poked:
			if _, err := s.answer(nil); err != nil {
				_ = s.conn.Close()
			}
		case <-s.end:
			return
		}
	}
}

func (s *stream) handshake() bool {
	encrypted, ok := s.conn.(*tls.Conn)
	if !ok {
		return true
	}
	s.setDeadline(s.socket.SetDeadline, handshakeTimeout)
	if err := encrypted.HandshakeContext(context.Background()); err != nil { // the deadline bounds it
		s.srv.conns.handshakeErrors.Add(1)
		return false
	}
	if !encrypted.ConnectionState().DidResume {
		s.srv.conns.tlsSessions.Add(1)
	}
	s.setDeadline(s.socket.SetDeadline, 0)
	return true
}

// setDeadline sets until when something is to be done, for ever if within is 0. When the
// server stops, that says until when.
func (s *stream) setDeadline(set func(time.Time) error, within time.Duration) {
	ss := &s.srv.streams
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.draining {
		return
	}
	var t time.Time
	if within > 0 {
		t = time.Now().Add(within)
	}
	_ = set(t) // fails only if it is closed, which the next one to use it will see
}

// read reads and answers until the client or the session ends the connection.
func (s *stream) read() {
	in := make([]byte, 0, streamIdle)
	for {
		into := in[len(in):cap(in)]
		body := s.body(len(in))
		if len(body) > 0 {
			into = body
		}
		s.awaitRead()
		n, err := s.conn.Read(into)
		if n > 0 {
			s.seen.Store(int64(time.Since(s.srv.started)))
			if len(body) > 0 {
				s.mu.Lock()
				s.session.Filled(n)
				s.mu.Unlock()
			} else {
				in = in[:len(in)+n]
			}
			taken, aerr := s.answer(in)
			in = in[:copy(in, in[taken:])]
			switch {
			case errors.Is(aerr, errSessionEnded):
				return
			case aerr != nil || len(in) > inputBound:
				s.ending = endedByError
				_ = s.socket.Close() // without a goodbye, for which there may be no room
				return
			}
			if len(in) == cap(in) {
				in = slices.Grow(in, streamRead)
				s.room(cap(in))
			} else if len(in) == 0 && cap(in) > streamIdle && (n < streamIdle || cap(in) > 2*streamRead) {
				in = make([]byte, 0, streamIdle)
				s.room(cap(in))
			}
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && s.late() {
				continue
			}
			s.countReadError(err)
			return
		}
	}
}

// late tells whether something has come though its time is over, and is to be read all the
// same: a client that takes its answers slowly, or a machine that stood still, has kept
// this from being looked at. When the server stops that is a bounded lot, for there may be
// no end to it.
func (s *stream) late() bool {
	if !waits(s.socket.Conn) {
		return false
	}
	ss := &s.srv.streams
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.draining {
		return true // awaitRead gives it time
	}
	moved, now := s.socket.read.Load(), time.Now()
	if !s.overdue {
		s.overdue, s.lateFrom = true, moved
	}
	if moved-s.lateFrom > lateBytes || !now.Before(ss.deadline) {
		return false
	}
	_ = s.socket.SetReadDeadline(earlier(now.Add(drainRead), ss.deadline))
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// waits tells whether a connection has something to read, whatever its deadline says.
func waits(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK) // it does not wait; an error is nothing to read
	})
	return err == nil && n > 0
}

// room says how much room there is for what is read.
func (s *stream) room(n int) {
	s.mu.Lock()
	s.input = n
	s.account()
	s.mu.Unlock()
}

// body is where the session wants what comes next.
func (s *stream) body(have int) []byte {
	if have > 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session.Body()
}

// awaitRead sets the time by which something has to come.
func (s *stream) awaitRead() {
	wait := s.srv.options.IdleTimeout
	if wait > 0 && s.watching() {
		wait = 0
	}
	if wait > 0 || s.timed {
		s.timed = wait > 0
		s.setDeadline(s.socket.SetReadDeadline, wait)
	}
}

func (s *stream) watching() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session.Watching()
}

func (s *stream) countReadError(err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.ending = endedByShutdown
		if !s.srv.streams.stopped() {
			s.ending = endedIdle
			s.srv.conns.idleKicks.Add(1)
		}
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	default:
		s.ending = endedByError
		if _, ok := s.conn.(*tls.Conn); ok {
			s.srv.conns.protocolErrors.Add(1)
		}
	}
}

var errSessionEnded = errors.New("the session has ended")

// answer answers the commands in in and returns how many bytes they were. An error ends
// the connection.
func (s *stream) answer(in []byte) (taken int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.account()
	for {
		taken += s.session.Consume(in[taken:], &s.out)
		full := s.out.Full()
		if s.out.Len() > 0 {
			s.account()
			err := s.send()
			s.out.Release(s.srv.store)
			if cap(s.out.Bytes) > streamRead {
				s.out.Bytes = nil
			}
			if err != nil {
				return taken, err
			}
		}
		switch {
		case s.session.Closing():
			return taken, errSessionEnded
		case !full && !s.session.More():
			return taken, nil
		}
	}
}

// send writes what is in out, which the caller guards.
func (s *stream) send() error {
	at := 0
	for _, p := range s.out.pins {
		if p.at > at {
			if _, err := s.conn.Write(s.out.Bytes[at:p.at]); err != nil {
				return err
			}
			at = p.at
		}
		if _, err := s.conn.Write(p.data); err != nil {
			return err
		}
	}
	if at == len(s.out.Bytes) {
		return nil
	}
	_, err := s.conn.Write(s.out.Bytes[at:])
	return err
}
