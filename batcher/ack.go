package batcher

import (
	"fmt"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Ack says that every command of b has been answered, and moves the cursor's
// position past the transactions that ended in it. Batches are acknowledged in the
// order in which they were taken.
//
// refused is how many of the commands the cache refuses for now. The batch is done
// with all the same, but the position waits until they have been delivered: the
// caller keeps them (a copy of [Batch.Command]), sends them again with back-off,
// and tells what Ack returns of each that has been. It is nil if refused is 0.
//
// Errors are [ErrFellOut], [ErrClosed] and [ErrOrder]. After the first two the position
// may have moved past some of b's transactions, for their commands have been answered;
// where any was refused it stays before b for good. After ErrOrder nothing has moved.
func (c *Cursor) Ack(b *Batch, refused int) (*Refused, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.enterAcked(); err != nil {
		return nil, err
	}
	defer c.leaveAcked()
	if b.cursor != c || b.epoch != c.epoch || b.from != c.acked.mark() {
		return nil, ErrOrder
	}
	var group *Refused
	if refused > 0 {
		group = c.refuse(refused, b.Time)
	}
	if err := c.ackUpTo(b.to); err != nil {
		return nil, err
	}
	b.cursor = nil
	c.memory.note(&c.acked)
	if len(c.trailers) > 0 {
		now := time.Now()
		for _, t := range c.trailers {
			t.leaderAcked(now, b.to)
		}
	}
	return group, nil
}

// ackUpTo walks from acked to to and folds what ended in between. acked's chunk is
// pinned, and mu is held.
func (c *Cursor) ackUpTo(to mark) error {
	at := &c.acked
	for {
		end := to.off
		if at.number < to.number {
			end = at.chunk.readable() // final, for there is a chunk behind it
		}
		if err := at.foldTo(end, *c.log.sources.Load(), &c.position, &c.start); err != nil {
			return c.fail(fmt.Errorf("acknowledge: %w", err))
		}
		if at.number == to.number {
			return nil
		}
		if err := c.crossAcked(); err != nil {
			return err
		}
	}
}

// crossAcked goes on to the next chunk; the one behind may now be dropped.
func (c *Cursor) crossAcked() error {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	l.crossPinned(&c.acked)
	c.held = c.acked.number
	l.hurry(c)
	l.signalRoom()
	return nil
}

// enterAcked pins acked's chunk, leaveAcked gives it back.

func (c *Cursor) enterAcked() error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.log.pin(c.acked.chunk)
	return nil
}

func (c *Cursor) leaveAcked() {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.unpin(c.acked.chunk)
}

// Position is up to where everything has been acknowledged, and nothing refused is
// left: where this cursor goes on after a restart. It is a copy. It stands when the
// cursor has fallen out or been closed.
func (c *Cursor) Position() binlog.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.refused[0]; r != nil {
		return r.before.Clone()
	}
	return c.position.Clone()
}

// Acked is how many bytes of the Log's records lie before what has not been
// acknowledged: it grows as long as anything is. It means nothing to another Log.
func (c *Cursor) Acked() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.err != nil {
		return 0 // the chunk may be another's by now
	}
	return uint64(c.acked.chunk.start) + uint64(c.acked.off)
}

// Lag is how far a cursor is behind.
type Lag struct {
	// Oldest is when the oldest transaction was committed that has not been
	// acknowledged or of which something is refused, in microseconds since 1970; 0
	// if there is none.
	Oldest int64
	// Bytes is how much of the Log has not been acknowledged.
	Bytes int64
	// Refused is how many commands the cache refuses for now.
	Refused int
}

// Lag tells how far the cursor is behind what has been published, visible or not.
func (c *Cursor) Lag() Lag {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lag Lag
	lag.Oldest, lag.Bytes = c.behind()
	for _, r := range c.refused {
		if r == nil {
			continue
		}
		lag.Refused += r.n
		if r.time != 0 && (lag.Oldest == 0 || r.time < lag.Oldest) {
			lag.Oldest = r.time
		}
	}
	return lag
}

// behind is the commit time of the first transaction that has not been acknowledged
// whole, and the bytes between acked and the Log's end. mu is held.
func (c *Cursor) behind() (oldest, bytes int64) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	p := c.acked
	if c.err != nil {
		// The chunk may be gone. What comes is no older than what was.
		return p.inv.Time, 0
	}
	bytes = l.last.start + l.last.published.Load() - (p.chunk.start + int64(p.off))
	// mu keeps the chunks where they are. Only the records between two transactions
	// are walked over: few, and they are at hand.
	sources := *l.sources.Load()
	for !p.open {
		if p.off == p.chunk.readable() {
			next := p.chunk.next.Load()
			if next == nil {
				return 0, bytes
			}
			p.enter(next)
			continue
		}
		if p.step(p.chunk.buf, sources) == kindAdvance && p.inv.Time != 0 {
			break
		}
	}
	return p.inv.Time, bytes
}
