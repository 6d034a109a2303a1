package batcher

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Cursor is one reader of a Log: how far it has taken batches, how far they have
// been acknowledged, and the position that follows from that.
//
//	acked  ≤  next  ≤  what is published and visible
//
// Next and Rewind are one goroutine's; Ack is one's, which may be another. All else
// may be called by any.
type Cursor struct {
	log   *Log
	start start
	trail *trail // nil unless the cursor trails another; guards itself

	// Next's goroutine's.
	next    place
	seen    distinct
	timer   *time.Timer
	moved   bool // since Next began an end was passed, or a chunk left
	crossed int  // how many chunks were
	stop    stop

	// Guarded by log.mu.
	err     error   // why nothing can be had here any more
	held    uint64  // the number of the chunk that acked is in
	leader  *Cursor // the one it trails, if it does
	waiting bool
	want    uint64 // waiting: until the watermark is here, at least
	limited bool   // waiting: for the cursor it trails, and for nothing else
	wakeup  chan struct{}

	// mu guards what follows. It is taken before log.mu and before a trail's.
	mu       sync.Mutex
	acked    place
	epoch    uint64 // counts Rewinds; batches of an earlier one are void
	position binlog.Position
	refused  [2]*Refused // see there
	memory   remembering
	trailers []*Cursor // those that trail this one
}

// stop is why fill could not go on.
type stop struct {
	want    uint64
	limited bool
}

// maxCrossed is how many chunks a batch spans: one that finds no key for its target
// must still be acknowledged before its first chunk is missed.
const maxCrossed = minChunks

// NewCursor makes a cursor that begins at the Log's oldest record and passes over
// what has been executed at from. [ErrTooOld] says that something before the oldest
// record has not ([Log.CanJoin]). The zero Position is where the Log's reading
// began, as long as that is all there. The cursor makes a copy.
func (l *Log) NewCursor(from binlog.Position) (*Cursor, error) {
	// Both locks: neither the base nor the oldest chunk may change meanwhile.
	l.baseMu.Lock()
	defer l.baseMu.Unlock()
	if from.IsZero() {
		from = l.base
	}
	if !l.canJoin(from) {
		return nil, ErrTooOld
	}
	c := &Cursor{log: l, wakeup: make(chan struct{}, 1), position: from.Clone()}
	c.start.init(from, l.base)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.next.enter(l.oldest)
	c.acked.enter(l.oldest)
	c.held = l.oldest.number
	l.cursors = append(l.cursors, c)
	l.signalRoom()
	return c, nil
}

// Close takes the cursor out of the Log: the writer waits for it no longer, and its
// calls return [ErrClosed], one of Next that waits included. Its position stands.
func (c *Cursor) Close() {
	if c.trail != nil {
		c.trail.leader.forget(c)
	}
	_ = c.fail(ErrClosed) // it may have ended before
}

// fail ends the cursor, if it has not ended, and returns why it did.
func (c *Cursor) fail(err error) error {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.err = err
	l.cursors = slices.DeleteFunc(l.cursors, func(o *Cursor) bool { return o == c })
	l.rouse(c)
	l.signalRoom()
	return err
}

// Next waits until there is something for the cursor, and fills b with it: the
// commands that encode makes of the keys that wait, up to a limit, to the watermark
// or to the end of what has been published, whichever comes first. It joins what
// is waiting, and waits for more only where lim says so. Batches may be taken
// before earlier ones have been acknowledged.
//
// On an error b is empty and the cursor has not moved: ctx's, [ErrFellOut],
// [ErrClosed], or io.EOF once the writer has closed and everything has been taken.
// BenchmarkLog guards it.
func (c *Cursor) Next(ctx context.Context, b *Batch, lim Limits, encode Encoder) error {
	b.reset()
	if err := ctx.Err(); err != nil {
		return err
	}
	lim.setDefaults()
	if err := c.enter(); err != nil {
		return err
	}
	before := c.next
	c.seen.reset()
	c.moved, c.crossed = false, 0
	var patience time.Time
	for !c.fill(b, &lim, encode) {
		if b.Len() > 0 {
			if lim.Linger <= 0 || b.Len() == lim.Keys {
				break
			}
			if now := time.Now(); patience.IsZero() {
				patience = now.Add(lim.Linger)
			} else if !now.Before(patience) {
				break
			}
		} else if c.moved {
			break
		}
		eof, err := c.wait(ctx, patience)
		if eof {
			if b.Len() > 0 {
				break
			}
			c.leave()
			err = io.EOF
		}
		if err != nil {
			c.next = before
			b.reset()
			return err
		}
	}
	c.leave()
	if b.Len() > 0 {
		b.Visible = c.log.risen.since(func(seq uint64) bool { return seq >= b.seq })
		if b.Visible == 0 {
			b.Visible = b.Read
		}
	}
	b.cursor, b.epoch, b.from, b.to = c, c.epoch, before.mark(), c.next.mark()
	return nil
}

// fill moves next forward and fills b, as far as it can without waiting. It returns
// true when nothing more may come into b; otherwise c.stop says what is missing.
// next's chunk is pinned.
func (c *Cursor) fill(b *Batch, lim *Limits, encode Encoder) (full bool) {
	at := &c.next
	for {
		// The watermark is read before the end. It may rise in between because a
		// truncation has made it meaningless for what was dropped; then the end
		// read after it is the cut.
		visible := c.log.visible.Load()
		readable := at.chunk.readable()
		end := readable
		if c.trail != nil {
			end = c.trail.end(at.mark(), readable)
		}
		sources := *c.log.sources.Load()
		buf := at.chunk.buf
		for at.off < end {
			switch k := buf[at.off]; k {
			case kindKey:
				next := at.off + 2 + int(buf[at.off+1])
				if !at.skip {
					at.inv.Key = buf[at.off+2 : next : next]
					if !c.add(b, lim, encode) {
						return true
					}
				}
				at.off = next
			case kindBegin, kindContinued, kindAdvance:
				if seq := seqAt(buf, at.off); seq > visible {
					c.stop = stop{want: seq}
					return false
				}
				at.step(buf, sources)
				if k == kindAdvance {
					c.passEnd()
				} else {
					at.skip = c.start.executed(at, at.inv.Start)
				}
			case kindEnd:
				at.step(buf, sources)
				c.passEnd()
			default:
				at.step(buf, sources)
			}
		}
		if end < readable {
			c.stop = stop{limited: true}
			return false
		}
		if !c.cross() {
			c.stop = stop{want: at.seq}
			if !at.open {
				c.stop.want++
			}
			return false
		}
		if c.crossed == maxCrossed {
			return true
		}
	}
}

// add puts the key at hand into b, unless the same command is there or the key is
// not for this target. It returns false if b has no room for it.
func (c *Cursor) add(b *Batch, lim *Limits, encode Encoder) bool {
	if len(b.ends) >= lim.Keys {
		return false
	}
	n := len(b.Wire)
	wire := encode(b.Wire, &c.next.inv)
	switch {
	case len(wire) == n:
		return true
	case len(wire) > lim.Bytes && n > 0:
		b.Wire = wire[:n]
		return false
	}
	b.Wire = wire[:n]
	if !c.seen.add(b, wire[n:]) {
		b.Repeated++
		return true
	}
	if n == 0 {
		b.Time, b.Read, b.seq = c.next.inv.Time, c.next.inv.Read, c.next.seq
	}
	b.Wire = wire
	b.ends = append(b.ends, len(wire))
	return true
}

// passEnd notes that next has passed an end or an advance.
func (c *Cursor) passEnd() {
	c.moved = true
	if c.start.walked != nil {
		c.start.pass(&c.next)
	}
}

// cross goes on to the next chunk, if there is one and this one is at its end.
func (c *Cursor) cross() bool {
	if c.next.chunk.next.Load() == nil {
		return false
	}
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.err != nil || !l.crossPinned(&c.next) {
		return false
	}
	c.moved = true
	c.crossed++
	return true
}

// crossPinned moves p, whose chunk is pinned, from the end of one chunk to the
// beginning of the next, if it is there and there is one. mu is held.
func (l *Log) crossPinned(p *place) bool {
	next := p.chunk.next.Load()
	if next == nil || p.off < p.chunk.readable() {
		return false
	}
	l.unpin(p.chunk)
	l.pin(next)
	p.enter(next)
	return true
}

// enter pins next's chunk, leave gives it back.

func (c *Cursor) enter() error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.log.pin(c.next.chunk)
	return nil
}

func (c *Cursor) leave() {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.unpin(c.next.chunk)
}

// wait waits until what fill was missing may have come, until patience ends if it
// is not zero, or until ctx does. eof says, at once, that nothing will come. next's
// chunk is pinned before, and after unless there is an error.
func (c *Cursor) wait(ctx context.Context, patience time.Time) (eof bool, err error) {
	l := c.log
	l.mu.Lock()
	if err := c.err; err != nil {
		l.unpin(c.next.chunk)
		l.mu.Unlock()
		return false, err
	}
	// From here on the writer and the watermark see that c waits; what they did
	// before is seen here. Closed is looked at before what was published before it.
	closed := l.closed.Load()
	c.want, c.limited, c.waiting = c.stop.want, c.stop.limited, true
	l.waiting.Add(1)
	more := c.next.off < c.next.chunk.readable() || c.next.chunk.next.Load() != nil
	ready := more && c.want <= l.visible.Load()
	var due time.Time
	if c.limited {
		ready, due = c.trail.ready(c.next.mark())
	}
	eof = closed && !more
	if ready || eof {
		c.stopWaiting()
		l.mu.Unlock()
		return eof, nil
	}
	l.unpin(c.next.chunk)
	l.mu.Unlock()

	if !patience.IsZero() && (due.IsZero() || patience.Before(due)) {
		due = patience
	}
	var alarm <-chan time.Time
	if !due.IsZero() {
		alarm = c.alarm(due)
	}
	select {
	case <-c.wakeup:
	case <-alarm:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if alarm != nil {
		c.timer.Stop()
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	c.stopWaiting()
	if err == nil {
		err = c.err
	}
	if err == nil {
		l.pin(c.next.chunk)
	}
	return false, err
}

// stopWaiting takes c out of those that wait, and takes back a wake-up that came
// too late. log.mu is held.
func (c *Cursor) stopWaiting() {
	if c.waiting {
		c.waiting = false
		c.log.waiting.Add(-1)
	}
	select {
	case <-c.wakeup:
	default:
	}
}

func (c *Cursor) alarm(at time.Time) <-chan time.Time {
	if c.timer == nil {
		c.timer = time.NewTimer(time.Until(at))
	} else {
		c.timer.Reset(time.Until(at))
	}
	return c.timer.C
}

// Rewind makes the cursor take everything again that has not been acknowledged: the
// connection was lost, and nobody knows what has arrived. Batches that were taken
// before it cannot be acknowledged any more.
func (c *Cursor) Rewind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.next = c.acked
}
