package pipeline

import (
	"context"
	"sync"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// Barrier tells when what was read from the log can be read on the source.
type Barrier interface {
	// Wait returns nil once every transaction in p can be read by everybody on the
	// source, or the context's error. It deals with failures of its own: it waits
	// them out, for nothing may leave early.
	Wait(ctx context.Context, p *Pending) error
}

// Pending is what has been read since the watermark was last raised.
type Pending struct {
	// GTIDs are all of its transactions', where they have any.
	GTIDs *binlog.GTIDSet
	// File and Start are where the newest of them begins; Read when it was read, in
	// microseconds since 1970.
	File  binlog.File
	Start uint64
	Read  int64
	// Checkpoint is the newest file that a Binlog_checkpoint event has named
	// (MariaDB); it may be older than the transactions.
	Checkpoint string
}

// gathering collects what is pending, between the reading and the barrier.
type gathering struct {
	mu      sync.Mutex
	pending Pending // guarded by mu
	seq     uint64  // of the newest transaction; guarded by mu
	// more has a value when something has gathered.
	more chan struct{}
}

func newGathering() *gathering { return &gathering{more: make(chan struct{}, 1)} }

// add notes one transaction.
func (g *gathering) add(seq uint64, t *binlog.Transaction, f binlog.File, read int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.GTID.IsZero() {
		if g.pending.GTIDs == nil {
			g.pending.GTIDs = binlog.NewGTIDSet(t.GTID.Flavor)
		}
		if err := g.pending.GTIDs.Add(t.GTID); err != nil {
			return err
		}
	}
	g.pending.File, g.pending.Start, g.pending.Read = f, t.Start, read
	g.seq = seq
	return nil
}

// reach notes that the watermark may rise to seq with what has gathered so far, and
// that it is time to wait.
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

func (g *gathering) checkpoint(file string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending.Checkpoint = file
}

// take hands over what has gathered.
func (g *gathering) take() (p Pending, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, seq = g.pending, g.seq
	g.pending = Pending{Checkpoint: p.Checkpoint}
	return p, seq
}

// stream is a reading at work: the goroutine that reads, and the one that raises
// the watermark.
type stream struct {
	reading *reading
	pos     binlog.Position // where the reading is; its goroutine's
	barrier Barrier
	// lanes counts those served from here; guarded by the Pipeline's mu.
	lanes int
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
	if s.barrier == nil {
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

// watch raises the watermark. One wait covers all that has gathered.
func (s *stream) watch(ctx context.Context) {
	g := s.reading.gathering
	for {
		select {
		case <-g.more:
		case <-ctx.Done():
			return
		}
		p, seq := g.take()
		if err := s.barrier.Wait(ctx, &p); err != nil {
			return // the context has ended
		}
		s.reading.log.SetVisible(seq)
	}
}
