package batcher

import (
	"fmt"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Truncate drops everything above the watermark, and gives up the transaction that
// is open or broken off: the source has changed, and nothing says that the new one
// has it. It returns the position behind the last transaction that is left, where
// the reading begins again. What comes gets new numbers; the watermark rises to the
// last number given out, for all up to there is now visible or gone, so that a
// SetVisible that comes late does nothing.
//
// The writer's goroutine calls it; cursors go on meanwhile, and none has read what
// is dropped.
//
// No byte is written twice: the chunk of the cut is sealed there, and the writer
// goes on in a fresh one.
func (w *Writer) Truncate() (binlog.Position, error) {
	l := w.log
	w.Abort()
	w.advance = advance{} // nobody has seen it; it is read again
	w.publish()

	// The watermark stands still while the cut is looked for, and chunks do, for
	// only the writer drops them. Cursors go on.
	l.visibleMu.Lock()
	defer l.visibleMu.Unlock()
	pos, cut, at, err := l.findCut(l.visible.Load())
	switch {
	case err != nil:
		return binlog.Position{}, err
	case cut != nil:
		l.cut(cut, at)
		w.chunk, w.buf = cut, cut.buf[:at:at]
		w.state = txNone // what was broken off was the last, so above the watermark
	case w.state == txBroken:
		w.abandon()
		w.publish()
	}
	w.inBegin, w.ready = false, false
	w.endFile = 0 // the next Idle says something
	if l.visible.Load() != AllVisible {
		l.raise(w.seq)
	}
	return pos, nil
}

// findCut walks the Log to the first record above the watermark and returns its
// place, or a nil chunk if there is none, and the position there. Only the writer
// may call it.
func (l *Log) findCut(visible uint64) (pos binlog.Position, cut *chunk, at int, err error) {
	pos = l.base.Clone()
	p := l.tail
	c := l.oldest
	if c.number < l.folded {
		c = c.next.Load()
	}
	sources := *l.sources.Load()
	for ; c != nil; c = c.next.Load() {
		end, above := c.above(visible)
		p.enter(c)
		if err := p.foldTo(end, sources, &pos, nil); err != nil {
			return pos, nil, 0, fmt.Errorf("drop what is above the watermark: %w", err)
		}
		if above {
			return pos, c, end, nil
		}
	}
	return pos, nil, 0, nil
}

// above is where in c the first transaction above the watermark begins, or c's end
// if none does.
func (c *chunk) above(visible uint64) (off int, found bool) {
	var p place
	end := c.readable()
	for p.off < end {
		switch c.buf[p.off] {
		case kindBegin, kindContinued, kindAdvance:
			if seqAt(c.buf, p.off) > visible {
				return p.off, true
			}
			p.off += beginSize
		default:
			p.step(c.buf, nil)
		}
	}
	return end, false
}

// cut makes at the end of c, and c the last chunk.
func (l *Log) cut(c *chunk, at int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := c.next.Load()
	// In this order: who sees the new end also sees that nothing follows.
	c.next.Store(nil)
	c.published.Store(int64(at))
	l.last = c
	for next != nil {
		d := next
		next = d.next.Load()
		l.chunks--
		l.release(d)
	}
	l.signalRoom()
}
