package server

import (
	"cmp"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// streamHolds is what a stream keeps that its client decides about: the beginning of a
// command, answers that are being sent, a value that is half received. It is bounded as
// what connections of event loops hold: see reap, and there holding.
type streamHolds struct {
	// What is counted of it in the server's totals. Written with the stream's mu held.
	held, pinned, partial atomic.Int64
	// since is when it began to hold anything, in nanoseconds since the server started; 0:
	// it does not.
	since atomic.Int64
	// cut says that it was closed for what it held.
	cut atomic.Bool

	// Of the one who reaps: when the present window of slowSeconds began, and how many
	// bytes had moved then.
	window time.Time
	moved  int64
}

// meteredConn counts the bytes that move over a connection.
type meteredConn struct {
	net.Conn
	moved atomic.Int64
	read  atomic.Int64 // of these
}

func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.moved.Add(int64(n))
	c.read.Add(int64(n))
	return n, err
}

func (c *meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.moved.Add(int64(n))
	return n, err
}

// streamKept is how much room a stream may have that is not counted: what it usually
// reads into, and what it usually answers from.
const streamKept = streamRead + streamIdle

// account brings the server's totals up to date with what the stream holds. mu is held.
func (s *stream) account() {
	beyond := func(room int) int64 { return int64(max(0, room-streamKept)) }
	set := func(total, own *atomic.Int64, to int64) {
		if from := own.Load(); from != to {
			own.Store(to)
			total.Add(to - from)
		}
	}
	h, totals := &s.holds, &s.srv.conns
	held := beyond(s.input) + beyond(cap(s.out.Bytes))
	pinned, partial := int64(s.out.pinned), int64(s.session.receiving())
	set(&totals.held, &h.held, held)
	set(&totals.pinned, &h.pinned, pinned)
	set(&totals.partial, &h.partial, partial)
	switch since := h.since.Load(); {
	case held+pinned+partial > 0 && since == 0:
		h.since.Store(max(1, int64(time.Since(s.srv.started))))
	case held+pinned+partial == 0 && since != 0:
		h.since.Store(0)
	}
	if held > 0 && totals.held.Load() > 2*s.srv.options.heldBound {
		s.srv.streams.makeRoom(s.srv)
	}
}

// makeRoom closes who has held something longest, unless that was done already, and they
// have not given it back yet.
func (ss *streams) makeRoom(srv *Server) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	var oldest *stream
	over := srv.conns.held.Load() - 2*srv.options.heldBound
	for s := range ss.open {
		switch held := s.holds.held.Load(); {
		case held == 0:
		case s.holds.cut.Load():
			over -= held
		case oldest == nil || s.holds.since.Load() < oldest.holds.since.Load():
			oldest = s
		}
	}
	if oldest != nil && over > 0 {
		oldest.cutOff()
	}
}

// cutOff closes a stream that holds too much: whoever uses it sees that.
func (s *stream) cutOff() {
	s.srv.conns.slowCuts.Add(1)
	s.holds.cut.Store(true)
	_ = s.socket.Close()
}

// reapEvery is how often streams are looked at that hold something.
const reapEvery = time.Second

// reap closes streams, while all connections together hold more than they may, that hold
// something in vain, the oldest first, until stop is closed.
func (ss *streams) reap(stop <-chan struct{}) {
	ticker := time.NewTicker(reapEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			ss.reapAt(now)
		}
	}
}

func (ss *streams) reapAt(now time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	var slow []*stream
	var going holdings // of those that are closed, and have not given it back yet
	for s := range ss.open {
		switch {
		case s.holds.cut.Load():
			going.add(s.holds.now())
		case s.slow(now):
			slow = append(slow, s)
		}
	}
	slices.SortFunc(slow, func(a, b *stream) int { return cmp.Compare(a.holds.since.Load(), b.holds.since.Load()) })
	for _, s := range slow {
		if own := s.holds.now(); s.srv.tooMuch(own, going) {
			s.cutOff()
			going.add(own)
		}
	}
}

func (h *streamHolds) now() holdings {
	return holdings{h.held.Load(), h.pinned.Load(), h.partial.Load()}
}

// slow reports whether the stream holds something, and moved too little in the window that
// has just ended.
func (s *stream) slow(now time.Time) bool {
	h := &s.holds
	if h.since.Load() == 0 {
		h.window = time.Time{}
		return false
	}
	moved := s.socket.moved.Load()
	switch {
	case h.window.IsZero():
		h.window, h.moved = now, moved
		return false
	case now.Sub(h.window) < time.Duration(s.srv.options.slowSeconds)*time.Second:
		return false
	case moved-h.moved >= slowBytes:
		h.window, h.moved = now, moved
		return false
	}
	return true
}
