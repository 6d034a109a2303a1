package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

const (
	// joinEvery is how often a lane that catches up looks whether it can join the
	// main reading again.
	joinEvery = 50 * time.Millisecond
	// turn is how long a lane that catches up keeps its reading while others wait for
	// one: a cluster that is slow for hours must not keep one that would be quick from
	// catching up. It may end the transaction it is in, which would begin anew. One whose
	// caches take nothing of what has come has its reading no longer than idleTurn, and
	// a reading that does not come to anything has startTurn to do so.
	turn      = 10 * time.Second
	idleTurn  = 3 * time.Second
	startTurn = time.Minute
	// rateEvery is how often a cluster with a max_rate is looked at: it is behind, and
	// held to that rate, from behindAt on until it is no more than inStepAt behind.
	rateEvery = 500 * time.Millisecond
	behindAt  = 5 * time.Second
	inStepAt  = time.Second
	// retryReading is the pause before a private reading that failed is begun again.
	retryReading = time.Second
)

// Why a lane leaves a stream, beside the cursor's and the sink's errors.
var (
	errJoin  = errors.New("the main reading can be joined again")
	errYield = errors.New("others wait for the reading")
	// errMissed: the stream has moved on since it was chosen.
	errMissed = errors.New("the stream has moved on")
	// errStopping: the lane goes nowhere any more, for the Pipeline stops.
	errStopping = errors.New("the pipeline stops")
)

// lane serves one connection of a cluster: its sink and those of its second
// deletes, from cursors in one stream's Log.
type lane struct {
	pipeline *Pipeline
	cluster  *cluster
	conn     Connection
	checked  bool // nothing is prepared on the source that the lane will not meet
	mended   int  // gaps of the cluster that this lane knows to be mended
	state    state
	acks     batcher.Acks // of first deletes, on whatever stream

	mu       sync.Mutex        // guards what follows
	cursors  []*batcher.Cursor // the first, then the seconds'; nil between streams
	position binlog.Position   // between streams
	lagged   batcher.Lag       // when the last stream was left
}

// at is how far the lane has acknowledged.
func (l *lane) at() binlog.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cursors == nil {
		return l.position.Clone()
	}
	all := make([]binlog.Position, len(l.cursors))
	for i, c := range l.cursors {
		all[i] = c.Position()
	}
	return Least(all)
}

// run serves until the log's end has been acknowledged, the context ends, the
// cluster is parked (a *binlog.GapError), or the sink fails for good.
func (l *lane) run(ctx context.Context) error {
	p := l.pipeline
	logger := p.cfg.Logger.With("cluster", l.cluster.Name)
	for {
		s, err := p.place(ctx, l)
		if errors.Is(err, errStopping) {
			return nil
		}
		if err != nil {
			return err
		}
		l.state.set(inStep)
		if s.private {
			l.state.set(catchingUp)
			logger.Info("catching up on a reading of its own", "position", l.at().String())
		}
		err = l.serve(ctx, s)
		l.state.set(waiting)
		if err == nil {
			<-s.done // its Log has ended, and why is about to be known
		}
		failed := p.release(s, l)
		var gap *binlog.GapError
		switch {
		case ctx.Err() != nil, err == nil && p.reading.Err() != nil:
			return nil //nolint:nilerr // whoever ended the context knows why
		case errors.Is(err, batcher.ErrFellOut):
			p.cfg.Metrics.behind.WithLabelValues(l.cluster.Name).Inc()
			logger.Warn("a whole Log behind the others: it goes on from its own position", "position", l.at().String())
		case errors.Is(err, errJoin):
			logger.Info("caught up; joining the main reading", "position", l.at().String())
		case errors.Is(err, errMissed):
		case errors.Is(err, errYield):
			logger.Info("its reading goes to another that waits; it goes on in its turn", "position", l.at().String())
		case err != nil:
			return fmt.Errorf("cluster %s: %w", l.cluster.Name, err)
		case errors.As(failed, &gap):
			if err := p.mend(ctx, l, gap); errors.Is(err, errStopping) {
				return nil
			} else if err != nil {
				return err
			}
		case !s.private:
			return nil // the source has come to its end, or Run says why it ended
		default:
			logger.Error("the reading for catching up failed; it is begun again", "error", failed)
			pause(ctx, retryReading)
		}
	}
}

// pause waits, at most until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serve delivers from a stream. It returns nil when the stream's log has ended and
// everything in it is acknowledged, otherwise why the lane left.
func (l *lane) serve(ctx context.Context, s *stream) error {
	cursors, err := l.enter(s)
	if errors.Is(err, batcher.ErrTooOld) {
		return errMissed
	}
	if err != nil {
		return err
	}
	defer l.leave()
	ctx, leave := context.WithCancelCause(ctx)
	var sinks, watcher sync.WaitGroup
	for i, c := range cursors {
		sink := l.conn.Sink
		if i > 0 {
			sink = l.conn.Seconds[i-1].Sink
		}
		sinks.Go(func() {
			if err := sink.Run(ctx, c); err != nil {
				leave(err)
			}
		})
	}
	if s.private {
		watcher.Go(func() { l.watch(ctx, cursors[0], s.reading.log, leave) })
	}
	if l.cluster.Limit != nil && l.cluster.MaxRate > 0 {
		watcher.Go(func() { l.keepRate(ctx, cursors[0], s.private) })
	}
	sinks.Wait()
	why := context.Cause(ctx)
	leave(nil)
	watcher.Wait()
	return why
}

// watch ends the stay on a private stream: when the main reading can be joined, or
// when the lane has had its turn and others wait.
func (l *lane) watch(ctx context.Context, c *batcher.Cursor, log *batcher.Log, leave context.CancelCauseFunc) {
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	began, from := time.Now(), l.at()
	moved, acked := began, c.Acked()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			at := l.at()
			started := log.Appended() > 0 && log.Visible() > 0
			if n := c.Acked(); n != acked || !started {
				moved, acked = now, n
			}
			done := now.Sub(began) > turn && !at.Equal(from) || now.Sub(moved) > idleTurn ||
				!started && now.Sub(began) > startTurn
			switch {
			case l.pipeline.canJoin(at):
				leave(errJoin)
				return
			case done && l.pipeline.othersWait():
				leave(errYield)
				return
			}
		}
	}
}

// keepRate holds the cluster to its max_rate while the lane is behind: always on a
// private reading, and on the main one as long as what waits is old, as after a long
// downtime.
func (l *lane) keepRate(ctx context.Context, c *batcher.Cursor, private bool) {
	l.cluster.behind(l, true)
	defer l.cluster.behind(l, false)
	if private {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(rateEvery)
	defer tick.Stop()
	for behind := true; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			var lag time.Duration
			if oldest := c.Lag().Oldest; oldest > 0 {
				lag = now.Sub(time.UnixMicro(oldest))
			}
			if behind && lag <= inStepAt || !behind && lag >= behindAt {
				behind = !behind
				l.cluster.behind(l, behind)
			}
		}
	}
}

// enter makes the lane's cursors in a stream's Log.
func (l *lane) enter(s *stream) ([]*batcher.Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, err := s.reading.log.NewCursor(l.position)
	if err != nil {
		return nil, err
	}
	first.Remember(&l.acks)
	cursors := []*batcher.Cursor{first}
	for _, second := range l.conn.Seconds {
		c, err := first.Trail(l.position, second.After)
		if err != nil {
			for _, c := range cursors {
				c.Close()
			}
			return nil, err
		}
		cursors = append(cursors, c)
	}
	l.cursors = cursors
	return cursors, nil
}

// leave gives the cursors back. The position is what all of them have.
func (l *lane) leave() {
	at := l.at()
	lag := l.lag()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lagged = lag
	for i := len(l.cursors) - 1; i >= 0; i-- {
		l.cursors[i].Close()
	}
	l.cursors, l.position = nil, at
}

// moveTo makes the lane go on from another place, between streams.
func (l *lane) moveTo(p binlog.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position = p.Clone()
}
