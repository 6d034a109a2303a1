package binlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/mcsqueal/mcsqueal/backoff"
)

// ErrStop is what a Handler returns to end a reading: Run then returns nil.
var ErrStop = errors.New("the reading is to stop")

// LiveConfig configures a Live. Its fields are read only.
type LiveConfig struct {
	// Servers are one at least; the others are failed over to, by GTID.
	Servers []ServerConfig
	// FailoverWait is how long a server that has the position is looked for, once one
	// was reached and none has, before that is a gap. 0: 30 s.
	FailoverWait time.Duration
	// ServerID is the id this reading registers with, as a replica does. A source
	// ends the older of two dumps with the same one, so every reading needs its own.
	ServerID uint32
	// Heartbeat is how often an idle source says that it is alive. 0: 5 s. Two
	// missed are an error and a reconnect.
	Heartbeat time.Duration
	// ToEnd: read to where the log ends, and return, instead of waiting for more.
	ToEnd bool
	// Patient: at the first connection, too, failures of the network are waited out.
	Patient bool
	// Connected, if set, is called after each connect, before the dump starts, with
	// what the server says of itself; its error ends the reading.
	Connected func(*Settings) error
	Metrics   *Metrics     // nil: not counted
	Logger    *slog.Logger // nil: discarded
}

// Live reads a server's log as a replica does, over one dump connection at a
// time, and reconnects for as long as that may help. One goroutine may call Run
// at a time.
type Live struct {
	cfg       LiveConfig
	heartbeat time.Duration
	// worked: a dump has delivered once, so the set-up is right and what fails
	// later is waited out.
	worked bool
	// delivered counts the dumps that have delivered something.
	delivered int
	// lastID is the server that was read last; moving: another is to be read, or it
	// lacks what was read of it.
	lastID string
	moving bool
	// byPlace: the next dump is asked for by file and offset, though there are GTIDs.
	byPlace bool
	current atomic.Int32 // index into cfg.Servers
	watched
	// sqlMode and charset are the defaults of the server that is read.
	sqlMode, charset string
	// redefined is what has been found of changed definitions; of the goroutine in Run.
	redefined redefinitions
	// lookup is the connection on which Describe asks, nil while there is none; of the
	// goroutine in Run.
	lookup *Server
	read   atomic.Int64
}

// BytesRead is how many bytes of the log have come so far. Any goroutine may call
// it.
func (l *Live) BytesRead() int64 { return l.read.Load() }

// Defaults gives @@sql_mode and @@character_set_server of the server that is being read,
// as they were when its dump began: how its sessions read their statements where the
// log does not say it. It is called within Run.
func (l *Live) Defaults() (sqlMode, charset string) { return l.sqlMode, l.charset }

// Tailing tells whether a dump is open that has delivered something. Any goroutine may
// call it.
func (l *Live) Tailing() bool { return l.tailing.Load() }

// NewLive makes a Live; it connects in Run.
func NewLive(cfg LiveConfig) *Live {
	l := &Live{cfg: cfg, heartbeat: cfg.Heartbeat}
	if l.heartbeat <= 0 {
		l.heartbeat = 5 * time.Second
	}
	if l.cfg.Logger == nil {
		l.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if l.cfg.Metrics == nil {
		l.cfg.Metrics = NewMetrics(nil)
	}
	l.worked = cfg.Patient
	return l
}

// Server is the server that is being read, or tried. Any goroutine may call it.
func (l *Live) Server() ServerConfig { return l.cfg.Servers[l.current.Load()] }

// next turns to the next server.
func (l *Live) next() { l.current.Store((l.current.Load() + 1) % int32(len(l.cfg.Servers))) }

// Run reads from pos on and hands what it finds to h; pos moves past each
// transaction as soon as h has taken its End, so that a later Run goes on there.
// When the connection breaks it connects again, with growing pauses, to the next
// server that has the position, and the transaction that was interrupted comes
// again from its start, after h.Broken. When the server is another one, or has lost
// what had been read of it, h.Moved says where to go on.
//
// It returns nil at the log's end (ToEnd) or when h says ErrStop, h's error as it
// is, the context's cause when that ends it, a *GapError when no server has what
// follows pos, a *SetupError when the source is not set up for being read, and a
// *CorruptError for events that cannot be read. Failures of the network, and of a
// server that has once delivered, are tried again for ever.
func (l *Live) Run(ctx context.Context, pos *Position, h Handler) error {
	p := &parser{h: h}
	retry := backoff.Backoff{Max: 5 * time.Second}
	// A dump that another has ended, since both are called the same, gives way for longer:
	// MariaDB takes a while to begin the other, which would never come to read anything.
	giveWay := backoff.Backoff{Min: 2 * time.Second, Max: 5 * time.Second}
	var lacking time.Time // since when servers were reached and none had the position
	for {
		began := l.delivered
		err := l.dump(ctx, pos, p, &retry)
		if l.delivered != began {
			lacking = time.Time{}
		}
		var lost *lostError
		switch {
		case err == nil, errors.Is(err, ErrStop):
			return nil
		case ctx.Err() != nil:
			_ = p.reset() // the reading ends with the context's cause
			return context.Cause(ctx)
		case !errors.As(err, &lost):
			return err
		}
		var gap *GapError
		if errors.As(lost.err, &gap) {
			if lacking.IsZero() {
				lacking = time.Now()
			}
			if len(l.cfg.Servers) == 1 && !l.moving || time.Since(lacking) >= l.failoverWait() {
				return gap
			}
		} else if len(l.cfg.Servers) == 1 && !l.byPlace && (!l.worked || l.delivered == 0 && errors.As(lost.err, new(*SetupError))) {
			return lost.err // a privilege that no dump has had yet does not come by waiting
		}
		if err := p.reset(); err != nil {
			return err
		}
		l.cfg.Metrics.lost.Inc()
		l.lost.Store(&loss{lost.err, time.Now()})
		address := l.Server().Address
		l.next()
		lines := []any{"source", address, "position", pos.String(), "error", lost.err}
		if next := l.Server().Address; next != address {
			lines = append(lines, "next", next)
		}
		l.cfg.Logger.Warn("the source is lost; connecting again", lines...)
		wait := &retry
		if errors.Is(lost.err, errNamesake) {
			wait = &giveWay
		}
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}

func (l *Live) failoverWait() time.Duration {
	if l.cfg.FailoverWait > 0 {
		return l.cfg.FailoverWait
	}
	return 30 * time.Second
}

// lostError wraps what ended a connection, to tell it from what a handler says.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// dump reads over one connection, until it ends.
func (l *Live) dump(ctx context.Context, pos *Position, p *parser, retry *backoff.Backoff) error {
	cfg := l.Server()
	server, err := Connect(ctx, cfg)
	if err != nil {
		return lostOr(err, l.worked || len(l.cfg.Servers) > 1)
	}
	defer func() { _ = server.Close() }() // it is of no more use
	settings, err := server.Settings(ctx)
	if err != nil {
		return &lostError{err}
	}
	if err := settings.Check(); err != nil {
		return err
	}
	l.sqlMode, l.charset = settings.SQLMode, settings.Charset
	l.version.Store(&settings.Version)
	if l.cfg.Connected != nil {
		if err := l.cfg.Connected(settings); err != nil {
			return err
		}
	}
	if err := l.settle(ctx, server, settings, pos, p); err != nil {
		return err
	}
	raw, err := server.startDump(ctx, dumpRequest{
		serverID: l.cfg.ServerID, from: *pos, heartbeat: l.heartbeat, toEnd: l.cfg.ToEnd, settings: settings,
		byPlace: l.byPlace && pos.File.Server == settings.ID,
	})
	if err != nil {
		return &lostError{err}
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	d := newDump(raw, cfg.Address, 2*l.heartbeat+time.Second)
	d.skim, d.read, d.heard = p.skim, &l.read, &l.heard
	d.offset = pos.Offset
	r := &liveReading{
		live: l, dump: d, parser: p, pos: pos, id: settings.ID, retry: retry,
		watch: l.watchReset(ctx, cfg, settings, pos),
	}
	if r.watch.close != nil {
		defer r.watch.close()
	}
	defer l.tailing.Store(false)
	defer l.endLookup()
	err = r.run()
	var my *mysql.MyError
	var lost *lostError
	switch {
	case !errors.As(err, &lost) || !errors.As(err, &my):
	case strings.Contains(my.Message, sameName):
		// It is a fatal error of reading the log to MySQL (1236), too, but the log has
		// everything: no gap.
		return &lostError{fmt.Errorf("%w: another one from %s has server_id %d, too; give one of the daemons another source.server_id, or, where it is derived, another state_dir: %w", errNamesake, cfg.Address, l.cfg.ServerID, my)}
	case my.Code == errFatalReadingLog:
		if l.byPlace = l.anonymous(my, settings, *pos); l.byPlace {
			return &lostError{fmt.Errorf("%s does not go by GTIDs from there, so its place in %s is gone by: %w", cfg.Address, pos.File.Name, my)}
		}
		return &lostError{&GapError{Source: cfg.Address, Position: pos.Clone(), What: "the server refuses to go on from there", Err: my}}
	}
	return err
}

// anonymous tells whether a server refuses to go by GTIDs because of transactions
// without, which may all lie before the position: then its place in the same server's
// log, where it is known, may do. That is so after gtid_mode was turned on.
func (l *Live) anonymous(refusal *mysql.MyError, settings *Settings, pos Position) bool {
	byGTID := settings.GTIDs && pos.GTIDs != nil
	return !l.byPlace && byGTID && settings.Flavor == MySQL && pos.File.Server == settings.ID && pos.File.Name != "" &&
		pos.Offset > 0 && strings.Contains(strings.ToLower(refusal.Message), "anonymous")
}

// lostOr makes a failure one that is waited out, unless nothing has worked yet.
func lostOr(err error, wait bool) error {
	if wait {
		return &lostError{err}
	}
	return err
}

// settle makes sure that the server has what follows the position. A server that
// is another one, or has lost what was read of it, may lack what was not visible
// yet: then the reading goes back to what was.
func (l *Live) settle(ctx context.Context, server *Server, settings *Settings, pos *Position, p *parser) error {
	if l.lastID != "" && settings.ID != l.lastID {
		l.moving = true
	}
	err := l.verify(ctx, server, settings, *pos)
	var gap *GapError
	if err != nil && !errors.As(err, &gap) {
		return &lostError{err}
	}
	if gap == nil && !l.moving || l.lastID == "" {
		if gap != nil {
			return &lostError{gap}
		}
		l.lastID = settings.ID
		return nil
	}
	l.moving = true
	at, err := p.h.Moved()
	if err != nil {
		return err
	}
	*pos = at // whatever comes: the handler has dropped what lay behind
	if err := l.verify(ctx, server, settings, at); err != nil {
		if errors.As(err, &gap) && settings.ID == l.lastID {
			l.moving = false // waiting would not bring back what this server has lost
		}
		return &lostError{err}
	}
	l.cfg.Logger.Warn("the reading goes back to what was visible: the source is another server, or has lost the end of its log",
		"source", settings.Address, "server", settings.ID, "was", l.lastID, "position", at.String())
	l.lastID, l.moving = settings.ID, false
	return nil
}

// liveReading is one connection's worth of reading.
type liveReading struct {
	live   *Live
	dump   *dump
	parser *parser
	pos    *Position
	id     string // the server's identity
	name   string // of the file being read
	file   File
	retry  *backoff.Backoff
	watch  resetWatch
}

func (r *liveReading) run() error {
	var e event
	var fromHandler error
	r.parser.ended = false
	r.dump.idle = func() error {
		fromHandler = r.idle()
		return fromHandler
	}
	for first := true; ; {
		if err := r.dump.next(&e); err != nil {
			switch {
			case fromHandler != nil:
				return fromHandler
			case errors.Is(err, io.EOF) && r.live.cfg.ToEnd:
				return r.idle()
			case errors.Is(err, io.EOF):
				// MariaDB says so when it is shut down.
				err = fmt.Errorf("dump from %s: the server ended it", r.dump.name)
			}
			return &lostError{err}
		}
		switch e.kind {
		case typeRotate:
			name, offset, err := rotation(&e)
			if err != nil {
				return r.parser.fail(&e, err)
			}
			if err := r.parser.interrupted(&e); err != nil {
				return err
			}
			r.name, r.dump.offset = name, offset
		case typeFormatDescription:
			r.file = File{Name: r.name, Server: r.id, Created: r.dump.format.created}
			r.watch.enter()
			if err := r.parser.enter(r.file, r.dump.format.flavor); err != nil {
				return err
			}
		case typeHeartbeat:
			r.live.endLookup()
			// It says how far the log has been walked, skipped transactions included.
			if e.logPos != 0 && string(e.body) == r.name && r.parser.state == idle {
				if end := r.dump.offset&^(1<<32-1) | uint64(e.logPos); end > r.dump.offset {
					r.dump.offset = end
				}
			}
			if err := r.watch.idle(r.file, r.dump.offset); err != nil {
				return err
			}
		case typePreviousGTIDs, typeMariaGTIDList:
			if err := r.watch.previous(&e, r.file); err != nil {
				return err
			}
			if err := r.parser.event(&e); err != nil {
				return err
			}
		default:
			err := r.parser.event(&e)
			if r.parser.ended {
				r.parser.ended = false
				t := &r.parser.tx
				r.watch.last = t.GTID
				if folded := r.pos.Fold(t.GTID, r.file, t.End); folded != nil {
					return folded
				}
			}
			if err != nil {
				return err
			}
		}
		if first {
			first = false
			r.live.worked = true
			r.live.tailing.Store(true)
			r.live.delivered++
			r.live.cfg.Metrics.made.Inc()
			if r.live.delivered > 1 {
				r.live.cfg.Logger.Info("the source's log is read again", "source", r.dump.name, "position", r.pos.String())
			}
			r.retry.Reset()
		}
	}
}

// idle: all that has arrived has been handed over. Between transactions the
// position moves with the log, also over what held none. It does not move into a
// file whose head has not come, nor back: a dump by GTID begins at a file's head,
// and passes in silence what has been executed.
func (r *liveReading) idle() error {
	offset := max(r.dump.offset, firstOffset)
	back, ok := r.pos.behind(r.file, offset)
	if r.parser.state != idle || r.file.Name == "" || r.name != r.file.Name || ok && back {
		return r.parser.h.Idle(0)
	}
	r.pos.File, r.pos.Offset = r.file, offset
	return r.parser.h.Idle(offset)
}

// dumpRequest is what a dump is asked for with.
type dumpRequest struct {
	serverID  uint32
	from      Position
	heartbeat time.Duration
	toEnd     bool
	settings  *Settings
	byPlace   bool // even where there are GTIDs
}

// startDump turns the connection into a dump and gives the socket it comes on.
func (s *Server) startDump(ctx context.Context, r dumpRequest) (net.Conn, error) {
	checksum := "NONE"
	if r.settings.Checksum == "CRC32" {
		checksum = "CRC32"
	}
	// MySQL tells replicas apart by UUID and MariaDB by server id. A source that knows
	// this one already ends the older dump: what a machine that died has left behind.
	uuid := fmt.Sprintf("6d637371-7565-616c-0000-0000%08x", r.serverID) // mcsqueal, and the id
	set := []string{
		fmt.Sprintf("SET @master_binlog_checksum = '%s', @source_binlog_checksum = '%[1]s'", checksum),
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %[1]d", r.heartbeat.Nanoseconds()),
		fmt.Sprintf("SET @slave_uuid = '%s', @replica_uuid = '%[1]s'", uuid),
	}
	byGTID := r.settings.GTIDs && r.from.GTIDs != nil && !r.byPlace
	if s.Flavor == MariaDB {
		// 4: GTIDs are understood (MARIA_SLAVE_CAPABILITY_GTID in sql/log_event.h).
		set = append(set, "SET @mariadb_slave_capability = 4")
		if byGTID {
			set = append(set, fmt.Sprintf("SET @slave_connect_state = '%s', @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0", r.from.GTIDs))
		}
	}
	for _, sql := range set {
		if _, err := s.Query(ctx, sql); err != nil {
			return nil, err
		}
	}
	flags := uint16(0)
	if r.toEnd {
		flags |= dumpNonBlock
	}
	var command []byte
	switch {
	case s.Flavor == MySQL && byGTID:
		encoded, err := r.from.GTIDs.Encode()
		if err != nil {
			return nil, err
		}
		command = dumpGTIDCommand(r.serverID, flags, encoded)
	default:
		offset := max(r.from.Offset, firstOffset)
		if s.Flavor == MariaDB {
			flags |= dumpSendAnnotated
		}
		if byGTID {
			command = dumpCommand(r.serverID, flags, "", firstOffset)
			break
		}
		if offset > 1<<32-1 {
			return nil, fmt.Errorf("the dump protocol cannot name offset %d of %s (past 4 GiB); use GTIDs", offset, r.from.File.Name)
		}
		command = dumpCommand(r.serverID, flags, r.from.File.Name, uint32(offset))
	}
	if err := s.register(ctx, r.serverID); err != nil {
		return nil, err
	}
	if err := s.conn.SetDeadline(time.Now().Add(s.cfg.timeout())); err != nil {
		return nil, err
	}
	s.conn.ResetSequence()
	if err := s.conn.WritePacket(command); err != nil {
		return nil, fmt.Errorf("ask %s for a dump: %w", s.cfg.Address, rootCause(err))
	}
	// From here on the server only sends, so nothing of the dump is in the
	// library's buffer.
	raw := s.conn.Conn.Conn
	return raw, raw.SetDeadline(time.Time{})
}

// register tells the source who reads, so that SHOW REPLICAS lists it.
func (s *Server) register(ctx context.Context, serverID uint32) error {
	const host = "mcsqueal"
	b := make([]byte, 4, 64)
	b = append(b, mysql.COM_REGISTER_SLAVE)
	b = binary.LittleEndian.AppendUint32(b, serverID)
	b = append(b, byte(len(host)))
	b = append(b, host...)
	b = append(b, 0, 0)                   // no user, no password
	b = append(b, 0, 0)                   // port
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // rank; the source's id
	if err := s.conn.SetDeadline(time.Now().Add(s.cfg.timeout())); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s.conn.ResetSequence()
	if err := s.conn.WritePacket(b); err != nil {
		return fmt.Errorf("register at %s: %w", s.cfg.Address, rootCause(err))
	}
	if _, err := s.conn.ReadOKPacket(); err != nil {
		return fmt.Errorf("register at %s: %w", s.cfg.Address, s.explainRegister(ctx, rootCause(err)))
	}
	return nil
}
