package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// GapError says that the source no longer has, or never had, what follows a
// position, or that it cannot be found out which keys follow it. Going on would skip
// transactions in silence.
type GapError struct {
	Source   string
	Position Position
	What     string
	// Keys: the log is there, and keys are what is missing.
	Keys bool
	// Missing are the transactions that cannot be had, where GTIDs tell.
	Missing *GTIDSet
	Err     error
}

func (e *GapError) Error() string {
	s := fmt.Sprintf("gap: %s does not have what follows %s: %s", e.Source, e.Position, e.What)
	if e.Keys {
		s = fmt.Sprintf("gap: keys are missing at %s: %s", e.Position, e.What)
	}
	if !e.Missing.Empty() {
		s += ": missing " + e.Missing.String()
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *GapError) Unwrap() error { return e.Err }

// Verify tells whether the source has what follows a position: a *GapError says
// that none of its servers has, any other error that it could not be found out. Any
// goroutine may call it.
func (l *Live) Verify(ctx context.Context, pos Position) error {
	var gap *GapError
	var errs []error
	n := int32(len(l.cfg.Servers))
	for i, first := int32(0), l.current.Load(); i < n; i++ {
		at := (first + i) % n
		err := l.verifyAt(ctx, l.cfg.Servers[at], pos)
		if err == nil {
			l.current.Store(at)
			return nil
		}
		if !errors.As(err, &gap) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return gap
}

func (l *Live) verifyAt(ctx context.Context, cfg ServerConfig, pos Position) error {
	server, err := Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	settings, err := server.Settings(ctx)
	if err != nil {
		return err
	}
	return l.verify(ctx, server, settings, pos)
}

// verify compares a position with what the server has.
func (l *Live) verify(ctx context.Context, server *Server, settings *Settings, pos Position) error {
	gap := func(what string, missing *GTIDSet) error {
		return &GapError{Source: settings.Address, Position: pos.Clone(), What: what, Missing: missing}
	}
	byGTID := settings.GTIDs && pos.GTIDs != nil
	sameServer := pos.File.Server == "" || settings.ID == "" || pos.File.Server == settings.ID
	if !byGTID && !sameServer {
		return gap(fmt.Sprintf("the position is of server %s, this is server %s, and without GTIDs a place in one's log says nothing of the other's",
			pos.File.Server, settings.ID), nil)
	}
	if byGTID {
		executed, purged, err := server.executed(ctx)
		if err != nil {
			return err
		}
		if missing := executed.Missing(pos.GTIDs); !missing.Empty() {
			return gap("it has not executed all that has been delivered already (its log was reset, it lost the end of its log in a crash, or it is behind)", missing)
		}
		if missing := pos.GTIDs.Missing(purged); !missing.Empty() {
			return gap("it has purged log files that are still needed", missing)
		}
	}
	// A log that was reset uses its GTIDs again, under the same server's name: only
	// its files tell.
	if !sameServer || pos.File.Name == "" {
		return nil
	}
	logs, err := server.Logs(ctx)
	if err != nil {
		return err
	}
	newest := File{Name: logs[len(logs)-1]}
	order, ok := File{Name: pos.File.Name}.Compare(newest)
	if ok && order > 0 || !ok && !byGTID {
		return gap(fmt.Sprintf("its newest log file is %s: its log was reset", newest.Name), nil)
	}
	if !slices.Contains(logs, pos.File.Name) {
		if !byGTID {
			return gap(fmt.Sprintf("it has the log files %s to %s", logs[0], newest.Name), nil)
		}
		// All that was executed at the position stood in files that are gone.
		head, err := l.at(server).head(ctx, logs[0])
		if err != nil {
			return err
		}
		if missing := head.GTIDs.Missing(pos.GTIDs); !missing.Empty() {
			return gap(fmt.Sprintf("its log files begin with %s, in front of which not all was executed that has been delivered: its log was reset", logs[0]), missing)
		}
		return nil
	}
	if pos.File.Created.IsZero() {
		return nil
	}
	head, err := l.at(server).head(ctx, pos.File.Name)
	if err != nil {
		return err
	}
	if !head.File.Created.IsZero() && !head.File.Created.Equal(pos.File.Created) {
		return gap(fmt.Sprintf("its %s was created at %s, the position's at %s: its log was reset",
			pos.File.Name, head.File.Created, pos.File.Created), nil)
	}
	return nil
}

// at is a Live that asks one server and no other.
func (l *Live) at(server *Server) *Live {
	cfg := l.cfg
	cfg.Servers = []ServerConfig{server.cfg}
	return NewLive(cfg)
}

// executed gives what the server has executed, and what of that is no longer in
// its log. For MariaDB that is what its log holds; what it has purged it says when
// a dump is asked for.
func (s *Server) executed(ctx context.Context) (executed, purged *GTIDSet, err error) {
	sql := "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged"
	if s.Flavor == MariaDB {
		sql = "SELECT @@GLOBAL.gtid_binlog_pos, ''"
	}
	rows, err := s.Query(ctx, sql)
	if err != nil {
		return nil, nil, err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return nil, nil, fmt.Errorf("%s: %s gave nothing", s.cfg.Address, sql)
	}
	if executed, err = ParseGTIDSet(s.Flavor, rows[0][0]); err != nil {
		return nil, nil, err
	}
	if purged, err = ParseGTIDSet(s.Flavor, rows[0][1]); err != nil {
		return nil, nil, err
	}
	return executed, purged, nil
}
