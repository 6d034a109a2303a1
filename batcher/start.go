package batcher

import (
	"sync/atomic"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// start is the position at which a cursor began, and what in the Log has been
// executed there. A position is a set, not a place: logs of two servers may have
// the same transactions in another order, so what has been executed may lie behind
// what has not. Once the cursor has walked past everything that start contains, it
// asks no more.
type start struct {
	position binlog.Position // not changed after init
	// until is the seq from which on nothing has been executed at position. Next
	// sets it, Ack reads it too.
	until atomic.Uint64
	// walked is what lay before the Log's oldest record and everything walked past
	// since, up to the seq farthest; nil once until is known. passed counts. These
	// are Next's goroutine's.
	walked   *binlog.Position
	farthest uint64
	passed   int
}

const never = ^uint64(0)

// startCheck is after how many transactions it is asked again whether everything
// has been walked past: rarely enough that it costs nothing.
const startCheck = 32

func (s *start) init(from, base binlog.Position) {
	if from.Equal(base) || base.Covers(from) {
		return
	}
	s.position = from.Clone()
	s.until.Store(never)
	walked := base.Clone()
	s.walked = &walked
}

// executed tells whether the transaction or advance at p, which begins at offset
// begin, has been executed at the start. A nil start is where nothing had been.
func (s *start) executed(p *place, begin uint64) bool {
	return s != nil && p.seq < s.until.Load() && s.position.Executed(p.inv.GTID, p.inv.File, begin)
}

// executedRun is executed for the advance that p has just passed: whether all of
// it has, as far as the last of it tells.
func (s *start) executedRun(p *place) bool {
	return s.executed(p, max(p.end, 1)-1)
}

// pass notes that the transaction or run that p has just passed lies behind, if it
// has not been passed before (Rewind). One that cannot be folded leaves walked short
// of covering the start, and so the question is asked for ever: slower, but right.
func (s *start) pass(p *place) {
	if p.seq <= s.farthest {
		return
	}
	s.farthest = p.seq
	f := folding{pos: s.walked}
	if f.add(p) != nil || f.flush(&p.inv.File) != nil {
		return
	}
	if s.passed++; s.passed%startCheck == 0 && s.walked.Covers(s.position) {
		s.until.Store(p.seq + 1)
		s.walked = nil
	}
}
