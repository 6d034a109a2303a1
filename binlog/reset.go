package binlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// When somebody resets the log under a dump, the server says nothing: the dump stays
// at the end of a file that is gone, and goes on in the next that is begun, whatever
// was written in between. Two things give it away: the file that the server has under
// that name is shorter than what was read of it, or was made at another time (in whole
// seconds), which is looked up now and then while nothing comes; and the head of the
// next file does not know what was read last. A look at a file is a dump of its own,
// which some servers note down each time; so where there are GTIDs the file is looked
// up only when the server has not executed all that was read.

// fileCheck is how often at most the file of an idle dump is looked up.
const fileCheck = 10 * time.Second

// resetWatch looks out for a reset under one dump.
type resetWatch struct {
	// lacks, if set, tells whether the server has not executed all that was read: not
	// yet, or not any more.
	lacks func() (bool, error)
	// made looks up when the server's file of that name was made. It is an error of
	// the server's (1236) when there is none, or none so long.
	made func(name string, read uint64) (time.Time, error)
	// gap makes the error.
	gap func(what string) error
	// warn tells what kept it from finding out.
	warn    func(error)
	checked time.Time
	close   func()
	// last is the GTID that was read last in the present file; before, in the one
	// before it. Zero: none was.
	last, before GTID
}

// enter: another file begins.
func (w *resetWatch) enter() { w.before, w.last = w.last, GTID{} }

// previous compares a file's head, the set of what was executed before it, with what
// was read last of the file before.
func (w *resetWatch) previous(e *event, f File) error {
	g := w.before
	if w.before = (GTID{}); g.IsZero() || w.gap == nil {
		return nil
	}
	var follows bool
	switch e.kind {
	case typePreviousGTIDs:
		set, err := DecodeMySQLGTIDSet(e.body)
		if err != nil {
			return nil //nolint:nilerr // the parser meets it, too, and says so
		}
		follows = set.Contains(g)
	default:
		set, err := DecodeMariaDBGTIDList(e.body)
		if err != nil {
			return nil //nolint:nilerr // the parser meets it, too, and says so
		}
		// Nothing of its domain can have come behind it.
		i, found := findDomain(set.domains, g.Domain)
		follows = found && set.domains[i] == g
	}
	if follows {
		return nil
	}
	return w.gap(fmt.Sprintf("its log file %s does not follow what was read, which ended with %s: its log was reset meanwhile", f.Name, g))
}

// idle looks up the file that is being read, and has been read so far, unless it has
// done so lately.
func (w *resetWatch) idle(f File, read uint64) error {
	if w.made == nil || f.Name == "" || f.Created.IsZero() || time.Since(w.checked) < fileCheck {
		return nil
	}
	w.checked = time.Now()
	if w.lacks != nil {
		lacks, err := w.lacks()
		if err != nil {
			w.warn(err)
		}
		if err != nil || !lacks {
			return nil //nolint:nilerr // it is asked again
		}
	}
	made, err := w.made(f.Name, read)
	var my *mysql.MyError
	switch {
	case errors.As(err, &my) && my.Code == errFatalReadingLog:
		return w.gap(fmt.Sprintf("it no longer has %s, of which %d bytes have been read: its log was reset", f.Name, read))
	case err != nil:
		w.warn(err)
	case !made.IsZero() && !made.Equal(f.Created):
		return w.gap(fmt.Sprintf("its %s was created at %s, the one that is being read at %s: its log was reset", f.Name, made, f.Created))
	}
	return nil
}

// watchReset makes the watch of a dump from a server; of one that only reads to the
// log's end there is none.
func (l *Live) watchReset(ctx context.Context, cfg ServerConfig, settings *Settings, pos *Position) resetWatch {
	if l.cfg.ToEnd {
		return resetWatch{} // it reads what is there, and is gone
	}
	w := resetWatch{
		checked: time.Now(), // settle has verified it
		made: func(name string, read uint64) (time.Time, error) {
			made, err := fileMade(ctx, cfg, settings, name, read)
			if ctx.Err() != nil {
				return time.Time{}, nil //nolint:nilerr // the reading ends
			}
			return made, err
		},
		gap: func(what string) error {
			return &lostError{&GapError{Source: cfg.Address, Position: pos.Clone(), What: what}}
		},
		warn: func(err error) {
			l.cfg.Logger.Warn("it cannot be found out whether the log was reset", "source", cfg.Address, "error", err)
		},
	}
	if settings.GTIDs && pos.GTIDs != nil {
		k := &known{cfg: cfg}
		w.lacks = func() (bool, error) { return k.lacks(ctx, pos.GTIDs) }
		w.close = k.close
	}
	return w
}

// known asks what a server has executed, over a connection that it keeps.
type known struct {
	cfg    ServerConfig
	server *Server
}

func (k *known) lacks(ctx context.Context, read *GTIDSet) (lacks bool, err error) {
	if k.server == nil {
		if k.server, err = Connect(ctx, k.cfg); err != nil {
			return false, err
		}
	}
	executed, _, err := k.server.executed(ctx)
	if err != nil {
		k.close()
		return false, err
	}
	return !executed.Covers(read), nil
}

func (k *known) close() {
	if k.server != nil {
		_ = k.server.Close() // it has said what was asked
		k.server = nil
	}
}

// fileMade reads when a log file was made from its head, over a connection of its
// own. It waits for no lock of the server's log. The server refuses what is asked for
// behind the file's end, so it is asked for what follows the bytes that were read,
// where the dump protocol can name that place; the head comes first all the same.
func fileMade(ctx context.Context, cfg ServerConfig, settings *Settings, name string, read uint64) (time.Time, error) {
	if read < firstOffset || read > math.MaxUint32 {
		read = firstOffset
	}
	server, err := Connect(ctx, cfg)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	raw, err := server.startDump(ctx, dumpRequest{
		serverID: freshServerID(), from: Position{File: File{Name: name}, Offset: read},
		heartbeat: time.Second, toEnd: true, settings: settings,
	})
	if err != nil {
		return time.Time{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	d := newDump(raw, cfg.Address, cfg.timeout())
	var e event
	for {
		if err := d.next(&e); err != nil {
			return time.Time{}, err
		}
		if e.kind == typeFormatDescription {
			return d.format.created, nil
		}
	}
}
