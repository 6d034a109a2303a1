//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import "time"

// holding is what a connection keeps between its turns: the beginning of a command whose
// end has not come, answers that the socket does not take, a value that is half received.
// Clients decide how long, so it is bounded: see reap.
type holding struct {
	conn       *conn
	prev, next *holding

	input []byte
	out   Output
	sent  int // of out

	// since and moved are when the present window of slowSeconds began, and how many
	// bytes have moved in it; slow says that in the last one too few did.
	since uint32
	moved int
	slow  bool
	// heard is when something last came that was discarded, since the server started.
	heard time.Duration

	// What is counted of it in the server's totals.
	held, pinned, partial int64
}

// holders are the connections of a loop that hold something, the oldest first.
type holders struct {
	first, last *holding
	spare       []*holding
}

// keepInput is how much room for a command's beginning a spare holding keeps.
const keepInput = 4 << 10

func (l *loop) holdFor(c *conn) *holding {
	if c.hold != nil {
		return c.hold
	}
	var h *holding
	if n := len(l.holders.spare); n > 0 {
		h = l.holders.spare[n-1]
		l.holders.spare = l.holders.spare[:n-1]
	} else {
		h = new(holding)
	}
	h.conn, h.since, h.moved, h.slow, h.sent = c, l.now, 0, false, 0
	h.prev, h.next = l.holders.last, nil
	if h.prev != nil {
		h.prev.next = h
	} else {
		l.holders.first = h
	}
	l.holders.last = h
	c.hold = h
	return h
}

// unhold gives back everything a connection keeps.
func (l *loop) unhold(c *conn) {
	h := c.hold
	if h == nil {
		return
	}
	c.hold = nil
	h.out.Release(l.srv.store)
	h.input = h.input[:0]
	l.count3(h, 0, 0, 0)
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		l.holders.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		l.holders.last = h.prev
	}
	h.conn, h.prev, h.next = nil, nil, nil
	if len(l.holders.spare) < spareConns && cap(h.input) <= keepInput && cap(h.out.Bytes) <= keepInput {
		l.holders.spare = append(l.holders.spare, h)
	}
}

// settle ends a turn: it keeps what is left of the input, and gives up the holding when
// there is nothing to keep. It reports whether c is still open.
func (l *loop) settle(c *conn, rest []byte) bool {
	if len(rest) == 0 && !c.blocked && !c.lingering && c.session.receiving() == 0 {
		l.unhold(c)
		return true
	}
	h := l.holdFor(c)
	h.input = append(h.input[:0], rest...)
	l.account(h)
	if l.srv.conns.held.Load() > 2*l.srv.options.heldBound {
		l.makeRoom(c)
	}
	return c.open
}

// account brings the server's totals up to date with what h holds.
func (l *loop) account(h *holding) {
	l.count3(h, int64(cap(h.input)+cap(h.out.Bytes)), int64(h.out.pinned), int64(h.conn.session.receiving()))
}

func (l *loop) count3(h *holding, held, pinned, partial int64) {
	totals := &l.srv.conns
	if held != h.held {
		totals.held.Add(held - h.held)
		h.held = held
	}
	if pinned != h.pinned {
		totals.pinned.Add(pinned - h.pinned)
		h.pinned = pinned
	}
	if partial != h.partial {
		totals.partial.Add(partial - h.partial)
		h.partial = partial
	}
}

// reap closes connections that have lingered long enough, and, while all of them together
// hold more than they may, those that hold it in vain, the oldest first.
func (l *loop) reap() {
	for h, next := l.holders.first, (*holding)(nil); h != nil; h = next {
		next = h.next
		age := l.now - h.since
		if h.conn.lingering {
			if age > l.srv.options.lingerSeconds {
				l.shut(h.conn)
			}
			continue
		}
		if age >= l.srv.options.slowSeconds {
			h.slow = h.moved < slowBytes
			h.since, h.moved = l.now, 0
		}
		if h.slow && l.srv.tooMuch(holdings{h.held, h.pinned, h.partial}, holdings{}) {
			l.cut(h.conn)
		}
	}
}

// cut closes a connection that holds too much.
func (l *loop) cut(c *conn) {
	l.srv.conns.slowCuts.Add(1)
	c.ending = endedByError
	l.shut(c)
}

// makeRoom closes who has held something longest, or c.
func (l *loop) makeRoom(c *conn) {
	for h := l.holders.first; h != nil; h = h.next {
		if h.held > 0 && h.conn != c {
			l.cut(h.conn)
			return
		}
	}
	l.cut(c)
}
