package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/histogram"
)

// gathering collects what is pending, between the reading and the barrier.
type gathering struct {
	mu      sync.Mutex
	pending binlog.Pending // guarded by mu
	seq     uint64         // of the newest transaction; guarded by mu
	bursts  bursts         // of those that are pending; guarded by mu
	// cancel ends the wait that is under way, if there is one; guarded by mu.
	cancel context.CancelFunc
	// more has a value when something has gathered.
	more chan struct{}
}

func newGathering() *gathering { return &gathering{more: make(chan struct{}, 1)} }

// add notes one transaction.
func (g *gathering) add(seq uint64, t *binlog.Transaction, f binlog.File, read int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.GTID.IsZero() {
		g.pending.Anonymous = true
	} else {
		if g.pending.GTIDs == nil {
			g.pending.GTIDs = binlog.NewGTIDSet(t.GTID.Flavor)
		}
		if err := g.pending.GTIDs.Add(t.GTID); err != nil {
			return err
		}
	}
	g.pending.File, g.pending.Start, g.pending.Read = f, t.Start, read
	g.seq = seq
	g.bursts.add(read)
	return nil
}

// reach says that the watermark may rise to seq once what has gathered is visible,
// and that it is time to wait for that.
func (g *gathering) reach(seq uint64) {
	g.mu.Lock()
	ready := seq > g.seq || g.pending.File.Name != "" || g.pending.GTIDs != nil
	g.seq = max(g.seq, seq)
	g.mu.Unlock()
	if !ready {
		return
	}
	select {
	case g.more <- struct{}{}:
	default:
	}
}

// take hands over what has gathered, to be waited for until the context ends, and when
// it was read.
func (g *gathering) take(ctx context.Context, read *bursts) (wait context.Context, p binlog.Pending, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, seq = g.pending, g.seq
	g.pending = binlog.Pending{}
	read.n = copy(read.each[:], g.bursts.each[:g.bursts.n])
	g.bursts.n = 0
	wait, g.cancel = context.WithCancel(ctx)
	return wait, p, seq
}

// drop forgets what has gathered and what is being waited for: it may never become
// visible, for the source has changed.
func (g *gathering) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = binlog.Pending{}
	g.bursts.n = 0
	if g.cancel != nil {
		g.cancel()
	}
}

// stream is a reading at work: the goroutine that reads, and the one that raises
// the watermark.
type stream struct {
	reading    *reading
	visibility *binlog.Visibility   // nil: everything is visible
	sinceRead  *histogram.Histogram // nil: nobody wants to know how long that takes
	pos        binlog.Position      // where the reading is; its goroutine's
	// private: for lanes that catch up, not the main one.
	private bool
	// lanes are those served from here; guarded by the Pipeline's mu.
	lanes map[*lane]struct{}
	// waits is since when the barrier has been waiting, in microseconds since 1970; 0: it
	// is not.
	waits atomic.Int64
	stop  context.CancelFunc
	// done is closed when the reading has ended, with err.
	done chan struct{}
	err  error
}

// start sets the stream going. It ends when ctx does, or the source; the watermark
// goes on being raised until barrierCtx ends.
func (s *stream) start(ctx, barrierCtx context.Context, wg *sync.WaitGroup) {
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	if s.visibility == nil {
		s.reading.log.SetVisible(batcher.AllVisible)
	} else {
		s.reading.gathering = newGathering()
		wg.Go(func() { s.watch(barrierCtx) })
	}
	wg.Go(func() {
		defer close(s.done)
		s.err = s.reading.run(ctx, &s.pos)
	})
}

// ended tells whether the reading has ended.
func (s *stream) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// watch raises the watermark. One wait covers all that has gathered.
func (s *stream) watch(ctx context.Context) {
	g := s.reading.gathering
	barrier := s.visibility.Barrier()
	defer barrier.Close()
	// Connect now, not when the first commit waits.
	if err := barrier.Wait(ctx, &binlog.Pending{}); err != nil {
		return
	}
	var read bursts
	for {
		select {
		case <-g.more:
		case <-ctx.Done():
			return
		}
		wait, p, seq := g.take(ctx, &read)
		s.waits.Store(time.Now().UnixMicro())
		err := barrier.Wait(wait, &p)
		s.waits.Store(0)
		g.cancel()
		if err != nil {
			barrier.Close() // in the middle of a statement, or of another server
			if ctx.Err() != nil {
				return
			}
			continue
		}
		s.reading.log.SetVisible(seq)
		read.tell(s.sinceRead, time.Now().UnixMicro())
	}
}
