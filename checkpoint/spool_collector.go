package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// collectBytes is how many bytes of keys a collector holds in memory.
const collectBytes = 64 << 10

// Collector takes the keys of one reading's XA transactions, one transaction after
// the other:
//
//	Begin { Statement | Key } Prepared     the decision comes later: Spool.Decide
//	Begin { Statement | Key } OnePhase     they are released at once
//	Begin { Statement | Key } Abort        the reading was cut off
//
// One that never comes to its end needs no Abort: the next Begin forgets it. Up to 64
// KiB of keys are held in memory, and more in a file.
//
// It belongs to the goroutine that reads.
type Collector struct {
	spool  *Spool
	number uint64 // among the spool's collectors

	begun bool
	turn  uint64 // counts what was begun or given up
	head  head
	keys  uint64

	// The body is what was written to file, if there is one, and behind it buf. sum
	// is that of what was written.
	buf     []byte
	file    *os.File
	written int64
	sum     uint32
	failed  error // why not all of it could be; as long as nothing else is begun

	statement Statement // of what comes; owns its bytes
	stated    bool      // it is in the body
}

var (
	errOutside = errors.New("spool the keys of an XA transaction: outside one")
	errKey     = fmt.Errorf("spool the keys of an XA transaction: a key has 1 to %d bytes", batcher.MaxKey)
)

// NewCollector makes the collector of one more reading.
func (s *Spool) NewCollector() *Collector {
	return &Collector{spool: s, number: s.collectors.Add(1)}
}

// Begin begins t, whose first event stands in f; the keys that follow are its. What
// was begun before is forgotten. It costs next to nothing, so the transactions that
// carry an XID because they decide on it may be begun too. An XID or names of lengths
// that no server gives are an error.
func (c *Collector) Begin(t *binlog.Transaction, f binlog.File) error {
	if err := c.Abort(); err != nil {
		return err
	}
	if len(t.XID.Data) > maxXID || t.XID.Global > len(t.XID.Data) || t.XID.Global < 0 || t.XID.IsZero() {
		return fmt.Errorf("spool the keys of the XA transaction at %s:%d: its XID has %d bytes, expected 1 to %d", f.Name, t.Start, len(t.XID.Data), maxXID)
	}
	if len(f.Name) > maxFileName || len(f.Server) > maxServer || len(t.GTID.Tag) > maxTag {
		return fmt.Errorf("spool the keys of XA transaction %s: a log file's name may have %d bytes, its server's %d and a tag %d", t.XID, maxFileName, maxServer, maxTag)
	}
	c.begun = true
	c.head = head{
		number:  c.spool.number.Add(1),
		xid:     t.XID,
		prepare: Place{GTID: t.GTID, File: f, Start: t.Start},
	}
	c.buf = appendHead(c.buf, &c.head)
	return nil
}

// Statement says what causes the keys that come, and the table they are about. It
// holds until it is called again, also for the transactions that follow. It copies
// the names, of which it takes 255 bytes at most, as the log itself does.
func (c *Collector) Statement(cause batcher.Cause, schema, table []byte) {
	schema, table = schema[:min(len(schema), maxName)], table[:min(len(table), maxName)]
	s := &c.statement
	if s.Cause == cause && bytes.Equal(s.Table, table) && bytes.Equal(s.Schema, schema) {
		return
	}
	s.Cause = cause
	s.Schema = append(s.Schema[:0], schema...)
	s.Table = append(s.Table[:0], table...)
	c.stated = false
}

// Key takes a key of the transaction, of 1 to 250 bytes. It copies it. After an error
// the transaction must be begun again.
//
// BenchmarkSpool guards it.
func (c *Collector) Key(key []byte) error {
	switch {
	case c.failed != nil:
		return c.failed
	case !c.begun:
		return errOutside
	case len(key) == 0 || len(key) > batcher.MaxKey:
		return errKey
	}
	if !c.stated {
		c.buf = appendStatement(c.buf, &c.statement)
		c.stated = true
	}
	c.buf = appendKey(c.buf, key)
	c.keys++
	if len(c.buf) < collectBytes {
		return nil
	}
	c.sum = crc32.Update(c.sum, castagnoli, c.buf)
	return c.write()
}

// Prepared keeps what was collected until the decision: when it returns, a position
// may pass the PREPARE. t is the transaction that was begun; it is known by the XID
// that it had then, which was read from SQL as a decision's is. After an error it must be
// begun again; what an earlier reading of the same PREPARE has stored stands, or has
// been replaced whole.
func (c *Collector) Prepared(t *binlog.Transaction) error {
	e, err := c.end(t)
	if err != nil {
		return err
	}
	return errors.Join(c.keep(e), c.Abort())
}

func (c *Collector) keep(e *stored) error {
	if err := c.write(); err != nil {
		return err
	}
	e.size = c.written
	// The keys may be many: the spool is not held up while they are synced.
	err := c.spool.sync(c.file)
	if err == nil {
		err = c.spool.store(e, c.file)
	}
	if err == nil {
		err = c.file.Close()
		c.file = nil
	}
	if err != nil {
		return fmt.Errorf("spool the keys of XA transaction %s: %w", e.xid, err)
	}
	return nil
}

// OnePhase releases what was collected at once: the transaction has been committed
// without having been prepared first. Its Entry can be read until Abort or the next
// Begin. Nothing is kept over a crash: its group is read again whole.
func (c *Collector) OnePhase(t *binlog.Transaction) (*Entry, error) {
	e, err := c.end(t)
	if err != nil {
		return nil, err
	}
	return &Entry{XID: e.xid, Prepare: e.prepare, Keys: e.keys, size: e.body.size, collector: c, turn: c.turn}, nil
}

// end ends the body.
func (c *Collector) end(t *binlog.Transaction) (*stored, error) {
	switch h := &c.head; {
	case c.failed != nil:
		return nil, c.failed
	case !c.begun:
		return nil, errOutside
	case t.GTID != h.prepare.GTID || t.Start != h.prepare.Start:
		return nil, fmt.Errorf("spool the keys of XA transaction %s: it was begun at %d, and %s at %d has ended", h.xid, h.prepare.Start, t.XID, t.Start)
	}
	c.begun = false
	e := &stored{id: identify(c.head.xid, &c.head.prepare), body: body{head: c.head, keys: c.keys}}
	c.buf, e.sum = appendEnd(c.buf, c.sum)
	e.body.size = c.written + int64(len(c.buf))
	return e, nil
}

// write moves buf to the file.
func (c *Collector) write() error {
	if err := c.writeBuf(); err != nil {
		c.failed = fmt.Errorf("spool the keys of XA transaction %s: %w", c.head.xid, err)
	}
	return c.failed
}

func (c *Collector) writeBuf() (err error) {
	if c.file == nil {
		if c.file, err = c.spool.create(c.number); err != nil {
			return err
		}
	}
	n, err := c.file.Write(c.buf)
	c.written += int64(n)
	c.buf = c.buf[:0]
	return err
}

// reader reads the body from its beginning.
func (c *Collector) reader() io.Reader {
	if c.file == nil {
		return bytes.NewReader(c.buf)
	}
	return io.MultiReader(io.NewSectionReader(c.file, 0, c.written), bytes.NewReader(c.buf))
}

// Abort forgets what was collected, and removes the file that holds it, as must be
// done when the reading ends. An Entry of OnePhase is no longer good then.
func (c *Collector) Abort() error {
	c.turn++
	c.begun, c.stated, c.failed = false, false, nil
	c.buf, c.keys, c.written, c.sum = c.buf[:0], 0, 0, 0
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	// Its name is gone if it was given another, and only that could not be synced.
	err := os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("give up the keys of an XA transaction: %w", err)
	}
	return nil
}
