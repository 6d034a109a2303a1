package binlog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/mcsqueal/mcsqueal/backoff"
)

// ErrStop is what a Handler returns to end a reading: Run then returns nil.
var ErrStop = errors.New("the reading is to stop")

// GapError says that the source no longer has, or never had, what follows a
// position. Going on would skip transactions in silence.
type GapError struct {
	Source   string
	Position Position
	What     string
	Err      error
}

func (e *GapError) Error() string {
	s := fmt.Sprintf("gap: %s does not have what follows %s: %s", e.Source, e.Position, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *GapError) Unwrap() error { return e.Err }

// LiveConfig configures a Live. Its fields are read only.
type LiveConfig struct {
	Server ServerConfig
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
	Logger    *slog.Logger
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
}

// NewLive makes a Live; it connects in Run.
func NewLive(cfg LiveConfig) *Live {
	l := &Live{cfg: cfg, heartbeat: cfg.Heartbeat}
	if l.heartbeat <= 0 {
		l.heartbeat = 5 * time.Second
	}
	if l.cfg.Logger == nil {
		l.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l.worked = cfg.Patient
	return l
}

// Run reads from pos on and hands what it finds to h; pos moves past each
// transaction as soon as h has taken its End, so that a later Run goes on there.
// When the connection breaks it connects again, with growing pauses, and the
// transaction that was interrupted comes again from its start, after h.Broken.
//
// It returns nil at the log's end (ToEnd) or when h says ErrStop, h's error as it
// is, the context's cause when that ends it, a *GapError when the source no
// longer has what follows pos, a *SetupError when it is not set up for being
// read, and a *CorruptError for events that cannot be read. Failures of the
// network, and of a server that has once delivered, are tried again for ever.
func (l *Live) Run(ctx context.Context, pos *Position, h Handler) error {
	p := &parser{h: h}
	retry := backoff.Backoff{Max: 5 * time.Second}
	for {
		err := l.dump(ctx, pos, p, &retry)
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
		if gap := l.gap(*pos, lost.err); gap != nil {
			return gap
		}
		if !l.worked {
			return lost.err
		}
		if err := p.reset(); err != nil {
			return err
		}
		l.cfg.Logger.Warn("the source is lost; connecting again", "source", l.cfg.Server.Address, "position", pos.String(), "error", lost.err)
		if err := retry.Wait(ctx); err != nil {
			return err
		}
	}
}

// lostError wraps what ended a connection, to tell it from what a handler says.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// gap tells whether the server said that it cannot go on from pos.
func (l *Live) gap(pos Position, err error) error {
	var my *mysql.MyError
	if errors.As(err, &my) && my.Code == errFatalReadingLog {
		return &GapError{Source: l.cfg.Server.Address, Position: pos.Clone(), What: "the server refuses to go on from there", Err: my}
	}
	return nil
}

// dump reads over one connection, until it ends.
func (l *Live) dump(ctx context.Context, pos *Position, p *parser, retry *backoff.Backoff) error {
	server, err := Connect(ctx, l.cfg.Server)
	if err != nil {
		return &lostError{err}
	}
	defer func() { _ = server.Close() }()
	settings, err := server.Settings(ctx)
	if err != nil {
		return &lostError{err}
	}
	if err := settings.Check(l.cfg.Server.Address); err != nil {
		return err
	}
	if l.cfg.Connected != nil {
		if err := l.cfg.Connected(settings); err != nil {
			return err
		}
	}
	if err := checkIdentity(l.cfg.Server.Address, *pos, settings); err != nil {
		return err
	}
	raw, err := server.startDump(ctx, dumpRequest{
		serverID: l.cfg.ServerID, from: *pos, heartbeat: l.heartbeat, toEnd: l.cfg.ToEnd, settings: settings,
	})
	if err != nil {
		return &lostError{err}
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	d := newDump(raw, l.cfg.Server.Address, 2*l.heartbeat+time.Second)
	d.skim = p.skim
	d.offset = pos.Offset
	r := &liveReading{live: l, dump: d, parser: p, pos: pos, id: settings.ID, retry: retry}
	return r.run()
}

// checkIdentity refuses to go on by file and offset on another server than the
// one they are of: the same name there is another log.
func checkIdentity(source string, pos Position, s *Settings) error {
	if pos.GTIDs != nil && s.GTIDs || pos.File.Server == "" || s.ID == "" || pos.File.Server == s.ID {
		return nil
	}
	return &GapError{Source: source, Position: pos.Clone(),
		What: fmt.Sprintf("the position is of server %s, this is server %s, and without GTIDs a place in one's log says nothing of the other's", pos.File.Server, s.ID)}
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
			case err == io.EOF:
				return r.idle()
			}
			return &lostError{err}
		}
		switch e.kind {
		case typeRotate:
			name, offset, err := rotation(&e)
			if err != nil {
				return r.parser.fail(&e, err)
			}
			r.name, r.dump.offset = name, offset
		case typeFormatDescription:
			r.file = File{Name: r.name, Server: r.id, Created: r.dump.format.created}
			if err := r.parser.enter(r.file); err != nil {
				return err
			}
		case typeHeartbeat:
			// It says how far the log has been walked, skipped transactions included.
			if e.logPos != 0 && string(e.body) == r.name && r.parser.state == idle {
				if end := r.dump.offset&^(1<<32-1) | uint64(e.logPos); end > r.dump.offset {
					r.dump.offset = end
				}
			}
		default:
			err := r.parser.event(&e)
			if r.parser.ended {
				r.parser.ended = false
				t := &r.parser.tx
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
			r.retry.Reset()
		}
	}
}

// idle: all that has arrived has been handed over. Between transactions the
// position moves with the log, also over what held none.
func (r *liveReading) idle() error {
	if r.parser.state == idle && r.file.Name != "" && r.name == r.file.Name {
		r.pos.File, r.pos.Offset = r.file, max(r.dump.offset, firstOffset)
	}
	return r.parser.h.Idle(r.dump.offset)
}

// dumpRequest is what a dump is asked for with.
type dumpRequest struct {
	serverID  uint32
	from      Position
	heartbeat time.Duration
	toEnd     bool
	settings  *Settings
}

// startDump turns the connection into a dump and gives the socket it comes on.
func (s *Server) startDump(ctx context.Context, r dumpRequest) (net.Conn, error) {
	checksum := "NONE"
	if r.settings.Checksum == "CRC32" {
		checksum = "CRC32"
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	uuid := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	set := []string{
		fmt.Sprintf("SET @master_binlog_checksum = '%s', @source_binlog_checksum = '%[1]s'", checksum),
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %[1]d", r.heartbeat.Nanoseconds()),
		// A source that knows this id already ends the older dump.
		fmt.Sprintf("SET @slave_uuid = '%s', @replica_uuid = '%[1]s'", uuid),
	}
	byGTID := r.settings.GTIDs && r.from.GTIDs != nil
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
		return fmt.Errorf("register at %s: %w", s.cfg.Address, s.cfg.explain(rootCause(err)))
	}
	return nil
}
