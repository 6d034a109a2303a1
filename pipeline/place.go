package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/mcsqueal/mcsqueal/backoff"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/extract"
)

// fruitlessMax is how often in a row a cluster may be flushed without anything having
// been delivered in between.
const fruitlessMax = 2

// startMain begins the main reading. It starts where the newest cluster is, or
// further back if others are within a Log of it: one reading serves all that are
// in step, and those far behind do not delay it.
func (p *Pipeline) startMain(ctx context.Context) error {
	var at []binlog.Position
	for _, c := range p.clusters {
		if p.cfg.Verify != nil {
			// A source that cannot be asked just now is met by the reading, which waits for it.
			if errors.As(p.cfg.Verify(ctx, c.From), new(*binlog.GapError)) {
				continue // its lanes will meet it
			}
		}
		at = append(at, c.From)
	}
	if len(at) == 0 {
		at = []binlog.Position{p.clusters[0].From}
	}
	newest := at[0]
	for _, q := range at[1:] {
		if q.Covers(newest) {
			newest = q
		}
	}
	inStep := []binlog.Position{newest}
	for _, q := range at {
		if q.Equal(newest) {
			continue
		}
		if p.cfg.Distance != nil {
			d, err := p.cfg.Distance(ctx, q, newest)
			if err != nil {
				p.cfg.Logger.Warn("it cannot be found out how far behind a cluster is; it catches up by itself", "position", q.String(), "error", err)
				continue
			}
			if d < 0 || d > p.cfg.LogBytes {
				continue
			}
		}
		inStep = append(inStep, q)
	}
	s, err := p.newStream(Least(inStep), false)
	if err != nil {
		return err
	}
	p.start(s)
	p.mu.Lock()
	p.main = s
	p.mu.Unlock()
	return nil
}

// place finds the stream that serves a lane from its position: the main one, a
// private one that has what it needs, or a new one, for which it waits if there are
// as many as there may be. The error is errStopping when nothing will be read any
// more, or a *binlog.GapError when the cluster is parked.
func (p *Pipeline) place(ctx context.Context, l *lane) (*stream, error) {
	defer p.unqueue(l)
	for checked := false; ; {
		if !checked && p.cfg.Verify != nil {
			if err := p.verify(ctx, l); err != nil {
				return nil, err
			}
			checked = true
		}
		at := l.at()
		p.mu.Lock()
		s, full, err := p.choose(l, at)
		if s != nil || err != nil {
			if s != nil {
				s.lanes[l] = struct{}{}
			}
			p.mu.Unlock()
			return s, err
		}
		if p.reading.Err() != nil {
			p.mu.Unlock()
			return nil, errStopping
		}
		changed := p.changed
		if full && !slices.Contains(p.queue, l) {
			p.queue = append(p.queue, l)
			p.cfg.Logger.Info("waits for a reading of its own: as many as may be catch up already", "cluster", l.cluster.Name,
				"catch_up", p.cfg.CatchUp, "before_it", len(p.queue)-1, "position", at.String())
		}
		p.mu.Unlock()
		// The main reading's Log changes without a word: it is looked at again.
		t := time.NewTimer(time.Second)
		select {
		case <-changed:
		case <-t.C:
		case <-p.reading.Done():
		}
		t.Stop()
	}
}

// unqueue takes a lane out of those that wait for a private reading, and has the next
// look.
func (p *Pipeline) unqueue(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, l); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		p.lookAgain()
	}
}

// lookAgain wakes who waits for a stream. mu is held.
func (p *Pipeline) lookAgain() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// choose is place, once. full tells that the lane has to wait for its turn at a private
// reading. mu is held.
func (p *Pipeline) choose(l *lane, at binlog.Position) (s *stream, full bool, err error) {
	// One that has ended at a gap is of no use; one that has ended otherwise, by its
	// source's end or a failure, still has what was read.
	atGap := p.main.ended() && errors.As(p.main.err, new(*binlog.GapError))
	if !atGap && p.main.reading.log.CanJoin(at) {
		return p.main, false, nil
	}
	if p.reading.Err() != nil {
		return nil, false, errStopping
	}
	if p.main.ended() {
		if len(p.main.lanes) > 0 {
			return nil, false, nil // they are about to meet its end, too
		}
		// It met a gap, or this is what is left of it.
		s, err := p.newStream(at, false)
		if err != nil {
			return nil, false, err
		}
		p.main = s
		p.start(s)
		return s, false, nil
	}
	if len(p.queue) > 0 && p.queue[0] != l {
		// It is another's turn. Who has just had one does not go back to those that still
		// have theirs, or the reading would never be free.
		return nil, true, nil
	}
	for s := range p.private {
		if !s.ended() && s.reading.log.CanJoin(at) && p.inStep(s, at) {
			return s, false, nil
		}
	}
	if len(p.private) >= p.cfg.CatchUp {
		return nil, true, nil
	}
	s, err = p.newStream(at, true)
	if err != nil {
		return nil, false, err
	}
	p.private[s] = struct{}{}
	p.start(s)
	return s, false, nil
}

// inStep tells whether a lane at a position fits to those that a private stream
// serves: one of them has come so far, or is at most a Log away. A lane far ahead of
// all of them would wait for what it needs, and would drive the others out, since
// what it has already costs it nothing and the reading keeps pace with the fastest.
// mu is held.
func (p *Pipeline) inStep(s *stream, at binlog.Position) bool {
	for l := range s.lanes {
		theirs := l.at()
		if theirs.Covers(at) {
			return true
		}
		order, ok := theirs.File.Compare(at.File)
		if ok && order == 0 && at.Offset <= theirs.Offset+uint64(s.reading.log.Capacity()) {
			return true
		}
	}
	return false
}

// start sets a stream going. If the main reading fails for good, all end.
func (p *Pipeline) start(s *stream) {
	s.start(p.reading, p.delivery, &p.streams)
	if s.private {
		return
	}
	p.streams.Go(func() {
		<-s.done
		if s.err != nil && !errors.As(s.err, new(*binlog.GapError)) {
			p.stopReading()
		}
	})
}

// release says that a lane has left a stream. A private one without lanes ends. It
// returns why the stream's reading has ended, if it has.
func (p *Pipeline) release(s *stream, l *lane) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(s.lanes, l)
	var err error
	if s.ended() {
		err = s.err
	}
	if s.private && len(s.lanes) == 0 {
		s.stop()
		delete(p.private, s)
	}
	p.lookAgain()
	return err
}

// canJoin tells whether the main reading serves from a position.
func (p *Pipeline) canJoin(at binlog.Position) bool {
	p.mu.Lock()
	main := p.main
	p.mu.Unlock()
	return main.reading.log.CanJoin(at)
}

func (p *Pipeline) othersWait() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// verify makes sure that the source has what follows a lane's position.
func (p *Pipeline) verify(ctx context.Context, l *lane) error {
	at := l.at()
	err := p.cfg.Verify(ctx, at)
	if err == nil && p.cfg.Prepared != nil && !l.checked {
		if err = p.cfg.Prepared(ctx, at); err == nil {
			l.checked = true // from here on everything prepared is met on the way
		}
	}
	var gap *binlog.GapError
	if errors.As(err, &gap) {
		if err := p.mend(ctx, l, gap); err != nil {
			return err
		}
		// What is still prepared is a gap again when it is committed, not before.
		l.checked = true
	}
	// A source that cannot be asked is met by the reading, which waits for it.
	return nil
}

// mend deals with a gap: the cluster's caches are flushed and it goes on from now,
// or it is parked, and the gap is the error.
func (p *Pipeline) mend(ctx context.Context, l *lane, gap *binlog.GapError) error {
	c := l.cluster
	l.state.set(atGap)
	c.mu.Lock()
	defer c.mu.Unlock()
	logger := p.cfg.Logger.With("cluster", c.Name)
	switch {
	case c.parked != nil:
		return fmt.Errorf("cluster %s: %w", c.Name, c.parked)
	case l.mended < c.mended:
		// Another lane has seen to it.
	case c.Flush == nil || p.cfg.Now == nil:
		c.parked = gap
		p.cfg.Metrics.gaps.WithLabelValues(c.Name).Inc()
		if p.cfg.Save != nil { // else there is no place that could be changed
			logger.Error("a gap: this cluster stops until somebody decides; the others go on", "error", gap, "ways_on", waysOn(c.Name, gap))
		}
		return fmt.Errorf("cluster %s: %w", c.Name, gap)
	default:
		misfit := misfitOf(gap)
		if at := l.at(); c.mended > 0 && (at.Equal(c.resume()) || misfit != "" && misfit == c.misfit && time.Since(c.flushedFor) < misfitWithin) {
			c.fruitless++
		} else {
			c.fruitless = 0
		}
		c.misfit = misfit
		p.cfg.Metrics.gaps.WithLabelValues(c.Name).Inc()
		if c.fruitless >= fruitlessMax {
			c.parked = gap
			logger.Error("a gap again right behind the last flush: flushing does not mend it, so this cluster stops until somebody decides; the others go on",
				"error", gap, "ways_on", waysOn(c.Name, gap))
			return fmt.Errorf("cluster %s: %w", c.Name, gap)
		}
		logger.Error("a gap: the cluster's caches are flushed, and it goes on from now", "error", gap)
		at, err := p.flush(ctx, c, logger)
		if err != nil {
			return err
		}
		c.mended++
		c.flushedFor = time.Now()
		logger.Info("flushed; going on", "position", at.String())
	}
	l.mended = c.mended
	l.moveTo(c.resume())
	l.state.set(waiting)
	return nil
}

// misfitWithin is how soon behind a flush the same rule and table may not be a gap
// again for the flush to have been of use.
const misfitWithin = time.Minute

// misfitOf names the rule and the table whose rows are a gap, every one of them; empty
// for other gaps.
func misfitOf(gap *binlog.GapError) string {
	var missing *missingError
	if errors.As(gap.Err, &missing) {
		return "XA " + missing.Schema + "." + missing.Table
	}
	var unserved *extract.UnservedError
	if !errors.As(gap.Err, &unserved) || !unserved.Always {
		return ""
	}
	return unserved.Rule + " " + unserved.Schema + "." + unserved.Table
}

// waysOn says how a cluster can go on behind a gap.
func waysOn(cluster string, gap *binlog.GapError) string {
	forward := "flush its caches and: mcsqueal checkpoint set --cluster " + cluster + " --to now"
	var unserved *extract.UnservedError
	var unsure *binlog.UnsureError
	switch {
	case errors.As(gap.Err, new(*missingError)):
		return "mend what the error names, for what comes; this transaction is not read again: " + forward + "; or run with --on-gap flush"
	case !errors.As(gap.Err, &unserved):
		return "mend the source; or " + forward + "; or run with --on-gap flush"
	case unserved.Lacks:
		return "change the rule, or remove it, and start again: nothing is lost"
	case errors.As(unserved.Err, &unsure) && unsure.Absent:
		return "if the user may not see the table: grant it, and start again, and nothing is lost; if the table has been removed, its columns' names can never be had any more: " +
			"set binlog_row_metadata = FULL for what comes, then " + forward + "; or change the rule, and start again"
	}
	return "mend what the error names, and start again; what is logged already may stay as it is: then " + forward + "; or run with --on-gap flush"
}

// flush empties a cluster's caches, for as long as that takes, and keeps the place
// from which the cluster goes on: where the log ended before. It fails only when the
// context ends, with errStopping.
func (p *Pipeline) flush(ctx context.Context, c *cluster, logger *slog.Logger) (binlog.Position, error) {
	retry := backoff.Backoff{Max: 5 * time.Second}
	for {
		at, err := p.flushOnce(ctx, c)
		if err == nil {
			return at, nil
		}
		if ctx.Err() == nil {
			logger.Error("the flush for a gap has failed; the cluster waits for it", "error", err)
		}
		if retry.Wait(ctx) != nil {
			return binlog.Position{}, errStopping
		}
	}
}

func (p *Pipeline) flushOnce(ctx context.Context, c *cluster) (binlog.Position, error) {
	at, err := p.cfg.Now(ctx)
	if err != nil {
		return at, err
	}
	if err := c.Flush(ctx); err != nil {
		return at, err
	}
	c.setResume(at)
	p.mu.Lock()
	defer p.mu.Unlock()
	return at, p.keep(map[string]binlog.Position{c.Name: at})
}
