package mcconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Conn is a connection. One goroutine at a time may call Send and one, mostly
// another, Receive; Protocol, Version, Address and Close are anybody's. Somebody
// should be in Receive whenever there may be something to receive: a peer whose
// answers nobody reads stops reading commands.
//
// A Conn ends once, by Close, by the peer or by anything unexpected, and stays
// ended: whoever wants to go on dials anew.
type Conn struct {
	address  string
	protocol Protocol
	version  string
	timeout  time.Duration
	raw      *patient // closed to end it, without TLS's goodbye, which can block
	stream   net.Conn // written and read: raw, or TLS over it

	// A batch takes a slot before it is written and gives it back when it returns,
	// so that the other two, as large, never block Send. Nobody closes them.
	slots    chan struct{}
	inFlight chan *Batch   // from Send to Receive, each before it is written
	written  chan struct{} // one for each of inFlight, when its write has returned

	// Receive's alone.
	head *Batch // the oldest in flight, once taken from inFlight
	buf  []byte // buf[r:w] was read and not parsed
	r, w int
	read time.Time // when buf was last read into

	end   sync.Once
	ended chan struct{} // closed by fail
	err   error         // why it ended; to be read only behind ended
}

// bufferSize is what one read can take: some ten thousand answers.
const bufferSize = 64 << 10

func newConn(config Config, raw *patient, stream net.Conn) *Conn {
	return &Conn{
		address:  config.Address,
		protocol: config.Protocol,
		timeout:  config.Timeout,
		raw:      raw,
		stream:   stream,
		slots:    make(chan struct{}, config.Window),
		inFlight: make(chan *Batch, config.Window),
		written:  make(chan struct{}, config.Window),
		buf:      make([]byte, bufferSize),
		ended:    make(chan struct{}),
	}
}

// Protocol is what the connection speaks, Meta or Text: what Dial was told or, for
// Auto, what it found.
func (c *Conn) Protocol() Protocol { return c.protocol }

// Version is what the peer said its version is, in its own words and its first 256
// bytes at most: "1.6.45", "mcrouter 41.0.0".
func (c *Conn) Version() string { return c.version }

// Address is the address Dial was given.
func (c *Conn) Address() string { return c.address }

// Send writes the batch in one write. While the window is full it blocks, until a
// batch has been answered in full, the context is done, or the connection ends.
//
// Without an error the batch is the connection's, and comes back from Receive or
// Unanswered: also if the write failed, of which Receive and the next Send tell.
// With an error nothing was written, the batch is the caller's as before, and the
// connection is none the worse for a context that is done.
func (c *Conn) Send(ctx context.Context, b *Batch) error {
	if b.N < 1 || len(b.Wire) < b.N {
		return fmt.Errorf("%s: send: a batch of %d commands in %d bytes", c.address, b.N, len(b.Wire))
	}
	if err := c.reserve(ctx); err != nil {
		return err
	}
	b.begin(time.Now())
	wire, commands := b.Wire, b.N
	c.inFlight <- b // before the write: answers may be back before it returns
	if _, err := c.stream.Write(wire); err != nil {
		_ = c.fail(fmt.Errorf("write %d commands (%d bytes): %w", commands, len(wire), bare(err)))
	}
	c.written <- struct{}{}
	return nil
}

// reserve takes a place in the window.
func (c *Conn) reserve(ctx context.Context) error {
	select {
	case <-c.ended:
		return c.err
	default:
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: send: %w", c.address, context.Cause(ctx))
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("%s: send: %w", c.address, context.Cause(ctx))
	}
}

// Receive waits until the oldest batch in flight has all its answers, and returns
// it. While nothing is in flight it watches the peer: one that hangs up, or speaks
// unasked, ends the connection at once rather than with the next batch.
//
// It takes no context, which would cost allocations with every batch: to end it,
// end the connection (context.AfterFunc(ctx, c.Close)).
//
// An error is final, the same from then on, and begins with the address. It holds
// net.ErrClosed after Close, io.EOF if the peer hung up, os.ErrDeadlineExceeded if
// it was silent for Timeout while answers were owed or took nothing for as long,
// ErrUnexpected if it said something else than an answer, mcproto.ErrLine if it
// would not end a line, and otherwise what net says (a reset, for example).
func (c *Conn) Receive() (*Batch, error) {
	for {
		if c.r < c.w {
			if c.oldest() == nil {
				return nil, c.fail(unexpected("no command awaits an answer", "nothing", c.buf[c.r:c.w]))
			}
			n, err := c.head.take(c.buf[c.r:c.w])
			if n > 0 {
				c.r += n
				c.raw.answered(c.read)
			}
			if err != nil {
				return nil, c.fail(err)
			}
			if b := c.head; b.answered() == b.N {
				// The write of b may still be about to return, and until then b.Wire is
				// not the owner's to change.
				<-c.written
				<-c.slots
				c.head = nil
				return b, nil
			}
		}
		if err := c.fill(); err != nil {
			return nil, c.fail(err)
		}
	}
}

// oldest is the oldest batch in flight, or nil.
func (c *Conn) oldest() *Batch {
	if c.head == nil {
		select {
		case c.head = <-c.inFlight:
		default:
		}
	}
	return c.head
}

// fill reads what there is, at least one byte, behind what was not parsed: less
// than a line, so there is room.
func (c *Conn) fill() error {
	c.w = copy(c.buf, c.buf[c.r:c.w])
	c.r = 0
	for {
		n, err := c.stream.Read(c.buf[c.w:])
		if n > 0 {
			c.w += n
			c.read = time.Now()
			return nil
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := c.extend(); err != nil {
				return err
			}
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter is TLS's, without a goodbye
			return fmt.Errorf("the peer hung up%s: %w", c.owed(), io.EOF)
		default:
			return fmt.Errorf("read%s: %w", c.owed(), bare(err))
		}
	}
}

// extend moves the read deadline that has passed to where silence becomes an
// error, or is that error. Deadlines are set here only, once each Timeout, not
// with each batch: an early one costs a look at the clock, and none is ever late,
// because it stands at most one Timeout after some moment without need of it.
func (c *Conn) extend() error {
	now := time.Now()
	due := now.Add(c.timeout)
	if b := c.oldest(); b != nil {
		since := b.Sent
		if last := c.raw.lastAnswered(); last.After(since) {
			since = last
		}
		due = since.Add(c.timeout)
		if !due.After(now) {
			return fmt.Errorf("no answer for %v%s: %w", c.timeout, c.owed(), os.ErrDeadlineExceeded)
		}
	}
	return c.stream.SetReadDeadline(due)
}

// owed says for people what Receive is waiting for.
func (c *Conn) owed() string {
	b := c.oldest()
	if b == nil {
		return ""
	}
	return " (awaiting " + b.place() + ")"
}

// Close ends the connection: a blocked Send or Receive returns, and what is in
// flight stays unanswered. Closing again does nothing.
func (c *Conn) Close() {
	_ = c.fail(fmt.Errorf("connection closed: %w", net.ErrClosed))
}

// Unanswered hands back the batches that were sent and have not come back, oldest
// first; the oldest may have some of its answers. It is for the goroutine that
// received, after Receive has returned an error and the last Send has returned.
func (c *Conn) Unanswered() []*Batch {
	var batches []*Batch
	for c.oldest() != nil {
		batches = append(batches, c.head)
		c.head = nil
	}
	return batches
}

// fail ends the connection for the reason err, unless it has ended, and returns
// the reason it ended for.
func (c *Conn) fail(err error) error {
	c.end.Do(func() {
		c.err = fmt.Errorf("%s: %w", c.address, err)
		close(c.ended)
		_ = c.raw.Close() // whatever it says, the connection is of no more use
	})
	return c.err
}
