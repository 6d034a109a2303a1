package checkpoint

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Place is where a transaction begins, as binlog.Position.Executed asks for it.
type Place struct {
	GTID  binlog.GTID // zero where the log has none
	File  binlog.File
	Start uint64 // offset of its first event in File
}

func (p *Place) executedAt(at *binlog.Position) bool { return at.Executed(p.GTID, p.File, p.Start) }

// behind reports whether p is known to stand behind q in the log. Places of one
// server tell, else the numbers of one source or domain.
func (p *Place) behind(q *Place) bool {
	if order, ok := p.File.Compare(q.File); ok {
		return order > 0 || order == 0 && p.Start > q.Start
	}
	if p.GTID.IsZero() || p.GTID.Seq <= q.GTID.Seq {
		return false
	}
	same := p.GTID.Flavor == q.GTID.Flavor && p.GTID.Domain == q.GTID.Domain
	return same && p.GTID.SID == q.GTID.SID && p.GTID.Tag == q.GTID.Tag
}

// Reach is the stretch of the log within which a cluster may be read for again.
type Reach struct {
	// Saved is the cluster's position in the checkpoint.
	Saved binlog.Position
	// Read is how far the log has been read for it, by whatever reading serves it
	// now, or where one would begin if none does. It may be further than that; the
	// zero Position says that it is not known.
	Read binlog.Position
}

// Spool keeps the keys of prepared XA transactions on disk until the decision on
// each has been acknowledged by everybody: the first promise's part that no position
// can keep, for a position between a PREPARE and its decision lies behind the keys.
//
// Every reading of the log has a [Collector], through which the keys come in; they
// go out by [Spool.Decide]. A reading that meets a PREPARE again stores it again, in
// the same place. Memory does not grow with the keys, only with the transactions
// that are kept, by some 500 bytes each.
//
// Any goroutine may call its methods.
type Spool struct {
	temporary bool
	parent    string // temporary: where dir is to be made

	collectors atomic.Uint64 // made so far
	number     atomic.Uint64 // the last one given out

	mu  sync.Mutex // also held while files get or lose their names, and are appended to
	dir string     // guarded by mu; "" if temporary and not made yet

	// Guarded by mu. Every transaction is in entries, and in one of the others.
	entries   map[identity]*stored // by its PREPARE
	decided   map[identity]*stored // by its decision
	undecided map[binlog.XID][]*stored
}

// stored is a file of the spool. What is in its body never changes.
type stored struct {
	body
	id   identity
	size int64 // of what is whole; a decision is appended there
	// decision is nil as long as there is none.
	decision *decision
}

// identity tells a transaction that prepares or decides an XID from all others. It is
// a hash, since an XID and a file's name may hold any bytes.
type identity [16]byte

func identify(x binlog.XID, p *Place) (id identity) {
	b := make([]byte, 0, 256)
	b = binary.AppendVarint(b, x.Format)
	b = binary.AppendUvarint(b, uint64(x.Global))
	b = binary.AppendUvarint(b, uint64(len(x.Data)))
	b = append(b, x.Data...)
	if !p.GTID.IsZero() {
		// Its place is another on another server, and it is the same transaction.
		b = p.GTID.Append(append(b, 'g'))
	} else {
		b = appendPlace(append(b, 'p'), p)
	}
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}

const (
	keptSuffix = ".xa"
	newSuffix  = ".new"
)

// OpenSpool opens the spool of a daemon in dir, making the directory if need be. The
// caller holds the lock of the state directory that dir is in. What was being stored
// when the last process ended is removed; it is read again. A file that is damaged is
// an error which names it: without it keys would be missing.
func OpenSpool(dir string) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the spool of XA transactions: %w", mended(err))
	}
	if err := giveDir(dir); err != nil {
		return nil, fmt.Errorf("make the spool of XA transactions: %w", err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("make the spool of XA transactions: %w", mended(err))
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the spool of XA transactions: %w", err)
	}
	s := newSpool()
	s.dir = dir
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch {
		case !f.Type().IsRegular():
		case strings.HasSuffix(path, newSuffix):
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("open the spool of XA transactions: %w", err)
			}
		case strings.HasSuffix(path, keptSuffix):
			e, err := load(path)
			if err != nil {
				return nil, fmt.Errorf("read the keys of a prepared XA transaction from %s: %w; restore the file from a copy, or move it away: "+
					"its transaction's keys are then missing, as is said when its decision comes", path, err)
			}
			s.put(e)
			s.number.Store(max(s.number.Load(), e.number))
		}
	}
	return s, nil
}

// TemporarySpool is a spool for a replay or a dry run. It begins empty, needs no lock
// and survives nothing; its files, if there come to be any, are in a directory of
// their own below parent (the system's for temporary files if that is ""), which
// Close removes.
func TemporarySpool(parent string) *Spool {
	s := newSpool()
	s.temporary, s.parent = true, parent
	return s
}

func newSpool() *Spool {
	return &Spool{
		entries:   make(map[identity]*stored),
		decided:   make(map[identity]*stored),
		undecided: make(map[binlog.XID][]*stored),
	}
}

// Close gives up what the spool holds in memory, and a temporary one's files. The
// readings have ended, and aborted what their collectors held.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.temporary || s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the spool of XA transactions: %w", err)
	}
	return nil
}

// load reads a file whole, for it must be known now whether it can be read later.
func load(path string) (*stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	e := new(stored)
	info, err := f.Stat()
	if err == nil {
		e, err = read(f, info.Size(), func(Statement, []byte) error { return nil })
	}
	if err == nil && filepath.Base(path) != e.id.name() {
		err = errors.New("it holds the keys of another transaction than its name says")
	}
	return e, errors.Join(err, f.Close())
}

func read(r io.Reader, size int64, key func(s Statement, key []byte) error) (*stored, error) {
	rr, err := newRecordReader(r, size)
	if err != nil {
		return nil, err
	}
	if err := rr.each(key); err != nil {
		return nil, err
	}
	e := &stored{body: rr.body}
	e.id = identify(e.xid, &e.prepare)
	e.decision, e.size, err = rr.decision()
	return e, err
}

func (id identity) name() string { return hex.EncodeToString(id[:]) + keptSuffix }

func (s *Spool) path(e *stored) string { return filepath.Join(s.dir, e.id.name()) }

// put and take keep the indexes; the caller holds mu, or is alone.

func (s *Spool) put(e *stored) {
	s.entries[e.id] = e
	if e.decision != nil {
		s.decided[identify(e.xid, &e.decision.place)] = e
	} else {
		s.undecided[e.xid] = append(s.undecided[e.xid], e)
	}
}

func (s *Spool) take(e *stored) {
	delete(s.entries, e.id)
	if e.decision != nil {
		delete(s.decided, identify(e.xid, &e.decision.place))
		return
	}
	rest := slices.DeleteFunc(s.undecided[e.xid], func(o *stored) bool { return o == e })
	if len(rest) > 0 {
		s.undecided[e.xid] = rest
	} else {
		delete(s.undecided, e.xid)
	}
}

// store gives a file, which holds e's body, its name, in place of an earlier one of
// the same PREPARE, whose decision it takes over.
func (s *Spool) store(e *stored, f *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.entries[e.id]
	if old != nil && old.decision != nil {
		b := appendDecision(nil, e.sum, old.decision)
		if _, err := f.Write(b); err != nil {
			return err
		}
		if err := s.sync(f); err != nil {
			return err
		}
		e.decision = old.decision
		e.size += int64(len(b))
	}
	if err := os.Rename(f.Name(), s.path(e)); err != nil {
		return err
	}
	if old != nil {
		s.take(old)
	}
	s.put(e)
	if s.temporary {
		return nil
	}
	return syncDir(s.dir)
}

// Decide takes note of a decision on an XA transaction, XA COMMIT or XA ROLLBACK, and
// returns the one that it is about; nil if that was not prepared as far as the spool
// knows, that is before reading began. After a commit the keys of such a one are
// missing, which the caller must say; after a rollback nothing is. A decision that is
// read again is about the same transaction again, as long as that is kept.
//
// An XID may be used again once it has been decided upon. A decision that is new is
// about the last PREPARE of its XID before it in the log, if that has no decision.
//
// When it returns, the decision survives a crash: another PREPARE of the XID can come.
func (s *Spool) Decide(t *binlog.Transaction, f binlog.File) (*Entry, error) {
	d := &decision{outcome: t.Outcome, place: Place{GTID: t.GTID, File: f, Start: t.Start}}
	if t.Outcome != binlog.XACommitted && t.Outcome != binlog.XARolledBack {
		return nil, fmt.Errorf("decide on XA transaction %s: the transaction at %s:%d is %s, no decision", t.XID, f.Name, t.Start, t.Outcome)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.match(t.XID, &d.place)
	if e == nil {
		return nil, nil //nolint:nilnil // an answer: it is not known
	}
	if e.decision == nil || e.decision.outcome != d.outcome {
		if err := s.decide(e, d); err != nil {
			return nil, fmt.Errorf("keep the decision on XA transaction %s: %w", t.XID, err)
		}
	}
	return &Entry{
		XID: e.xid, Prepare: e.prepare, Keys: e.keys,
		rolledBack: d.outcome == binlog.XARolledBack, path: s.path(e), size: e.body.size,
	}, nil
}

// match finds what the decision at place is about.
func (s *Spool) match(x binlog.XID, place *Place) *stored {
	if e := s.decided[identify(x, place)]; e != nil {
		return e
	}
	// Several are undecided where one reading is behind another, or where decisions
	// were never read: at a gap, or because a source is gone.
	var last *stored
	for _, e := range s.undecided[x] {
		if !e.prepare.behind(place) && (last == nil || e.after(last)) {
			last = e
		}
	}
	return last
}

// after orders the PREPAREs of one XID: by the log, and where that does not tell by
// when they were stored.
func (e *stored) after(o *stored) bool {
	return e.prepare.behind(&o.prepare) || !o.prepare.behind(&e.prepare) && e.number > o.number
}

// decide appends a decision to e's file; one whose outcome is Prepared takes the last
// one back. What a crash left of another is written over.
func (s *Spool) decide(e *stored, d *decision) error {
	f, err := os.OpenFile(s.path(e), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	b := appendDecision(nil, e.sum, d)
	if err = f.Truncate(e.size); err == nil {
		_, err = f.WriteAt(b, e.size)
	}
	if err == nil {
		err = s.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	s.take(e)
	e.size += int64(len(b))
	if e.decision = d; d.outcome == binlog.Prepared {
		e.decision = nil
	}
	s.put(e)
	return nil
}

// Forget removes the transactions that no cluster will need again: those whose
// decision each cluster either has executed in the checkpoint, or will meet only
// behind the PREPARE, since not even that has been read for it. So a cluster that is
// away for long keeps nothing here. reaches has one for every cluster; a spool without
// clusters keeps what is undecided. Nothing else may use the positions meanwhile.
//
// Call it after the checkpoint has been saved. An error leaves the rest for the next
// call.
func (s *Spool) Forget(reaches []Reach) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.decided {
		if slices.ContainsFunc(reaches, e.needed) {
			continue
		}
		if err := s.remove(e); err != nil {
			return fmt.Errorf("remove the keys of a decided XA transaction: %w", err)
		}
	}
	return nil
}

// needed tells whether a reading for the cluster may begin, or go on, between the
// PREPARE and its decision.
func (e *stored) needed(r Reach) bool {
	return !e.decision.place.executedAt(&r.Saved) && (r.Read.IsZero() || e.prepare.executedAt(&r.Read))
}

// Rewind makes the spool what it was when the log had been read as far as starts,
// where readings are about to begin: PREPAREs that none of the starts has executed
// are removed, and such decisions taken back. The log brings them again, unless they
// are lost: a failover can lose what had been read, and bring another decision
// instead. Call it before the first reading, while none runs; without starts, after a
// reset of the log, it removes everything.
func (s *Spool) Rewind(starts []binlog.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := func(p *Place) bool {
		return !slices.ContainsFunc(starts, func(at binlog.Position) bool { return p.executedAt(&at) })
	}
	for _, e := range s.entries {
		switch {
		case lost(&e.prepare):
			if err := s.remove(e); err != nil {
				return fmt.Errorf("remove the keys of a prepared XA transaction: %w", err)
			}
		case e.decision != nil && lost(&e.decision.place):
			if err := s.takeBack(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Undecide takes back the decisions that a position has not executed: after a failover
// to a server that may have brought others instead. The log brings them again if they
// stand. It may be called while other readings run, for it removes nothing: a PREPARE
// that is lost is never decided upon, or comes before another of its XID.
func (s *Spool) Undecide(at binlog.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.decided {
		if e.decision.place.executedAt(&at) {
			continue
		}
		if err := s.takeBack(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) takeBack(e *stored) error {
	if err := s.decide(e, &decision{outcome: binlog.Prepared, place: e.prepare}); err != nil {
		return fmt.Errorf("take back the decision on XA transaction %s: %w", e.xid, err)
	}
	return nil
}

// remove is not synced: a file that a crash brings back is removed again.
func (s *Spool) remove(e *stored) error {
	if err := os.Remove(s.path(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.take(e)
	return nil
}

// XIDs names the transactions that are prepared and not decided upon, as far as has
// been read, in no order that means anything. The server's are listed by XA RECOVER.
func (s *Spool) XIDs() []binlog.XID {
	s.mu.Lock()
	defer s.mu.Unlock()
	xids := make([]binlog.XID, 0, len(s.undecided))
	for x := range s.undecided {
		xids = append(xids, x)
	}
	slices.SortFunc(xids, func(a, b binlog.XID) int {
		return cmp.Or(cmp.Compare(a.Data, b.Data), cmp.Compare(a.Global, b.Global), cmp.Compare(a.Format, b.Format))
	})
	return xids
}

// create makes the file that a collector writes to.
func (s *Spool) create(collector uint64) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.parent, "mcsqueal-xa-")
		if err != nil {
			return nil, err
		}
		s.dir = dir
	}
	name := fmt.Sprintf("%d%s", collector, newSuffix)
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, err
	}
	if err := give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *Spool) sync(f *os.File) error {
	if s.temporary {
		return nil
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
