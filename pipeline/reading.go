package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/sampling"
)

const (
	// publishBytes is how many bytes of keys of one transaction are published
	// before its end: about a batch's worth.
	publishBytes = 16 << 10
	// patience is how long a source may be kept waiting because the Log is full.
	// Servers cut a reader off that blocks them for net_write_timeout (60 s).
	patience = time.Second
	// maxPending is how long a text may be that is copied until its table is known. A
	// longer one's keys go without a table: a copy of the largest event would be as much
	// memory again.
	maxPending = 4 << 20
	// sampleEvery is how often at most rows without their statement's text are logged.
	sampleEvery = time.Second
	// hurriedEvery is how often at most it is said that second deletes are early.
	hurriedEvery = time.Minute
)

// reading fills one Log from a source. It is the binlog.Handler of that source:
// its methods are called by the one goroutine that reads.
type reading struct {
	source Source
	log    *batcher.Log
	w      *batcher.Writer
	tags   *extract.Tags  // nil: no text is looked at
	rules  *extract.Rules // nil: no row is looked at
	lexing extract.Lexing // where the log does not say the session's: the source's
	// mendText is the statement that turns the text of statements on.
	mendText string
	metrics  *Metrics
	logger   *slog.Logger
	// wanted, if set, tells whether a transaction is to be read at all.
	wanted func(t *binlog.Transaction, f binlog.File) bool
	// last, if set, tells whether the reading ends behind a transaction.
	last       func(t *binlog.Transaction, f binlog.File) bool
	visibility *binlog.Visibility // nil: everything is visible
	// spool keeps the keys of prepared XA transactions; collector is this reading's.
	spool     *checkpoint.Spool
	collector *checkpoint.Collector
	// strict: a decision on an XA transaction whose keys are not known is a gap.
	strict bool
	// gathering, if set, is told of each transaction, for the barrier.
	gathering *gathering
	// impatient: the source must not be kept waiting while the Log is full.
	impatient bool

	ctx  context.Context //nolint:containedctx // of run, which is on the stack below every handler's call
	file binlog.File
	// start is where the transaction begins in it.
	start uint64
	// skipped: the transaction is not wanted.
	skipped bool
	xa      bool                   // it carries an XID: its keys go to the collector
	missing *extract.UnservedError // why the first of its keys cannot be had
	seen    extract.Distinct
	// now is when what is being handled was read, in microseconds since 1970; stale
	// once it has been handled.
	now   int64
	stale bool
	// pending is a statement's text with its session, kept until its tables are
	// known; text is its memory.
	pending       bool
	text          []byte
	textLexing    extract.Lexing
	textSeen      bool // the statement's text has come
	unpublished   int  // bytes of keys
	keyed         bool // a key of the transaction is in the Log
	named         bool // the transaction has a key
	writers       writers
	cause         batcher.Cause // of the keys that come
	schema, table []byte        // scratch, for rules
	// keys and transactions are counted here, and told to others when idle.
	keys, transactions int
	read               *readCount
	late               lateness      // of transactions, when they are read
	latest             int64         // commit time of the last transaction, in microseconds since 1970
	newest             *atomic.Int64 // where it is told; nil: nowhere
	err                error         // of key, for who cannot be told otherwise
	paused             atomic.Bool   // the Log is full, and room in it is waited for

	onKey     func([]byte)
	onRefused func(extract.Refusal)
	onChange  func(binlog.Change)
	sampled   sampling.Sampler // refused keys, by reason and a rule's table
	textless  rate.Sometimes   // rows without text
	hurries   uint64           // of the Log, as far as told
	hurried   rate.Sometimes
	rowless   sampling.Sampler    // changes without rows to tables of rules, by table
	unserved  sampling.Sampler    // keys of rules that cannot be had, by table and reason
	lack      map[string]struct{} // tables of which it was said that they lack a rule's column
}

// defaulting is a Source that knows how its sessions read statements unless they were
// told otherwise: a server, and not log files.
type defaulting interface {
	// Defaults gives @@sql_mode and the character set. It is called within Run.
	Defaults() (sqlMode, charset string)
}

// errPaused ends a reading whose Log has been full for too long; it goes on later
// from its position.
var errPaused = errors.New("the log is full; the dump is closed until there is room")

// run reads from pos on until the source has come to its end, and then closes the
// Log, or until an error.
func (r *reading) run(ctx context.Context, pos *binlog.Position) error {
	r.ctx = ctx
	r.collector = r.spool.NewCollector()
	defer func() { _ = r.collector.Abort() }() // what it holds is read again
	r.onKey, r.onRefused, r.onChange = r.key, r.refused, r.changed
	r.textless = rate.Sometimes{Interval: sampleEvery}
	r.hurried = rate.Sometimes{Interval: hurriedEvery}
	r.writers.metrics = r.metrics.untagged
	r.bindRules()
	r.stale = true
	for {
		err := r.source.Run(ctx, pos, r)
		r.w.Abort()
		r.publish()
		r.count()
		if !errors.Is(err, errPaused) {
			return errors.Join(err, r.close(ctx))
		}
		r.logger.Warn("the Log is full and no cluster takes more; the dump is closed until half of it is free", "position", pos.String())
		r.metrics.pauses.Inc()
		r.paused.Store(true)
		err = r.log.WaitRoom(ctx, r.log.Capacity()/2)
		r.paused.Store(false)
		if err != nil {
			return errors.Join(context.Cause(ctx), r.close(ctx))
		}
		r.logger.Info("there is room in the Log again; reading goes on", "position", pos.String())
	}
}

// close says that nothing more will come, once there is room to say it. When the
// context has ended already it does not wait: what is not in the Log is read
// again by the next run.
func (r *reading) close(ctx context.Context) error {
	for {
		err := r.w.Close()
		if !errors.Is(err, batcher.ErrFull) {
			return err
		}
		if ctx.Err() != nil || r.log.WaitRoom(ctx, 1) != nil {
			return nil //nolint:nilerr // no room, and nobody waits for any
		}
	}
}

// full waits for room in the Log.
func (r *reading) full() error {
	r.publish()
	ctx := r.ctx
	if r.impatient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if err := r.log.WaitRoom(ctx, 1); err != nil {
		if cause := context.Cause(r.ctx); cause != nil {
			return cause
		}
		return errPaused
	}
	r.stale = true
	return nil
}

// File implements binlog.Handler.
func (r *reading) File(f binlog.File) error {
	r.file = f
	if source, ok := r.source.(defaulting); ok {
		r.lexing = extract.LexingNamed(source.Defaults())
	}
	r.writers.forget()
	if r.rules != nil {
		r.rules.Forget()
	}
	return r.w.File(f)
}

// Previous implements binlog.Handler.
func (r *reading) Previous(*binlog.GTIDSet) error { return nil }

// Begin implements binlog.Handler.
func (r *reading) Begin(t *binlog.Transaction) error {
	if r.skipped = r.wanted != nil && !r.wanted(t, r.file); r.skipped {
		return nil
	}
	r.start = t.Start
	if r.stale {
		r.now, r.stale = time.Now().UnixMicro(), false
	}
	if t.Time != 0 {
		r.late.add(r.now - t.Time)
		r.latest = t.Time
	}
	r.seen.Reset()
	r.textSeen, r.keyed, r.named, r.missing = false, false, false, nil
	r.writers.begin()
	if r.rules != nil {
		r.rules.Begin()
	}
	if r.xa = !t.XID.IsZero(); r.xa {
		if err := r.collector.Begin(t, r.file); err != nil {
			return err
		}
	}
	seq, err := r.w.Begin(batcher.Transaction{GTID: t.GTID, Start: t.Start, Time: t.Time, Read: r.now})
	if err != nil || r.gathering == nil {
		return err
	}
	return r.gathering.add(seq, t, r.file, r.now)
}

// publish makes what was appended readable, and the barrier wait for it.
func (r *reading) publish() {
	r.unpublished = 0
	r.w.Publish()
	if r.gathering != nil {
		r.gathering.reach(r.log.Appended())
	}
}

// Statement implements binlog.Handler.
func (r *reading) Statement(s *binlog.Statement) error {
	if r.skipped {
		return nil
	}
	if err := r.flush(nil, nil); err != nil {
		return err
	}
	r.textSeen = s.Rows
	if !s.Rows {
		s.Changes(r.onChange)
	}
	if r.tags == nil || !r.tags.Mentioned(s.Text) {
		return nil
	}
	lexing := r.lexing
	if s.SessionKnown {
		lexing = extract.LexingFor(s.SQLMode, s.Collation)
	}
	if !s.Rows {
		return r.extract(s.Text, lexing, s.Schema, nil)
	}
	if len(s.Text) > maxPending {
		return r.extract(s.Text, lexing, nil, nil)
	}
	// The table is known when its Table_map comes, right behind.
	r.pending, r.textLexing = true, lexing
	r.text = append(r.text[:0], s.Text...)
	return nil
}

// Table implements binlog.Handler.
func (r *reading) Table(t *binlog.Table) (wanted bool, err error) {
	if r.skipped {
		return false, nil
	}
	r.writers.table(t)
	if r.rules != nil {
		wanted = r.rules.Table(t)
	}
	return wanted, r.flush(t.Schema, t.Name)
}

// Rows implements binlog.Handler.
func (r *reading) Rows(rows *binlog.Rows) error {
	if r.skipped {
		return nil
	}
	r.writers.rows(rows.Table)
	if !r.textSeen && r.tags != nil {
		r.metrics.textless.Inc()
		r.textless.Do(func() {
			r.logger.Warn("rows without their statement's text: tags in it are not seen; a session has the text turned off, or the server did when they were written",
				"log", r.file.Name, "pos", r.start, "mend", r.mendText)
		})
	}
	if rows.StatementEnd {
		r.textSeen = false
	}
	if rows.Body == nil || r.rules == nil {
		return nil
	}
	return r.images(rows)
}

// flush extracts the keys of the statement whose table was awaited.
func (r *reading) flush(schema, table []byte) error {
	if !r.pending {
		return nil
	}
	r.pending = false
	err := r.extract(r.text, r.textLexing, schema, table)
	const keep = 1 << 20
	if cap(r.text) > keep {
		r.text = nil
	}
	return err
}

// extract takes the keys out of one statement.
func (r *reading) extract(text []byte, lexing extract.Lexing, schema, table []byte) error {
	r.because(batcher.Tag, schema, table)
	r.err = nil
	r.tags.Keys(text, lexing, r.onKey, r.onRefused)
	return r.err
}

// because says what causes the keys that come, and the table they are about.
func (r *reading) because(cause batcher.Cause, schema, table []byte) {
	r.cause = cause
	if r.xa {
		r.collector.Statement(cause, schema, table)
	} else {
		r.w.Statement(cause, schema, table)
	}
}

// key takes a key of the transaction, unless it has had it before.
func (r *reading) key(key []byte) {
	if r.err != nil || !r.seen.Add(key) {
		return
	}
	r.named = true
	if r.xa {
		r.err = r.collector.Key(key)
		return
	}
	r.err = r.append(key)
}

// append appends a key to the Log.
func (r *reading) append(key []byte) error {
	if err := r.withRoom(func() error { return r.w.Key(key) }); err != nil {
		return err
	}
	r.keyed = true
	r.keys++
	if r.unpublished += len(key); r.unpublished >= publishBytes {
		r.publish()
	}
	return nil
}

// withRoom does something to the Log, waiting for room as often as it takes.
func (r *reading) withRoom(do func() error) error {
	for {
		err := do()
		if err == nil || !errors.Is(err, batcher.ErrFull) {
			return err
		}
		if err := r.full(); err != nil {
			return err
		}
	}
}

// refused takes note of what was meant as a key and is none.
func (r *reading) refused(f extract.Refusal) {
	r.metrics.refusedTags[f.Reason].Inc()
	if r.cause == batcher.Rule {
		table := string(r.schema) + "." + string(r.table)
		if more, ok := r.sampled.Take("rule's key " + f.Reason.String() + " " + table); ok {
			r.logger.Warn("a rule's key was refused; its neighbours go out", "reason", f.Reason.String(), "table", table, "text", string(f.Text),
				"log", r.file.Name, "pos", r.start, "more", more)
		}
		return
	}
	if more, ok := r.sampled.Take("tag's key " + f.Reason.String()); ok {
		r.logger.Warn("a tag's key was refused; its neighbours go out", "reason", f.Reason.String(), "text", string(f.Text),
			"log", r.file.Name, "pos", r.start, "more", more)
	}
}

// End implements binlog.Handler.
func (r *reading) End(t *binlog.Transaction) error {
	if r.skipped {
		return r.ended(t)
	}
	if err := r.flush(nil, nil); err != nil {
		return err
	}
	if r.xa {
		if err := r.decided(t); err != nil {
			return err
		}
	}
	if err := r.withRoom(func() error { return r.w.End(t.End) }); err != nil {
		return err
	}
	if r.xa && !r.strict {
		// Nothing is read again that would need what was decided.
		if err := r.spool.Forget(nil); err != nil {
			return err
		}
	}
	r.transactions++
	if !r.named {
		r.writers.untagged()
	}
	if r.keyed {
		r.publish()
	}
	return r.ended(t)
}

// decided deals with the end of a group of an XA transaction: its keys are spooled,
// released or dropped.
func (r *reading) decided(t *binlog.Transaction) error {
	switch t.Outcome {
	case binlog.Prepared:
		return r.collector.Prepared(t)
	case binlog.Committed: // one phase
		if r.missing != nil && r.strict {
			r.metrics.unserved.of([]byte(r.missing.Schema), []byte(r.missing.Table)).Inc()
			return r.keysGap(t.Start, "a rule's keys cannot be had for certain", r.missing)
		}
		e, err := r.collector.OnePhase(t)
		if err != nil {
			return err
		}
		return r.release(t, e)
	}
	e, err := r.spool.Decide(t, r.file)
	if err != nil {
		return err
	}
	switch {
	case e != nil:
		return r.release(t, e)
	case t.Outcome == binlog.XARolledBack:
		return nil
	}
	what := fmt.Sprintf("XA COMMIT %s: the transaction was prepared before the log was read, so its keys are not known", t.XID)
	if !r.strict {
		r.logger.Error("keys are missing", "reason", what, "log", r.file.Name, "pos", t.Start)
		return nil
	}
	return r.keysGap(t.Start, what, nil)
}

// release appends the keys of an XA transaction that has been committed.
func (r *reading) release(t *binlog.Transaction, e *checkpoint.Entry) error {
	return e.Each(func(s checkpoint.Statement, key []byte) error {
		if s.Cause == unknownKey {
			return r.neverKnown(t, s, strings.ToValidUTF8(string(key), "…"))
		}
		r.w.Statement(s.Cause, s.Schema, s.Table)
		return r.append(key)
	})
}

// ended stops the reading behind its last transaction.
func (r *reading) ended(t *binlog.Transaction) error {
	if r.last != nil && r.last(t, r.file) {
		return binlog.ErrStop
	}
	return nil
}

// Broken implements binlog.Handler.
func (r *reading) Broken() error {
	r.pending = false
	r.w.Abort()
	return nil
}

// Moved implements binlog.Handler: what is not visible yet may not be on the new
// source.
func (r *reading) Moved() (binlog.Position, error) {
	r.pending = false
	if r.gathering != nil {
		r.gathering.drop()
		r.visibility.Forget()
	}
	at, err := r.w.Truncate()
	if err != nil {
		return at, err
	}
	return at, r.spool.Undecide(at)
}

// Checkpoint implements binlog.Handler.
func (r *reading) Checkpoint(file string) error {
	if r.visibility != nil {
		r.visibility.Checkpoint(file)
	}
	return nil
}

// Idle implements binlog.Handler.
func (r *reading) Idle(offset uint64) error {
	r.stale = true
	r.count()
	if offset > 0 {
		if err := r.w.Idle(offset); err != nil && !errors.Is(err, batcher.ErrFull) {
			return err // if there is no room to say how far the log was read, it is said later
		}
	}
	r.publish()
	return nil
}

// count tells the metrics what has been read.
func (r *reading) count() {
	if n := r.log.Hurries(); n != r.hurries {
		r.metrics.hurried.Add(float64(n - r.hurries))
		r.hurries = n
		r.hurried.Do(func() {
			r.logger.Warn("second deletes leave before their delay is over: the Log holds less than what comes in the meantime; raise log_bytes, or shorten redelete_after")
		})
	}
	r.metrics.keys.Add(float64(r.keys))
	r.metrics.transactions.Add(float64(r.transactions))
	r.read.add(r.transactions, r.keys)
	r.writers.count()
	r.keys, r.transactions = 0, 0
	r.late.tell()
	if r.newest != nil && r.latest != 0 {
		r.newest.Store(r.latest)
	}
}

// Warn implements binlog.Handler.
func (r *reading) Warn(w binlog.Warning) {
	r.metrics.warnings.WithLabelValues(string(w.Kind)).Inc()
	r.logger.Error("something in the log that may have carried keys could not be read as such", "kind", string(w.Kind), "log", w.File, "pos", w.Offset, "detail", w.Detail)
}
