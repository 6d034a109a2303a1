package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/extract"
)

// Config says what a Pipeline binds together. Its fields are read only.
type Config struct {
	// Open makes a source for one reading, with what tells what is visible there
	// (nil: everything that is read). The main reading has one, and each one by
	// which clusters catch up.
	Open func() (Source, *binlog.Visibility)
	// Impatient: the source is a server, which must not be kept waiting while the
	// Log is full. The dump is closed then, and resumed later.
	Impatient bool
	// Together: the reading keeps pace with the slowest cluster, and none falls out.
	// That is for sources that can be read only once.
	Together bool
	// Distance, if set, tells how many bytes of log lie between two positions, or -1
	// where that cannot be told. Without it all clusters count as in step.
	Distance func(ctx context.Context, from, to binlog.Position) (int64, error)
	// Verify, if set, tells whether the source still has what follows a position; a
	// *binlog.GapError says that it has not.
	Verify func(ctx context.Context, p binlog.Position) error
	// Prepared, if set, tells whether XA transactions are prepared on the source whose
	// keys are neither spooled nor still to be read from a position; a
	// *binlog.GapError names them.
	Prepared func(ctx context.Context, p binlog.Position) error
	// Now, if set, is where the source's log ends now, once everything up to there is
	// visible. It is where a cluster goes on whose caches were flushed for a gap.
	Now func(ctx context.Context) (binlog.Position, error)
	// Clusters are served from the Log, each at its own pace.
	Clusters []Cluster
	// CatchUp is how many private readings there may be at once for clusters that
	// have fallen behind; 0 is 2.
	CatchUp int
	// Tags are the names of the tags; at least one.
	Tags []string
	// MendText is the statement that turns the text of statements on, for a warning
	// about rows that come without.
	MendText string
	// Rules derive keys from rows.
	Rules []extract.Rule
	// LogBytes bounds all Logs together; 0 is 64 MiB. Each private reading has a
	// sixteenth of it, or as much less as leaves the main one half.
	LogBytes int64
	// Wanted, if set, tells whether a transaction is to be delivered; Last whether
	// it is the last one to be read.
	Wanted, Last func(t *binlog.Transaction, f binlog.File) bool
	// Save keeps the clusters' positions; nil: they are not kept.
	Save func(map[string]binlog.Position) error
	// Spool keeps the keys of prepared XA transactions.
	Spool *checkpoint.Spool
	// Unserved are the positions of further clusters, which are not served now: what
	// they need of the Spool stays.
	Unserved []binlog.Position
	// Drain is how long, once the reading has been told to end, what is in the Log
	// may take to be acknowledged. 0: 10 s.
	Drain   time.Duration
	Metrics *Metrics
	Logger  *slog.Logger
}

const (
	saveEvery       = time.Second
	defaultDrain    = 10 * time.Second
	defaultCatchUp  = 2
	defaultLogBytes = 64 << 20
	privateShare    = 16
)

// shares are how much of the bound the main reading's Log has, and each private one's.
func shares(bytes int64, catchUp int) (main, private int64) {
	private = bytes / int64(max(privateShare, 2*catchUp))
	return bytes - int64(catchUp)*private, private
}

// Pipeline is a daemon's work, or a replay's.
type Pipeline struct {
	cfg      Config
	clusters []*cluster
	read     readCount
	pulse    pulse

	// contexts of Run.
	reading, delivery context.Context //nolint:containedctx // of Run, which outlives all that use them
	stopReading       context.CancelFunc
	streams           sync.WaitGroup

	mu      sync.Mutex
	main    *stream                    // guarded by mu
	private map[*stream]struct{}       // guarded by mu
	queue   []*lane                    // those that wait for a private reading, in their turn; guarded by mu
	changed chan struct{}              // closed and replaced when a stream or a slot is free; guarded by mu
	saved   map[string]binlog.Position // guarded by mu
}

// ErrAllParked is Run's error when every cluster waits for a decision about a gap.
// The gaps are joined to it.
var ErrAllParked = errors.New("every cluster waits for a decision about a gap")

// ErrHandover is the cause of the end of Run's context where another Pipeline is about
// to go on from the positions: Run does not wait for what is in the Log, which is read
// again, but ends as soon as the positions are kept.
var ErrHandover = errors.New("another pipeline takes over")

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
	if cfg.CatchUp <= 0 {
		cfg.CatchUp = defaultCatchUp
	}
	if cfg.LogBytes <= 0 {
		cfg.LogBytes = defaultLogBytes
	}
	if _, _, err := extractors(&cfg); err != nil {
		return nil, err
	}
	if len(cfg.Clusters) == 0 {
		return nil, errors.New("no cluster to deliver to")
	}
	p := &Pipeline{
		cfg: cfg, saved: make(map[string]binlog.Position),
		private: make(map[*stream]struct{}), changed: make(chan struct{}),
	}
	for _, c := range cfg.Clusters {
		cfg.Metrics.of(c.Name)
		w := &cluster{Cluster: c}
		for _, conn := range c.Connections {
			w.lanes = append(w.lanes, &lane{pipeline: p, cluster: w, conn: conn, position: c.From.Clone()})
		}
		p.clusters = append(p.clusters, w)
	}
	return p, nil
}

// Run works until the context ends or the source does, then lets what is in the
// Log be delivered, for at most Drain (not at all at ErrHandover), and keeps the
// positions. It returns nil if
// the source came to its end and everything was acknowledged, or the context ended;
// ErrAllParked with the gaps if no cluster is left; otherwise what ended the
// reading or the delivery.
func (p *Pipeline) Run(ctx context.Context) error {
	// Delivery outlives the reading by the time to drain.
	p.reading, p.stopReading = context.WithCancel(ctx)
	defer p.stopReading()
	var stopDelivery context.CancelFunc
	p.delivery, stopDelivery = context.WithCancel(context.WithoutCancel(ctx))
	defer stopDelivery()

	errs := make(chan error, p.countLanes())
	if err := p.startMain(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before anything was read
		}
		return err
	}
	var lanes sync.WaitGroup
	for _, c := range p.clusters {
		for _, l := range c.lanes {
			lanes.Go(func() {
				if err := l.run(p.delivery); err != nil {
					errs <- err
					if !errors.As(err, new(*binlog.GapError)) {
						p.stopReading()
					}
				}
			})
		}
	}
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		lanes.Wait()
	}()
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaving()
	var saver sync.WaitGroup
	if p.cfg.Save != nil {
		saver.Go(func() { p.save(saving) })
	}

	select {
	case <-delivered:
	case <-p.reading.Done():
		if errors.Is(context.Cause(ctx), ErrHandover) {
			break // out of the select
		}
		if ctx.Err() == nil && p.cfg.Save == nil {
			// The source has failed, and no later start reads again what is not delivered now.
			select {
			case <-delivered:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			p.cfg.Logger.Info("stopping: what is in the Log is delivered first", "at_most", p.cfg.Drain)
		}
		select {
		case <-delivered:
		case <-time.After(p.cfg.Drain):
			if p.cfg.Save != nil {
				p.cfg.Logger.Warn("stopping with keys undelivered; they are read again at the next start")
			} else {
				p.cfg.Logger.Warn("stopping with keys undelivered")
			}
		}
	}
	p.stopReading()
	stopDelivery()
	<-delivered
	p.streams.Wait()
	stopSaving()
	saver.Wait()
	err := p.outcome(ctx, errs)
	if p.cfg.Save != nil {
		err = errors.Join(err, p.saveNow())
	}
	return err
}

// outcome is what Run returns, all else being done.
func (p *Pipeline) outcome(ctx context.Context, errs chan error) error {
	close(errs)
	var gaps, others []error
	for err := range errs {
		if errors.As(err, new(*binlog.GapError)) {
			gaps = append(gaps, err)
		} else {
			others = append(others, err)
		}
	}
	p.mu.Lock()
	main := p.main
	p.mu.Unlock()
	// When no lane is left the reading is told to end, which is no failure of its own.
	told := errors.Is(main.err, context.Canceled)
	if ctx.Err() == nil && main.err != nil && !told && !errors.As(main.err, new(*binlog.GapError)) {
		others = append(others, main.err)
	}
	if err := errors.Join(others...); err != nil {
		return err
	}
	if len(gaps) > 0 && ctx.Err() == nil {
		return fmt.Errorf("%w:\n%w", ErrAllParked, errors.Join(gaps...))
	}
	return nil
}

func (p *Pipeline) countLanes() (n int) {
	for _, c := range p.clusters {
		n += len(c.lanes)
	}
	return n
}

// extractors makes what finds the keys. Without tags no text is looked at, without
// rules no row.
func extractors(cfg *Config) (tags *extract.Tags, rules *extract.Rules, err error) {
	if len(cfg.Tags) > 0 || len(cfg.Rules) == 0 {
		if tags, err = extract.NewTags(cfg.Tags); err != nil {
			return nil, nil, err
		}
	}
	if len(cfg.Rules) > 0 {
		if rules, err = extract.NewRules(cfg.Rules); err != nil {
			return nil, nil, err
		}
	}
	return tags, rules, nil
}

// readCount counts what all readings have read.
type readCount struct {
	mu                 sync.Mutex
	transactions, keys uint64 // guarded by mu
	// unserved are the tables with missing keys, in the order in which they were met,
	// the last one all beyond those; guarded by mu.
	unserved []Unserved
}

// Unserved is a table of which rules' keys could not be had.
type Unserved struct {
	Table  string
	Events uint64 // rows events; XA transactions' reasons
	Reason string // the first
}

// maxUnserved is how many tables with missing keys are told apart.
const maxUnserved = 1000

// miss says that keys of a table are missing.
func (r *readCount) miss(table, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.unserved, func(u Unserved) bool { return u.Table == table })
	if i < 0 && len(r.unserved) == maxUnserved {
		table = "other tables"
	}
	if i < 0 && len(r.unserved) <= maxUnserved {
		r.unserved = append(r.unserved, Unserved{Table: table, Reason: reason})
	}
	if i < 0 {
		i = len(r.unserved) - 1
	}
	r.unserved[i].Events++
}

func (r *readCount) add(transactions, keys int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transactions += uint64(transactions)
	r.keys += uint64(keys)
}

// Read counts what has been read so far. Any goroutine may call it.
func (p *Pipeline) Read() (transactions, keys uint64) {
	p.read.mu.Lock()
	defer p.read.mu.Unlock()
	return p.read.transactions, p.read.keys
}

// Unserved are the tables of which a rule's keys could not be had, where that does not
// end the reading: without Save. Any goroutine may call it.
func (p *Pipeline) Unserved() []Unserved {
	p.read.mu.Lock()
	defer p.read.mu.Unlock()
	return slices.Clone(p.read.unserved)
}

// Positions is how far each cluster has acknowledged. Any goroutine may call it.
func (p *Pipeline) Positions() map[string]binlog.Position {
	positions := make(map[string]binlog.Position, len(p.clusters))
	for _, c := range p.clusters {
		positions[c.Name] = c.position()
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
	positions := p.Positions()
	moved := make(map[string]binlog.Position)
	for name, at := range positions {
		if last, ok := p.saved[name]; !ok || !at.Equal(last) {
			moved[name] = at
		}
	}
	if len(moved) == 0 {
		return nil
	}
	if err := p.keep(moved); err != nil {
		return err
	}
	reaches := make([]checkpoint.Reach, 0, len(p.saved)+len(p.cfg.Unserved))
	for _, at := range p.saved {
		reaches = append(reaches, checkpoint.Reach{Saved: at})
	}
	for _, at := range p.cfg.Unserved {
		reaches = append(reaches, checkpoint.Reach{Saved: at})
	}
	if err := p.cfg.Spool.Forget(reaches); err != nil {
		p.cfg.Logger.Error("spooled XA transactions that nobody needs any more cannot be removed", "error", err)
	}
	return nil
}

// keep saves some clusters' positions, if positions are kept. mu is held.
func (p *Pipeline) keep(positions map[string]binlog.Position) error {
	if p.cfg.Save == nil {
		return nil
	}
	if err := p.cfg.Save(positions); err != nil {
		p.cfg.Metrics.unsaved.Inc()
		return err
	}
	p.cfg.Metrics.saved.SetToCurrentTime()
	for name, at := range positions {
		p.saved[name] = at
	}
	return nil
}

// newStream makes a stream; it starts nothing.
func (p *Pipeline) newStream(from binlog.Position, private bool) (*stream, error) {
	tags, rules, err := extractors(&p.cfg)
	if err != nil {
		return nil, err
	}
	bytes, own := shares(p.cfg.LogBytes, p.cfg.CatchUp)
	if private {
		bytes = own
	} else if p.countLanes() < 2 || p.cfg.Together {
		bytes = p.cfg.LogBytes // nobody else will want any
	}
	source, visibility := p.cfg.Open()
	log := batcher.NewLog(batcher.Config{Bytes: bytes, From: from, KeepSlowest: p.cfg.Together})
	s := &stream{
		pos: from.Clone(), visibility: visibility, private: private, lanes: make(map[*lane]struct{}),
		reading: &reading{
			source: source, log: log, w: log.Writer(), tags: tags, rules: rules, mendText: p.cfg.MendText,
			spool: p.cfg.Spool, strict: p.cfg.Save != nil,
			visibility: visibility, metrics: p.cfg.Metrics, logger: p.cfg.Logger, read: &p.read,
			wanted: p.cfg.Wanted, last: p.cfg.Last, impatient: p.cfg.Impatient,
		},
	}
	if !private {
		// Those that catch up read what is old, which says nothing of the way's length.
		s.sinceRead, s.reading.late.to, s.reading.newest = p.cfg.Metrics.sinceRead, p.cfg.Metrics.sinceCommit, &p.cfg.Metrics.newest
	}
	return s, nil
}
