package mcconn

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// patient is a network connection whose Write bears with a slow peer but not with
// a stuck one: it fails when, for timeout, the peer has neither taken a byte nor
// sent an answer. A deadline for the whole write would end, again and again, a
// connection over which a large batch needs longer and gets through.
//
// It lies under TLS, which does not survive a write that failed at a deadline.
type patient struct {
	net.Conn
	timeout time.Duration
	born    time.Time
	// progress is when the last answer was read, in nanoseconds since born. Receive
	// stores it, Write loads it.
	progress atomic.Int64
}

// answered notes that an answer was read at that time.
func (p *patient) answered(at time.Time) { p.progress.Store(int64(at.Sub(p.born))) }

// lastAnswered is the latest such time; at first it is when p was made.
func (p *patient) lastAnswered() time.Time {
	return p.born.Add(time.Duration(p.progress.Load()))
}

func (p *patient) Write(b []byte) (n int, err error) {
	deadline := time.Now().Add(p.timeout)
	for {
		if err := p.SetWriteDeadline(deadline); err != nil {
			return n, err
		}
		k, err := p.Conn.Write(b[n:])
		n += k
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if k > 0 {
			deadline = time.Now().Add(p.timeout)
			continue
		}
		later := p.lastAnswered().Add(p.timeout)
		if !later.After(deadline) {
			return n, err
		}
		deadline = later
	}
}
