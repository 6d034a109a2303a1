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
	"time"
)

// streams are the connections that a goroutine each serves: those with TLS, and all where
// there are no event loops.
type streams struct {
	ended sync.WaitGroup

	mu       sync.Mutex
	open     map[*stream]struct{} // guarded by mu
	draining bool                 // guarded by mu
	next     int                  // guarded by mu
}

// streamTallies is how many tallies all streams share.
const streamTallies = 4

// stream is one of them.
type stream struct {
	srv     *Server
	conn    net.Conn
	socket  net.Conn // under conn, where that is encrypted
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

	mu      sync.Mutex // the session's, and out's: the one who reads and the one who was woken
	out     Output     // guarded by mu
	partial int64      // guarded by mu: what is counted of it in the server's total

	// The one who reads watches how fast a value comes that is half received.
	since time.Time
	moved int
	timed bool // a time is set by which something has to come
}

const (
	handshakeTimeout = 10 * time.Second
	// writeTimeout is for how long an answer may move nothing. A goroutine waits
	// meanwhile, and holds an answer.
	writeTimeout = 30 * time.Second
	// drainRead is for how long a stream still reads when the server stops.
	drainRead = 100 * time.Millisecond
	// A value that is half received moves fewer than partialBytes in partialWait in vain:
	// it makes room where all of them together take more memory than they may.
	partialWait  = 10 * time.Second
	partialBytes = 64 << 10
	// streamRead is how much is read at once of a client that says much, and streamIdle
	// of one that does not.
	streamRead = 16 << 10
	streamIdle = 2 << 10
)

// start serves an admitted connection.
func (ss *streams) start(srv *Server, c net.Conn, mode TLSMode) {
	s := &stream{srv: srv, conn: c, socket: c, poked: make(chan struct{}, 1), end: make(chan struct{})}
	if mode != TLSOff {
		s.conn = tls.Server(c, srv.certs.config(mode))
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
	ss.draining = true
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
	_ = s.conn.Close() // whoever writes stops
	s.telling.Wait()
	s.mu.Lock()
	s.session.Close()
	s.out.Release(s.srv.store)
	s.account()
	s.mu.Unlock()
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

// account brings the server's total of half received values up to date. mu is held.
func (s *stream) account() {
	if now := int64(s.session.receiving()); now != s.partial {
		s.srv.conns.partial.Add(now - s.partial)
		s.partial = now
	}
}

func (s *stream) handshake() bool {
	encrypted, ok := s.conn.(*tls.Conn)
	if !ok {
		return true
	}
	_ = s.socket.SetDeadline(time.Now().Add(handshakeTimeout))
	if err := encrypted.HandshakeContext(context.Background()); err != nil { // the deadline bounds it
		s.srv.conns.handshakeErrors.Add(1)
		return false
	}
	if !encrypted.ConnectionState().DidResume {
		s.srv.conns.tlsSessions.Add(1)
	}
	_ = s.socket.SetDeadline(time.Time{})
	return true
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
		if err := s.awaitRead(); err != nil {
			return
		}
		n, err := s.conn.Read(into)
		if n > 0 {
			s.seen.Store(int64(time.Since(s.srv.started)))
		}
		if n > 0 && len(body) > 0 {
			s.mu.Lock()
			s.session.Filled(n)
			s.mu.Unlock()
		} else {
			in = in[:len(in)+n]
		}
		s.moved += n
		if n > 0 {
			taken, aerr := s.answer(in)
			in = in[:copy(in, in[taken:])]
			if aerr != nil || len(in) > inputBound {
				return
			}
			if len(in) == cap(in) {
				in = slices.Grow(in, streamRead)
			} else if len(in) == 0 && n < streamIdle && cap(in) > streamIdle {
				in = make([]byte, 0, streamIdle)
			}
		}
		if s.inVain() {
			s.srv.conns.slowCuts.Add(1)
			s.ending = endedByError
			return
		}
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && s.mayWait()) {
			s.countReadError(err)
			return
		}
	}
}

// half reports whether a value is half received.
func (s *stream) half() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partial > 0
}

func (s *stream) watching() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session.Watching()
}

// inVain reports whether a half received value keeps memory that others need, and hardly
// comes.
func (s *stream) inVain() bool {
	if !s.half() {
		s.since = time.Time{}
		return false
	}
	now := time.Now()
	if s.since.IsZero() {
		s.since, s.moved = now, 0
		return false
	}
	if now.Sub(s.since) < partialWait {
		return false
	}
	slow := s.moved < partialBytes
	s.since, s.moved = now, 0
	return slow && s.srv.conns.partial.Load() > s.srv.options.Memory/8
}

// mayWait reports whether a read that took too long is to be tried again: it was a half
// received value's time that was over, and not the connection's.
func (s *stream) mayWait() bool {
	if s.srv.streams.stopped() || !s.half() {
		return false
	}
	idle := s.srv.options.IdleTimeout
	return idle == 0 || time.Since(s.srv.started)-time.Duration(s.seen.Load()) < idle
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
func (s *stream) awaitRead() error {
	wait := s.srv.options.IdleTimeout
	if wait > 0 && s.watching() {
		wait = 0
	}
	if s.half() && (wait == 0 || wait > partialWait) {
		wait = partialWait
	}
	if wait == 0 && !s.timed {
		return nil
	}
	ss := &s.srv.streams
	ss.mu.Lock() // drain sets it otherwise
	defer ss.mu.Unlock()
	if ss.draining {
		return nil
	}
	if s.timed = wait > 0; !s.timed {
		return s.socket.SetReadDeadline(time.Time{})
	}
	return s.socket.SetReadDeadline(time.Now().Add(wait))
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
	if !s.srv.streams.stopped() {
		if err := s.socket.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
	}
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
