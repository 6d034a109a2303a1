package batcher

import (
	"context"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Reach is how far back a Log remembers.
type Reach struct {
	// File and Start are where the oldest transaction stands of which all keys are still
	// there, and Time is when it was committed, in microseconds since 1970, or the next
	// one of which that is known. All are zero if there is none.
	File  binlog.File
	Start uint64
	Time  int64
	// Whole: nothing has been dropped since the Log was made.
	Whole bool
	// Waiting is how many transactions were read and are not visible yet: those are not
	// looked at.
	Waiting uint64
}

// Recall goes through what the Log holds, acknowledged or not, up to the watermark, from
// the oldest on: visit is called with each key, of which it must keep copies, until it
// says no or the context ends, whose cause is the error then. That is how it can be told
// what was deleted: the Log is a memory anyway, so being asked costs the hot path
// nothing.
//
// Any goroutine may call it. It holds a chunk at a time, as a cursor does, and nobody
// waits for it: what is dropped from the Log meanwhile is passed over.
func (l *Log) Recall(ctx context.Context, visit func(inv *Invalidation) bool) (Reach, error) {
	return l.recall(ctx, -1, visit)
}

// Latest is Recall of the end of the Log alone: as many of its last chunks.
func (l *Log) Latest(ctx context.Context, chunks int, visit func(inv *Invalidation) bool) error {
	_, err := l.recall(ctx, chunks, visit)
	return err
}

func (l *Log) recall(ctx context.Context, last int, visit func(inv *Invalidation) bool) (reach Reach, err error) {
	var p place
	l.mu.Lock()
	c := l.oldest
	reach.Whole = c.number == 0
	for skip := l.chunks - last; last >= 0 && skip > 0; skip-- {
		c = c.next.Load()
	}
	l.pin(c)
	l.mu.Unlock()
	p.enter(c)
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unpin(p.chunk)
	}()
	for {
		// As in a cursor's fill, the watermark is read before the end.
		visible := l.visible.Load()
		end := p.chunk.readable()
		if waiting := l.appended.Load(); waiting > visible {
			reach.Waiting = waiting - visible
		} else {
			reach.Waiting = 0
		}
		if !p.recall(end, visible, *l.sources.Load(), &reach, visit) {
			return reach, nil
		}
		if ctx.Err() != nil {
			return reach, context.Cause(ctx)
		}
		if !l.crossRecalling(&p) {
			return reach, nil
		}
	}
}

// recall visits the keys up to end. It returns false when it is not to go on.
func (p *place) recall(end int, visible uint64, sources []binlog.GTID, reach *Reach, visit func(inv *Invalidation) bool) bool {
	buf := p.chunk.buf
	for p.off < end {
		switch k := buf[p.off]; k {
		case kindKey:
			next := p.off + 2 + int(buf[p.off+1])
			p.inv.Key = buf[p.off+2 : next : next]
			if !visit(&p.inv) {
				return false
			}
			p.off = next
		case kindBegin, kindContinued, kindAdvance:
			if seqAt(buf, p.off) > visible {
				return false
			}
			p.step(buf, sources)
			if reach.File.Name == "" && k != kindContinued {
				reach.File, reach.Start = p.inv.File, p.inv.Start
				if k == kindAdvance {
					reach.Start = p.end // only where the run ended is known
				}
			}
			// Where the log was idle nothing was committed; what follows is no older.
			if reach.Time == 0 && reach.File.Name != "" {
				reach.Time = p.inv.Time
			}
		default:
			p.step(buf, sources)
		}
	}
	return true
}

// crossRecalling goes on to the next chunk that is still in the Log, if there is one.
func (l *Log) crossRecalling(p *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := p.chunk.next.Load()
	if p.chunk.dropped {
		// What came behind it may be gone, too, and others' by now.
		if next = l.oldest; next.number <= p.number {
			return false // it was cut off the end
		}
	}
	if next == nil || p.off < p.chunk.readable() {
		return false
	}
	l.unpin(p.chunk)
	l.pin(next)
	p.enter(next)
	return true
}
