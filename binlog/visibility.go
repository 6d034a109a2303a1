package binlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/backoff"
)

// An event is sent when its transaction is in the log, which is before the storage
// engine has committed it: a reader may still see the old row, for milliseconds, or
// with semi-synchronous replication for seconds. A barrier waits that out.

// Pending is transactions that were read and wait to become visible.
type Pending struct {
	// GTIDs are all of theirs, where they have any. Anonymous: some have none.
	GTIDs     *GTIDSet
	Anonymous bool
	// File and Start are where the newest of them begins; Read is when it was read,
	// in microseconds since 1970.
	File  File
	Start uint64
	Read  int64
}

// VisibilityMode is a way of knowing that a transaction can be read.
type VisibilityMode uint8

// The modes.
const (
	// VisibilityGTID: MySQL's WAIT_FOR_EXECUTED_GTID_SET. A GTID is added to
	// gtid_executed after its transaction was committed in the engine.
	VisibilityGTID VisibilityMode = iota + 1
	// VisibilitySnapshot: MariaDB's binlog_snapshot_file and _position, the place in
	// the log that the engine's own snapshot has come to.
	VisibilitySnapshot
	// VisibilityDelay: a time is waited; nothing is known.
	VisibilityDelay
)

func (m VisibilityMode) String() string {
	switch m {
	case VisibilityGTID:
		return "gtid"
	case VisibilitySnapshot:
		return "snapshot"
	case VisibilityDelay:
		return "delay"
	default:
		return "off"
	}
}

// VisibilityConfig says how a Visibility knows.
type VisibilityConfig struct {
	Mode  VisibilityMode
	Delay time.Duration // VisibilityDelay
	// Server is the source that is being read now.
	Server func() ServerConfig
	Logger *slog.Logger
}

// AnonymousDelay is waited where nothing tells what is visible: some times the longest
// gap between an event and its commit that was seen without semi-synchronous
// replication.
const AnonymousDelay = 50 * time.Millisecond

// Visibility knows what can be read on the source. Its barriers, one for each
// reading, share what they learn. Any goroutine may call its methods.
type Visibility struct {
	cfg VisibilityConfig

	mu sync.Mutex
	// checkpoint is the newest file that a Binlog_checkpoint event has named:
	// everything in files before it has been committed in the engines. Guarded by mu.
	checkpoint string
}

// NewVisibility makes one; it connects when a barrier waits.
func NewVisibility(cfg VisibilityConfig) *Visibility {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Visibility{cfg: cfg}
}

// Checkpoint takes note of a Binlog_checkpoint event.
func (v *Visibility) Checkpoint(file string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if newer(file, v.checkpoint) {
		v.checkpoint = file
	}
}

// newer tells whether log file a is of a later number than b.
func newer(a, b string) bool {
	order, ok := File{Name: a}.Compare(File{Name: b})
	return !ok || order > 0
}

func (v *Visibility) named() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.checkpoint
}

// Forget is called when the source has changed: what was learned was the old one's.
func (v *Visibility) Forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.checkpoint = ""
}

// Barrier makes a barrier for one reading. Its one user closes it.
func (v *Visibility) Barrier() *Barrier { return &Barrier{v: v} }

// Barrier waits for transactions to become visible, over a connection of its own.
type Barrier struct {
	v       *Visibility
	server  *Server
	id      string // who server is, as File.Server has it
	retry   backoff.Backoff
	learner *learner // nil: none is under way
}

const (
	// barrierWait is how long one statement waits, so that a change of the source
	// is noticed.
	barrierWait = time.Second
	// learnWait is how long a look for Binlog_checkpoint events may take: as long as a
	// stall of the source does.
	learnWait = time.Hour
	// stallWarning is how long a wait goes on before it is said, and said again.
	stallWarning = 5 * time.Second
	// snapshotPause is between two looks at the snapshot: doubling up to its limit.
	snapshotPause    = 50 * time.Microsecond
	snapshotPauseMax = 10 * time.Millisecond
)

// Wait returns nil once every transaction in p, which may be none, can be read on the source by
// everybody, or the context's error. Failures of the server and the network are
// waited out: until it is known that the keys may leave, they stay.
func (b *Barrier) Wait(ctx context.Context, p *Pending) error {
	if b.v.cfg.Mode == VisibilityDelay {
		return sleepUntil(ctx, time.UnixMicro(p.Read).Add(b.v.cfg.Delay))
	}
	defer b.stopLearner()
	began := time.Now()
	said := began
	for {
		visible, err := b.try(ctx, p)
		if err == nil && visible {
			b.retry.Reset()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.Close()
			b.v.cfg.Logger.Warn("it cannot be found out what is visible on the source; keys wait", "source", b.v.cfg.Server().Address, "error", err)
			if err := b.retry.Wait(ctx); err != nil {
				return err
			}
			continue
		}
		if now := time.Now(); now.Sub(said) >= stallWarning {
			said = now
			b.v.cfg.Logger.Warn("commits are in the log but cannot be read on the source yet; their keys wait (semi-synchronous replication waits for a replica?)",
				"source", b.v.cfg.Server().Address, "since", now.Sub(began).Round(time.Second), "log", p.File.Name, "pos", p.Start)
		}
	}
}

// Close ends the connection, if there is one.
func (b *Barrier) Close() {
	b.stopLearner()
	if b.server != nil {
		_ = b.server.Close() // it is of no more use
		b.server = nil
	}
}

// try waits for a while. It is false without an error if that was not enough.
func (b *Barrier) try(ctx context.Context, p *Pending) (visible bool, err error) {
	cfg := b.v.cfg.Server()
	if b.server != nil && b.server.cfg.Address != cfg.Address {
		b.Close()
	}
	if b.server == nil {
		if b.server, err = Connect(ctx, cfg); err != nil {
			return false, err
		}
		// A quiet hour must not cost the next commit a reconnect.
		if _, err := b.server.Query(ctx, "SET SESSION wait_timeout = 2147483"); err != nil {
			return false, err
		}
		if b.id, err = b.server.identity(ctx); err != nil {
			return false, err
		}
	}
	// What is visible on one server says nothing of what was read from another, of
	// which the reading may not even know yet.
	if read := p.File.Server; read != "" && read != b.id {
		return false, fmt.Errorf("%s is server %s, and what was read is of server %s", cfg.Address, b.id, read)
	}
	if b.v.cfg.Mode == VisibilityGTID {
		return b.executed(ctx, p)
	}
	return b.snapshot(ctx, p)
}

// executed asks MySQL to wait for the GTIDs.
func (b *Barrier) executed(ctx context.Context, p *Pending) (bool, error) {
	if p.Anonymous {
		// Somebody is changing gtid_mode. What has no GTID cannot be asked for.
		if err := sleepUntil(ctx, time.UnixMicro(p.Read).Add(AnonymousDelay)); err != nil {
			return false, err
		}
	}
	if p.GTIDs.Empty() {
		return true, nil // how far the log was read, without transactions
	}
	rows, err := b.server.QueryWithin(ctx, barrierWait+b.server.cfg.timeout(),
		fmt.Sprintf("SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', %g)", p.GTIDs, barrierWait.Seconds()))
	if err != nil {
		return false, err
	}
	switch {
	case len(rows) != 1 || len(rows[0]) != 1:
		return false, errors.New("WAIT_FOR_EXECUTED_GTID_SET gave nothing")
	case rows[0][0] == "0":
		return true, nil
	case rows[0][0] == "1":
		return false, nil
	default:
		return false, fmt.Errorf("WAIT_FOR_EXECUTED_GTID_SET gave %q", rows[0][0])
	}
}

// snapshot looks at MariaDB's snapshot until it has passed the newest transaction.
// Within one file that is enough if the file, or a later one, has been named by a
// Binlog_checkpoint event; a file that is over has been committed whole only once a
// later one is named, for a rotation moves the snapshot before the engine has
// committed.
func (b *Barrier) snapshot(ctx context.Context, p *Pending) (bool, error) {
	if p.File.Name == "" {
		return true, nil
	}
	pause := snapshotPause
	asked := false
	for until := time.Now().Add(barrierWait); ; {
		file, pos, err := b.look(ctx)
		if err != nil {
			return false, err
		}
		named := b.v.named()
		if visibleAt(p, file, pos, named) {
			return true, nil
		}
		late := time.Now().After(until)
		// The event that names the newest file may lie where the reading does not
		// come: in front of its start, or behind a Log that is full.
		if newer(file, named) && (late || named == "" && !asked) {
			asked = true
			if err := b.learn(ctx, file); err != nil {
				return false, err
			}
		}
		if late {
			return false, nil
		}
		if err := sleepUntil(ctx, time.Now().Add(pause)); err != nil {
			return false, err
		}
		pause = min(2*pause, snapshotPauseMax)
	}
}

// visibleAt tells whether the newest of p is visible when the engine's snapshot is
// at file:pos and named is the newest file named by a checkpoint event.
func visibleAt(p *Pending, file string, pos uint64, named string) bool {
	at := File{Name: p.File.Name}
	ahead, ok := File{Name: named}.Compare(at)
	if !ok {
		return false
	}
	if ahead > 0 {
		return true
	}
	return ahead == 0 && file == at.Name && pos > p.Start
}

// look reads where the engine's snapshot stands.
func (b *Barrier) look(ctx context.Context) (file string, pos uint64, err error) {
	rows, err := b.server.Query(ctx, "SHOW GLOBAL STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return "", 0, err
	}
	found := 0
	for _, r := range rows {
		switch r[0] {
		case "Binlog_snapshot_file":
			file = r[1]
			found++
		case "Binlog_snapshot_position":
			if _, err := fmt.Sscan(r[1], &pos); err != nil {
				return "", 0, fmt.Errorf("status Binlog_snapshot_position %q: %w", r[1], err)
			}
			found++
		}
	}
	if found != 2 {
		return "", 0, errors.New("the server has no Binlog_snapshot_file and _position")
	}
	return file, pos, nil
}

// learner is a look for the newest Binlog_checkpoint event, over a connection of its
// own. While commits stall, MariaDB may hold the lock of its log and keep the look
// waiting. That is let wait for as long as it takes: a connection that is given up
// hangs in the server all the same, and the next one would hang beside it.
type learner struct {
	stop context.CancelFunc
	done chan error // has the outcome, at the end
}

// learn begins to look for the newest Binlog_checkpoint event of the file that is
// being written, unless that is under way. Its error is that of the look before.
func (b *Barrier) learn(ctx context.Context, current string) error {
	if b.learner != nil {
		select {
		case err := <-b.learner.done:
			b.learner.stop()
			b.learner = nil
			if err != nil {
				return err
			}
		default:
			return nil
		}
	}
	ctx, stop := context.WithCancel(ctx)
	l := &learner{stop: stop, done: make(chan error, 1)}
	b.learner = l
	cfg := b.server.cfg
	go func() { l.done <- b.v.learn(ctx, cfg, current) }()
	return nil
}

// stopLearner ends the look that is under way, if there is one.
func (b *Barrier) stopLearner() {
	if b.learner == nil {
		return
	}
	b.learner.stop()
	<-b.learner.done //nolint:errcheck // whatever it is: it was not waited for
	b.learner = nil
}

// learn looks in the head of the file that is being written, where the event usually
// stands, or anywhere in it.
func (v *Visibility) learn(ctx context.Context, cfg ServerConfig, current string) error {
	server, err := Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	const head = 50                       // events
	rows, err := server.QueryWithin(ctx, learnWait, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' LIMIT %d", current, head))
	if err != nil {
		return err
	}
	for _, r := range rows {
		if len(r) >= 6 && r[2] == "Binlog_checkpoint" {
			v.Checkpoint(r[5])
		}
	}
	if len(rows) < head || !newer(current, v.named()) {
		return nil
	}
	l := NewLive(LiveConfig{Servers: []ServerConfig{cfg}})
	return l.walk(ctx, Position{File: File{Name: current}, Offset: firstOffset}, &checkpoints{v: v, file: current})
}

// checkpoints is a Handler that looks for Binlog_checkpoint events in one file.
type checkpoints struct {
	scanner
	v    *Visibility
	file string
}

func (c *checkpoints) File(f File) error {
	if f.Name != c.file {
		return ErrStop
	}
	return nil
}
func (c *checkpoints) Begin(*Transaction) error { return nil }
func (c *checkpoints) End(*Transaction) error   { return nil }

func (c *checkpoints) Checkpoint(file string) error {
	c.v.Checkpoint(file)
	if file == c.file {
		return ErrStop
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Visibility chooses how it can be known on this server what is visible: asked is
// the configuration's word (auto, gtid, snapshot, delay or off). It gives 0 for
// off, and why it chose what it did.
func (s *Settings) Visibility(asked string) (mode VisibilityMode, why string, err error) {
	setup := func(what, mend string) error {
		return &SetupError{Source: s.Address, What: "visibility " + asked + ": " + what, Mend: mend}
	}
	switch asked {
	case "off":
		return 0, "as configured: keys may leave before their commit can be read", nil
	case "delay":
		return VisibilityDelay, "as configured", nil
	case "gtid":
		if s.Flavor != MySQL {
			return 0, "", setup("that is MySQL's; this is a MariaDB server", "visibility: snapshot")
		}
		if s.GTIDMode != "ON" {
			return 0, "", setup("gtid_mode is "+s.GTIDMode, "SET GLOBAL gtid_mode = ON, in the manual's steps (OFF_PERMISSIVE, ON_PERMISSIVE, ON), or visibility: delay:50ms")
		}
		return VisibilityGTID, "as configured", nil
	case "snapshot":
		if s.Flavor != MariaDB {
			return 0, "", setup("that is MariaDB's; this is a MySQL server", "visibility: gtid")
		}
		return VisibilitySnapshot, "as configured", nil
	}
	switch {
	case s.Flavor == MariaDB:
		return VisibilitySnapshot, "MariaDB tells how far its engine's snapshot has come", nil
	case s.GTIDMode == "ON":
		return VisibilityGTID, "gtid_mode is ON", nil
	default:
		return VisibilityDelay, "gtid_mode is " + s.GTIDMode + ", so it cannot be known what is visible; turn GTIDs on for a true barrier", nil
	}
}
