package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/extract"
)

// Config says what a Pipeline binds together. Its fields are read only.
type Config struct {
	// Source is read for all clusters that are in step.
	Source Source
	// From is where its reading begins. Clusters that have executed more pass over
	// it; each must have executed all that lies before.
	From binlog.Position
	// Impatient: the source is a server, which must not be kept waiting while the
	// Log is full. The dump is closed then, and resumed later.
	Impatient bool
	// Barrier, if set, tells when what was read can be read on the source. nil:
	// everything may leave at once.
	Barrier Barrier
	// Clusters are served from the Log, each at its own pace.
	Clusters []Cluster
	// Tags are the names of the tags; at least one.
	Tags []string
	// Lexing is how statements are read where the log does not say their session's
	// settings.
	Lexing extract.Lexing
	// LogBytes bounds the Log; 0 is 64 MiB.
	LogBytes int64
	// Wanted, if set, tells whether a transaction is to be delivered; Last whether
	// it is the last one to be read.
	Wanted, Last func(t *binlog.Transaction, f binlog.File) bool
	// Save keeps the clusters' positions; nil: they are not kept.
	Save func(map[string]binlog.Position) error
	// Drain is how long, once the reading has been told to end, what is in the Log
	// may take to be acknowledged. 0: 10 s.
	Drain   time.Duration
	Metrics *Metrics
	Logger  *slog.Logger
}

const (
	saveEvery    = time.Second
	defaultDrain = 10 * time.Second
)

// Pipeline is a daemon's work, or a replay's.
type Pipeline struct {
	cfg   Config
	main  *stream
	lanes []*lane

	mu    sync.Mutex
	saved map[string]binlog.Position // guarded by mu
}

// New binds the stages. It starts nothing.
func New(cfg Config) (*Pipeline, error) {
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Drain <= 0 {
		cfg.Drain = defaultDrain
	}
	p := &Pipeline{cfg: cfg, saved: make(map[string]binlog.Position)}
	main, err := p.newStream(cfg.Source, cfg.From, cfg.LogBytes)
	if err != nil {
		return nil, err
	}
	p.main = main
	for i := range cfg.Clusters {
		c := &cfg.Clusters[i]
		from := c.From
		if from.IsZero() {
			from = cfg.From
		}
		for _, s := range c.Sinks {
			p.lanes = append(p.lanes, &lane{cluster: c, sink: s, position: from})
		}
	}
	return p, nil
}

func (p *Pipeline) newStream(source Source, from binlog.Position, logBytes int64) (*stream, error) {
	tags, err := extract.NewTags(p.cfg.Tags)
	if err != nil {
		return nil, err
	}
	log := batcher.NewLog(batcher.Config{Bytes: logBytes, From: from})
	return &stream{
		pos:     from.Clone(),
		barrier: p.cfg.Barrier,
		reading: &reading{
			source: source, log: log, w: log.Writer(), tags: tags, lexing: p.cfg.Lexing,
			metrics: p.cfg.Metrics, logger: p.cfg.Logger,
			wanted: p.cfg.Wanted, last: p.cfg.Last, impatient: p.cfg.Impatient,
		},
	}, nil
}

// Run works until the context ends or the source does, then lets what is in the
// Log be delivered, for at most Drain, and keeps the positions. It returns nil if
// the source came to its end and everything was acknowledged, or the context ended;
// otherwise what ended the reading or the delivery.
func (p *Pipeline) Run(ctx context.Context) error {
	// Delivery outlives the context by the time to drain.
	delivery, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var readings, lanes, saver sync.WaitGroup
	// The lanes have their cursors before anything is read.
	cursors := make([]*batcher.Cursor, len(p.lanes))
	for i, l := range p.lanes {
		c, err := l.enter(p.main)
		if err != nil {
			return err
		}
		cursors[i] = c
	}
	failed := make(chan error, len(p.lanes))
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	p.main.start(reading, delivery, &readings)
	for i, l := range p.lanes {
		lanes.Go(func() {
			if err := l.serve(delivery, cursors[i]); err != nil && delivery.Err() == nil {
				failed <- err
				stopReading(err)
			}
		})
	}
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaving()
	if p.cfg.Save != nil {
		saver.Go(func() { p.save(saving) })
	}

	<-p.main.done
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		lanes.Wait()
	}()
	err := p.main.err
	if ctx.Err() != nil {
		p.cfg.Logger.Info("stopping: what is in the Log is delivered first", "at_most", p.cfg.Drain)
		err = nil
		select {
		case <-drained:
		case <-time.After(p.cfg.Drain):
			p.cfg.Logger.Warn("stopping with keys undelivered; they are read again at the next start")
		}
	} else if err != nil {
		// What was read before is complete, and is delivered.
		select {
		case <-drained:
		case <-time.After(p.cfg.Drain):
		case <-ctx.Done():
		}
	} else {
		select {
		case <-drained:
		case <-ctx.Done():
			select {
			case <-drained:
			case <-time.After(p.cfg.Drain):
			}
		}
	}
	stop(errStopped)
	<-drained
	readings.Wait()
	stopSaving()
	saver.Wait()
	if p.cfg.Save != nil {
		err = errors.Join(err, p.saveNow())
	}
	select {
	case lost := <-failed:
		err = lost
	default:
	}
	return err
}

var errStopped = errors.New("stopped")

// Read is what has been read so far.
type Read struct{ Transactions, Keys uint64 }

// Read counts what has been read. Any goroutine may call it.
func (p *Pipeline) Read() Read {
	r := p.main.reading
	return Read{Transactions: r.readTransactions.Load(), Keys: r.readKeys.Load()}
}

// Positions is how far each cluster has acknowledged. Any goroutine may call it.
func (p *Pipeline) Positions() map[string]binlog.Position {
	of := make(map[string][]binlog.Position)
	for _, l := range p.lanes {
		of[l.cluster.Name] = append(of[l.cluster.Name], l.at())
	}
	positions := make(map[string]binlog.Position, len(of))
	for name, all := range of {
		positions[name] = least(all)
	}
	return positions
}

// save keeps the positions while something moves.
func (p *Pipeline) save(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := p.saveNow(); err != nil {
			p.cfg.Logger.Error("the checkpoint cannot be saved; delivery goes on, and a restart would repeat what came since the last one", "error", err)
		}
	}
}

// saveNow keeps the positions that have moved since the last time.
func (p *Pipeline) saveNow() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := make(map[string]binlog.Position)
	for name, at := range p.Positions() {
		if last, ok := p.saved[name]; !ok || !at.Equal(last) {
			moved[name] = at
		}
	}
	if len(moved) == 0 {
		return nil
	}
	if err := p.cfg.Save(moved); err != nil {
		return err
	}
	for name, at := range moved {
		p.saved[name] = at
	}
	return nil
}
