//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection of an event loop:
//
//	             a command's beginning         all sent
//	          ┌───────────────────────┐   ┌────────────────┐
//	          ▼                       │   ▼                │
//	open ─► reading ──► answering ────┴─► blocked ─────────┤
//	             ▲          │  the socket takes no more    │ the session has ended
//	             └──────────┘                              ▼
//	                                                  lingering ─► closed
//
// One that reads holds nothing but this struct, unless a command has come in part.
type conn struct {
	session Session
	loop    *loop
	hold    *holding // what is kept between turns; nil: nothing
	fd      int
	ending  ending // why it ends, if it does
	seen    uint32 // the loop's second in which something last came; atomic for others

	open      bool
	blocked   bool // answers wait for the socket; nothing is read
	lingering bool // everything is sent; what still comes is discarded
	queued    bool // in the loop's ready
}

// wake is for the session, which has something to say.
func (c *conn) wake() { c.loop.poke(c) }

// serve gives a connection a turn: with read, what has come is read; without, what was
// left of an earlier turn is done first.
func (l *loop) serve(c *conn, read bool) {
	have, spent := 0, 0
	if c.hold != nil {
		have = copy(l.in, c.hold.input)
		c.hold.input = c.hold.input[:0]
	}
	for {
		full := false
		if read {
			n, asked, errno := l.read(c, have)
			switch {
			case errno == syscall.EAGAIN || errno == syscall.EINTR:
				l.settle(c, l.in[:have])
				return
			case errno != 0:
				c.ending = endedByError
				l.shut(c)
				return
			case n == 0:
				l.shut(c)
				return
			}
			if c.seen != l.now {
				atomic.StoreUint32(&c.seen, l.now)
			}
			spent += n
			full = n == asked
			have = l.landed(c, have, n)
		}
		rest, more, ok := l.answer(c, l.in[:have], &spent)
		switch {
		case !ok:
			return
		case more: // its turn is over, and there is work left
			l.srv.conns.yields.Add(1)
			if l.settle(c, rest) {
				l.enqueue(c)
			}
			return
		case read && !full, spent >= turnBound:
			// A short read has emptied the socket; what it has beyond the turn, the
			// next wait will tell.
			l.settle(c, rest)
			return
		case len(rest) > inputBound:
			l.srv.logger.Error("a command is longer than any may be: the connection is closed", "bytes", len(rest))
			l.shut(c)
			return
		}
		have = copy(l.in, rest)
		read = true
	}
}

// read reads behind the first have bytes of l.in, or, where a large value is being
// received, into that first. It returns how much it had room for.
func (l *loop) read(c *conn, have int) (n, asked int, errno syscall.Errno) {
	size := readSize
	if c.session.Bulk() && have == 0 {
		size = lineSize
	}
	into := l.in[have : have+size]
	if have == 0 {
		if body := c.session.Body(); len(body) > 0 {
			l.vector = append(l.vector[:0], piece(body), piece(into))
			n, errno = recvv(c.fd, l.vector)
			return n, len(body) + len(into), errno
		}
	}
	n, errno = recv(c.fd, into)
	return n, len(into), errno
}

// landed tells the session of what read put into its value, and returns how many bytes
// l.in has now.
func (l *loop) landed(c *conn, have, n int) int {
	if have == 0 {
		if body := c.session.Body(); len(body) > 0 {
			filled := min(n, len(body))
			c.session.Filled(filled)
			n -= filled
		}
	}
	if c.hold != nil {
		c.hold.moved += n
	}
	return have + n
}

// listingCost is what a go of a listing takes of a turn, though it may have said nothing.
const listingCost = turnBound / 4

// answer answers the commands in in, sends the answers, and returns what is left of in.
// more: it stopped because the turn is over, not because a command is not whole. Unless
// ok, nothing is to be done with c any more in this turn: it is blocked (and keeps what
// is left), lingers, or is closed.
func (l *loop) answer(c *conn, in []byte, spent *int) (rest []byte, more, ok bool) {
	for {
		n := c.session.Consume(in, &l.out)
		in = in[n:]
		full := l.out.Full()
		if c.session.More() {
			*spent += listingCost
		}
		if size := l.out.Len(); size > 0 {
			*spent += size
			if !l.flush(c, in) {
				return nil, false, false
			}
		}
		switch {
		case c.session.Closing():
			l.linger(c, len(in) > 0)
			return nil, false, false
		case !full && !c.session.More():
			return in, false, true
		case *spent >= turnBound:
			return in, true, true
		}
	}
}

// flush sends l.out. Unless everything has gone, it keeps what is left, of the answers
// and of in, and returns false.
func (l *loop) flush(c *conn, in []byte) bool {
	var n int
	var errno syscall.Errno
	size := l.out.Len()
	if len(l.out.pins) == 0 {
		n, errno = send(c.fd, l.out.Bytes)
	} else {
		n, errno = l.sendPieces(c.fd, &l.out, 0)
	}
	if errno == 0 && n == size {
		l.out.Release(l.srv.store)
		l.trim()
		return true
	}
	switch errno {
	case 0, syscall.EAGAIN, syscall.EINTR, syscall.ENOBUFS, syscall.ENOMEM:
		l.block(c, max(n, 0), in)
	default: // the client is gone
		c.ending = endedByError
		l.out.Release(l.srv.store)
		l.shut(c)
	}
	return false
}

// sendPieces sends as much of out, behind the first sent bytes, as the socket takes, and
// returns how much of all has been sent then.
func (l *loop) sendPieces(fd int, out *Output, sent int) (int, syscall.Errno) {
	began, size := sent, out.Len()
	for {
		l.vector = out.pieces(l.vector[:0], sent)
		want := 0
		for i := range l.vector {
			want += int(l.vector[i].Len)
		}
		n, errno := sendv(fd, l.vector)
		if errno != 0 {
			if sent > began && (errno == syscall.EAGAIN || errno == syscall.EINTR) {
				errno = 0
			}
			return sent, errno
		}
		if sent += n; sent == size || n < want {
			return sent, 0
		}
	}
}

// trim gives up the room of an unusually large answer.
func (l *loop) trim() {
	if cap(l.out.Bytes) > 2*outputBound {
		l.out.Bytes = nil
	}
}

// block keeps what could not be sent of l.out, until the socket takes more.
func (l *loop) block(c *conn, sent int, in []byte) {
	h := l.holdFor(c)
	l.out.moveTo(&h.out, sent, l.srv.store)
	h.sent = 0 // what was kept before is sent
	l.trim()
	c.blocked = true
	if err := l.watch(c.fd, syscall.EPOLLOUT, syscall.EPOLL_CTL_MOD); err != nil {
		l.shut(c)
		return
	}
	l.settle(c, in)
}

// resume sends more of what waits, and reports whether that was all of it and the
// connection goes on.
func (l *loop) resume(c *conn) bool {
	h := c.hold
	n, errno := l.sendPieces(c.fd, &h.out, h.sent)
	switch errno {
	case 0, syscall.EAGAIN, syscall.EINTR, syscall.ENOBUFS, syscall.ENOMEM:
	default:
		c.ending = endedByError
		l.shut(c)
		return false
	}
	h.moved += n - h.sent
	if h.sent = n; n < h.out.Len() {
		return false
	}
	h.out.Release(l.srv.store)
	h.sent = 0
	c.blocked = false
	if c.session.Closing() {
		l.linger(c, true)
		return false
	}
	if err := l.watch(c.fd, syscall.EPOLLIN, syscall.EPOLL_CTL_MOD); err != nil {
		l.shut(c)
		return false
	}
	return true
}

// linger ends a connection whose answers have all been sent. Closing it at once, with
// input unread, would make the kernel tell the client so before the client has read the
// answers; so then the client is told first that nothing more comes, and closes. unread
// says that there is input which was not used.
func (l *loop) linger(c *conn, unread bool) {
	if !unread {
		n, errno := recv(c.fd, l.in[:1])
		if unread = n > 0 && errno == 0; !unread {
			l.shut(c)
			return
		}
	}
	if err := syscall.Shutdown(c.fd, syscall.SHUT_WR); err != nil {
		l.shut(c)
		return
	}
	c.lingering = true
	h := l.holdFor(c)
	h.input, h.moved, h.since, h.heard = nil, 0, l.now, time.Since(l.srv.started)
	l.discard(c)
}

func (l *loop) discard(c *conn) {
	for range 4 {
		n, errno := recv(c.fd, l.in)
		switch {
		case errno == syscall.EAGAIN || errno == syscall.EINTR:
			l.settle(c, nil)
			return
		case errno != 0 || n == 0:
			l.shut(c)
			return
		}
		c.hold.heard = time.Since(l.srv.started)
		if c.hold.moved += n; c.hold.moved > lingerBytes {
			l.shut(c)
			return
		}
	}
	l.settle(c, nil)
}
