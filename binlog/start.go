package binlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// Resolve turns a point that a person named into a position on the server. Where
// the server has GTIDs the position has the whole set: a start by file, offset or
// time reads the file's head and scans the file up to there. now is where the log
// ends when Resolve is called.
func (l *Live) Resolve(ctx context.Context, point Point) (Position, error) {
	server, err := Connect(ctx, l.Server())
	if err != nil {
		return Position{}, err
	}
	defer func() { _ = server.Close() }()
	settings, err := server.Settings(ctx)
	if err != nil {
		return Position{}, err
	}
	if err := settings.Check(); err != nil {
		return Position{}, err
	}
	pos, err := l.resolve(ctx, server, settings, point)
	if err != nil {
		return Position{}, fmt.Errorf("find position %s: %w", point, err)
	}
	pos.File.Server = settings.ID
	if !settings.GTIDs {
		pos.GTIDs = nil
	}
	return pos, nil
}

func (l *Live) resolve(ctx context.Context, server *Server, settings *Settings, point Point) (Position, error) {
	switch point.Kind {
	case PointNow:
		return server.End(ctx)
	case PointGTID:
		if !settings.GTIDs {
			return Position{}, fmt.Errorf("%s has no GTIDs (gtid_mode); use file:NAME:OFFSET", settings.Address)
		}
		set := point.GTIDs.Clone()
		if set.Empty() {
			set = NewGTIDSet(settings.Flavor)
		}
		if set.Flavor() != settings.Flavor {
			return Position{}, fmt.Errorf("%s is a %s server, the set is %s's", settings.Address, settings.Flavor, set.Flavor())
		}
		return Position{GTIDs: set}, nil
	}
	logs, err := server.Logs(ctx)
	if err != nil {
		return Position{}, err
	}
	switch point.Kind {
	case PointOldest:
		return l.scan(ctx, Position{File: File{Name: logs[0]}, Offset: firstOffset}, func(*Transaction) bool { return true })
	case PointFile:
		size, err := server.hasFile(ctx, point)
		if err != nil {
			return Position{}, err
		}
		if point.Offset > uint64(size) {
			return Position{}, &GapError{Source: settings.Address, Position: Position{File: File{Name: point.File}, Offset: point.Offset},
				What: fmt.Sprintf("its %s ends at offset %d", point.File, size)}
		}
		return l.scan(ctx, Position{File: File{Name: point.File}, Offset: firstOffset}, func(t *Transaction) bool { return t.End > point.Offset })
	case PointTime:
		// The last file made before that time may hold the first later event.
		from, err := l.lastHead(ctx, server, logs, func(head Position) bool { return !head.File.Created.After(point.Time) })
		if err != nil {
			return Position{}, err
		}
		return l.scan(ctx, Position{File: File{Name: from.File.Name}, Offset: firstOffset}, func(t *Transaction) bool { return !time.UnixMicro(t.Time).Before(point.Time) })
	}
	return Position{}, errors.New("no position is given")
}

// lastHead is the position at the head of the last log file for which holds says so, as
// it does for all before; or at the first one's.
func (l *Live) lastHead(ctx context.Context, server *Server, logs []string, holds func(head Position) bool) (Position, error) {
	var failed error
	i := sort.Search(len(logs), func(i int) bool {
		if failed != nil {
			return true
		}
		head, err := l.at(server).head(ctx, logs[i])
		failed = err
		return err == nil && !holds(head)
	})
	if failed != nil {
		return Position{}, failed
	}
	return l.at(server).head(ctx, logs[max(i-1, 0)])
}

// Holding is the head of the log file that holds the first transaction which is not in
// a set of GTIDs: where a dump by that set begins to be read.
func (l *Live) Holding(ctx context.Context, set *GTIDSet) (Position, error) {
	server, err := Connect(ctx, l.Server())
	if err != nil {
		return Position{}, err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	logs, err := server.Logs(ctx)
	if err != nil {
		return Position{}, err
	}
	return l.lastHead(ctx, server, logs, func(head Position) bool { return set.Covers(head.GTIDs) })
}

// CheckSet is an error unless the server has executed all of a set of GTIDs that a
// person named, and still has what follows it. It says what the server has instead.
func (l *Live) CheckSet(ctx context.Context, set *GTIDSet) error {
	server, err := Connect(ctx, l.Server())
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	executed, purged, err := server.executed(ctx)
	if err != nil {
		return err
	}
	if missing := executed.Missing(set); !missing.Empty() {
		return fmt.Errorf("%s has not executed all of gtid:%s: missing %s; it has executed gtid:%s, where now begins",
			server.cfg.Address, set, missing, executed)
	}
	if server.Flavor == MariaDB {
		// What it has purged stands at the head of what it has not.
		logs, err := server.Logs(ctx)
		if err != nil {
			return err
		}
		head, err := l.at(server).head(ctx, logs[0])
		if err != nil {
			return err
		}
		purged = head.GTIDs
	}
	if missing := set.Missing(purged); !missing.Empty() {
		return fmt.Errorf("%s has purged some of what follows gtid:%s: missing %s; its log begins behind gtid:%s, where oldest begins",
			server.cfg.Address, set, missing, purged)
	}
	return nil
}

// HasFile is a *GapError if a point names a file that the server does not have. What
// has no file is fine.
func (l *Live) HasFile(ctx context.Context, point Point) error {
	if point.Kind != PointFile {
		return nil
	}
	server, err := Connect(ctx, l.Server())
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	_, err = server.hasFile(ctx, point)
	return err
}

// hasFile gives the size of the file that a point names.
func (s *Server) hasFile(ctx context.Context, point Point) (size int64, err error) {
	logs, err := s.logFiles(ctx)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(logs, func(log logFile) bool { return log.name == point.File })
	if i < 0 {
		return 0, &GapError{Source: s.cfg.Address, Position: Position{File: File{Name: point.File}, Offset: point.Offset},
			What: fmt.Sprintf("it has the files %s to %s, where oldest and now are", logs[0].name, logs[len(logs)-1].name)}
	}
	return logs[i].size, nil
}

// scan reads one file from its head and gives the position in front of the first
// transaction for which stop says so, at its beginning (End is 0 then) or at its
// end; or at the file's or the log's end.
func (l *Live) scan(ctx context.Context, from Position, stop func(*Transaction) bool) (Position, error) {
	return l.scanWith(ctx, &scanner{stop: stop, from: from})
}

// head gives the position at the head of a log file, of which it reads nothing else:
// what follows may be something that the server does not send.
func (l *Live) head(ctx context.Context, name string) (Position, error) {
	return l.scanWith(ctx, &scanner{
		stop: func(*Transaction) bool { return true }, onlyHead: true,
		from: Position{File: File{Name: name}, Offset: firstOffset},
	})
}

func (l *Live) scanWith(ctx context.Context, s *scanner) (Position, error) {
	if err := l.walk(ctx, s.from, s); err != nil {
		return Position{}, err
	}
	if s.at.File.Name == "" {
		s.at = s.from
	}
	s.at.GTIDs = s.set
	return s.at, nil
}

// walk reads from a place to the log's end, or until h has enough.
func (l *Live) walk(ctx context.Context, from Position, h Handler) error {
	cfg := l.cfg
	cfg.Servers = []ServerConfig{l.Server()}
	cfg.ServerID = freshServerID()
	cfg.ToEnd, cfg.Patient, cfg.Connected = true, false, nil
	return NewLive(cfg).Run(ctx, &from, h)
}

// freshServerID is an id for a dump that must not end another's.
func freshServerID() uint32 { return rand.Uint32() | 1<<31 }

// scanner is the Handler of scan.
type scanner struct {
	stop func(*Transaction) bool
	from Position
	// onlyHead: it ends with the set that stands at the file's head.
	onlyHead bool

	set  *GTIDSet
	file File
	at   Position
}

func (s *scanner) File(f File) error {
	if f.Name != s.from.File.Name {
		return ErrStop
	}
	s.file = f
	if s.at.File.Name == "" {
		s.at = Position{File: f, Offset: firstOffset}
	}
	s.at.File = f
	return nil
}

func (s *scanner) Previous(set *GTIDSet) error {
	if s.set == nil {
		s.set = set
	}
	if s.onlyHead {
		return ErrStop
	}
	return nil
}

func (s *scanner) Begin(t *Transaction) error {
	if s.stop(t) {
		return ErrStop
	}
	return nil
}

func (s *scanner) End(t *Transaction) error {
	if s.stop(t) {
		return ErrStop
	}
	if s.set != nil && !t.GTID.IsZero() {
		if err := s.set.Add(t.GTID); err != nil {
			return err
		}
	}
	s.at.Offset = t.End
	return nil
}

func (s *scanner) Statement(*Statement) error { return nil }
func (s *scanner) Table(*Table) (bool, error) { return false, nil }
func (s *scanner) Rows(*Rows) error           { return nil }
func (s *scanner) Broken() error              { return nil }
func (s *scanner) Moved() (Position, error)   { return s.at, nil }
func (s *scanner) Checkpoint(string) error    { return nil }
func (s *scanner) Idle(uint64) error          { return nil }
func (s *scanner) Warn(Warning)               {}
