package batcher

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// trail holds a cursor back to what another had acknowledged some time ago.
type trail struct {
	leader *Cursor
	delay  time.Duration
	// hurried: the Log is too short for the delay, so it is not waited for. Written
	// with the Log's mu held.
	hurried atomic.Bool

	mu sync.Mutex
	// limit is how far the leader had come delay ago.
	limit mark
	// samples are how far it has come since, oldest first. One stands for all
	// acknowledgements of a fraction of delay, so a fixed number of them suffices.
	samples [maxSamples]sample
	first   int
	n       int
	// lead is how far the leader has come.
	lead mark
}

type sample struct {
	since time.Time // the first acknowledgement it stands for
	at    time.Time // the last, at which the leader had come to place
	place mark
}

const (
	// grains is how many samples cover a delay.
	grains = 32
	// maxSamples are never needed: those younger than delay begin a grain apart.
	maxSamples = grains + 4
)

// Trail makes a cursor that follows c: it takes a batch no sooner than delay after
// c has acknowledged what is in it (and at most a thirty-second of delay later than
// that). It is how a second delete follows the first, for caches without leases. It
// begins at from, as [Log.NewCursor] says, and is like any other cursor otherwise;
// it is to be closed before c is.
//
// Where the Log holds less than what comes in a delay, what is about to be in the
// writer's way is taken before its delay is over ([Log.Hurries]): nobody's first
// delete waits for somebody's second.
func (c *Cursor) Trail(from binlog.Position, delay time.Duration) (*Cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.log.NewCursor(from)
	if err != nil {
		return nil, err
	}
	t.trail = &trail{leader: c, delay: delay, limit: t.next.mark()}
	c.log.mu.Lock()
	t.leader = c
	c.log.mu.Unlock()
	c.trailers = append(c.trailers, t)
	t.leaderAcked(time.Now(), c.acked.mark())
	return t, nil
}

// forget lets t trail c no longer.
func (c *Cursor) forget(t *Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailers = slices.DeleteFunc(c.trailers, func(o *Cursor) bool { return o == t })
}

// leaderAcked notes that the leader has come to place.
func (c *Cursor) leaderAcked(now time.Time, place mark) {
	if !c.trail.note(now, place) && !c.trail.hurried.Load() {
		return
	}
	// c may be waiting without an alarm.
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.rouse(c)
}

// note adds a sample. It tells whether there was none.
func (t *trail) note(now time.Time, place mark) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ripen(now)
	t.lead = place
	if t.n > 0 {
		if s := &t.samples[(t.first+t.n-1)%maxSamples]; now.Sub(s.since) < t.delay/grains {
			s.at, s.place = now, place
			return false
		}
	}
	t.samples[(t.first+t.n)%maxSamples] = sample{now, now, place}
	t.n++
	return t.n == 1
}

// ripen moves limit past the samples that are old enough. mu is held.
func (t *trail) ripen(now time.Time) {
	for t.n > 0 && now.Sub(t.samples[t.first].at) >= t.delay {
		t.limit = t.samples[t.first].place
		t.first = (t.first + 1) % maxSamples
		t.n--
	}
}

// reach is how far the cursor may go now. mu is held.
func (t *trail) reach() mark {
	t.ripen(time.Now())
	if t.hurried.Load() {
		return t.lead
	}
	return t.limit
}

// end is how far a cursor at p may read in its chunk, of which readable bytes can
// be.
func (t *trail) end(p mark, readable int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := t.reach()
	switch {
	case p.number < limit.number:
		return readable
	case p.number == limit.number:
		return min(readable, max(p.off, limit.off))
	default:
		return p.off
	}
}

// ready tells whether a cursor at p may go on, and if not, when it may next; a zero
// time if that is not known.
func (t *trail) ready(p mark) (ready bool, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.before(t.reach()) {
		return true, time.Time{}
	}
	if t.n > 0 {
		due = t.samples[t.first].at.Add(t.delay)
	}
	return false, due
}
