package batcher

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Transaction is what the Log is told at a transaction's beginning.
type Transaction struct {
	// GTID is zero where the log has none.
	GTID binlog.GTID
	// Start is the offset of its first event in the file.
	Start uint64
	// Time is when it was committed, Read when its first event was read, both in
	// microseconds since 1970.
	Time, Read int64
}

// Writer appends transactions to a Log, in the order of the source's log:
//
//	File                                   when a log file begins
//	Begin { Statement | Key } End          for each transaction
//	Begin { Statement | Key } Abort        where the reading was cut off
//	Publish                                when all that has arrived is appended
//
// Transactions are streamed: their keys can be read before their end has come. It
// never blocks: Key, End and Close answer [ErrFull] instead, have then appended
// nothing, and may be called again.
//
// A transaction that was aborted is usually read again from its start, by the same
// dump or a later one. When Begin names it again, the keys that are in the Log
// already are not appended twice: as many of its first keys are passed over. So
// even one that is larger than the Log gets on, however often it is cut off. The
// reading must name the same keys in the same order.
//
// Transactions without keys take next to no room: neighbours are put down as one.
// What waits to be put down so is not readable before Publish.
type Writer struct {
	log   *Log
	chunk *chunk
	// buf is chunk.buf as far as it is written; its capacity is how far it may be.
	buf []byte

	file   binlog.File // of what comes
	fileNo int         // counts the files, so that they need not be compared

	// The transaction that is open, or was broken off and may come again.
	tx     Transaction
	txFile binlog.File // if it was broken off
	state  txState
	begun  bool   // its first key is in the Log
	keys   uint64 // how many of its keys are
	pass   uint64 // how many of those that come are in the Log already
	seq    uint64 // its own, or that of the last one
	source uint32
	// Where the last one ended.
	end     uint64
	endFile int

	statement statement // of what comes
	advance   advance

	// What is in force in the chunk, as far as it is written. ready: all that the
	// open transaction's next key needs.
	inFile      int
	inBegin     bool
	inStatement bool
	ready       bool

	bySource map[binlog.GTID]uint32 // index into Log.sources, by a GTID without Seq
}

type txState uint8

const (
	txNone   txState = iota
	txOpen           // between Begin and End
	txBroken         // aborted, with keys in the Log
)

// statement owns its bytes.
type statement struct {
	cause         Cause
	schema, table []byte
}

var (
	errOutside    = errors.New("append to the log: outside a transaction")
	errFileLength = fmt.Errorf("append to the log: a log file's name may have %d bytes and its server's %d", maxFileName, maxServer)
	errKeyLength  = fmt.Errorf("append to the log: a key has 1 to %d bytes", MaxKey)
)

// maxGNO is the last transaction number that MySQL gives out (sql/rpl_gtid.h).
const maxGNO = 1<<63 - 2

func (w *Writer) init(l *Log) {
	w.log = l
	w.bySource = map[binlog.GTID]uint32{{}: 0}
	w.fileNo = 1
	w.open(l.last)
}

// open goes on in a fresh chunk, in which nothing is in force yet.
func (w *Writer) open(c *chunk) {
	w.chunk, w.buf = c, c.buf[:0]
	w.inFile, w.inBegin, w.inStatement, w.ready = 0, false, false, false
}

// File says in which file what comes stands. It is called between transactions, or
// before one is begun again. Only names of lengths that no server gives are errors.
func (w *Writer) File(f binlog.File) error {
	if len(f.Name) > maxFileName || len(f.Server) > maxServer {
		return errFileLength
	}
	if !sameFile(f, w.file) {
		w.file = f
		w.fileNo++
		w.ready = false
	}
	return nil
}

func sameFile(f, g binlog.File) bool {
	return f.Name == g.Name && f.Server == g.Server && f.Created.Equal(g.Created)
}

// Begin begins a transaction and returns its seq, by which the watermark knows it:
// 1 for the first, greater for every further one, the same for one that is begun
// again; no two in a Log's life have the same. One that is still open is aborted.
// A GTID that no server can have given out is an error, and nothing is begun.
func (w *Writer) Begin(t Transaction) (seq uint64, err error) {
	w.Abort()
	if w.state == txBroken {
		if t.GTID == w.tx.GTID && t.Start == w.tx.Start && sameFile(w.file, w.txFile) {
			w.state, w.pass = txOpen, w.keys
			return w.seq, nil
		}
		w.abandon()
	}
	source, err := w.sourceOf(t.GTID)
	if err != nil {
		return 0, fmt.Errorf("append the transaction at %s:%d to the log: %w", w.file.Name, t.Start, err)
	}
	w.seq++
	w.log.appended.Store(w.seq)
	w.tx, w.source, w.state = t, source, txOpen
	w.begun, w.keys, w.pass = false, 0, 0
	w.inBegin, w.ready = false, false
	return w.seq, nil
}

// sourceOf is the index of g's source, which it makes known. That g can be folded
// into a position is made sure of here, once, so that it cannot fail later, when
// its keys are out.
func (w *Writer) sourceOf(g binlog.GTID) (uint32, error) {
	if g.Flavor == binlog.MySQL && (g.Seq == 0 || g.Seq > maxGNO) {
		return 0, fmt.Errorf("transaction number %d: must be from 1 to %d", g.Seq, uint64(maxGNO))
	}
	sources := *w.log.sources.Load()
	key := g
	key.Seq = 0
	if sources[w.source] == key {
		return w.source, nil
	}
	if i, ok := w.bySource[key]; ok {
		return i, nil
	}
	if err := binlog.NewGTIDSet(w.flavor(sources)).Add(g); err != nil {
		return 0, err
	}
	i := uint32(len(sources))
	grown := append(sources[:i:i], key)
	w.log.sources.Store(&grown)
	w.bySource[key] = i
	return i, nil
}

// flavor is that of the Log's transactions, as far as it is known.
func (w *Writer) flavor(sources []binlog.GTID) binlog.Flavor {
	for _, s := range sources {
		if s.Flavor != binlog.FlavorUnknown {
			return s.Flavor
		}
	}
	return w.log.base.GTIDs.Flavor() // only the writer changes it
}

// Statement says what causes the keys that come, and the table they are about. It
// holds until it is called again, also for the transactions that follow. It copies
// the names, of which it takes 255 bytes at most, as the log itself does.
func (w *Writer) Statement(cause Cause, schema, table []byte) {
	schema, table = schema[:min(len(schema), maxName)], table[:min(len(table), maxName)]
	s := &w.statement
	if s.cause == cause && bytes.Equal(s.table, table) && bytes.Equal(s.schema, schema) {
		return
	}
	s.cause = cause
	s.schema = append(s.schema[:0], schema...)
	s.table = append(s.table[:0], table...)
	w.inStatement, w.ready = false, false
}

// Key appends a key of the open transaction, of 1 to [MaxKey] bytes. It copies it.
// BenchmarkLog guards it.
func (w *Writer) Key(key []byte) error {
	switch {
	case w.state != txOpen:
		return errOutside
	case len(key) == 0 || len(key) > MaxKey:
		return errKeyLength
	case w.pass > 0:
		w.pass--
		return nil
	}
	if n := 2 + len(key); !w.ready || !w.fits(n) {
		if err := w.prepare(n); err != nil {
			return err
		}
	}
	w.buf = appendKey(w.buf, key)
	w.keys++
	return nil
}

// End ends the open transaction; end is the offset of the first byte behind it in
// its file.
func (w *Writer) End(end uint64) error {
	if w.state != txOpen {
		return errOutside
	}
	if w.begun {
		// The reserve behind its last key holds it.
		w.buf = appendEnd(w.buf, end)
	} else if err := w.addAdvance(end); err != nil {
		return err
	}
	w.state, w.inBegin, w.ready = txNone, false, false
	w.end, w.endFile = end, w.fileNo
	return nil
}

// Idle says that the log has been read as far as end in the file last named: what
// the head of a file and a heartbeat tell. Positions move up to there when all
// before it has been acknowledged. It counts as a transaction without keys, with a
// seq of its own; inside a transaction, before one that was broken off, and where
// the last one ended, it does nothing.
func (w *Writer) Idle(end uint64) error {
	if w.state != txNone || w.end == end && w.endFile == w.fileNo {
		return nil
	}
	if _, err := w.Begin(Transaction{Start: end}); err != nil {
		return err
	}
	err := w.End(end)
	w.Abort() // if there was no room for it
	return err
}

// Abort says that the open transaction breaks off here. If it comes again, Begin
// goes on with it; if another comes instead, no position will ever contain it on
// account of what has been appended.
func (w *Writer) Abort() {
	if w.state != txOpen {
		return
	}
	w.state = txNone
	if w.begun {
		w.state, w.txFile = txBroken, w.file
	}
}

// abandon gives a broken transaction up.
func (w *Writer) abandon() {
	w.buf = append(w.buf, kindAbort) // the reserve behind its last key holds it
	w.state, w.inBegin, w.ready = txNone, false, false
}

// Publish makes all that was appended readable, and wakes the cursors that wait
// for it. What there is no room for ([ErrFull]) stays with the writer: call it
// again after [Log.WaitRoom].
func (w *Writer) Publish() {
	// An error here meets the next Key, End or Close again.
	_ = w.putAdvance()
	w.publish()
}

func (w *Writer) publish() {
	if n := int64(len(w.buf)); n != w.chunk.published.Load() {
		w.chunk.published.Store(n)
		if w.log.waiting.Load() > 0 {
			w.log.mu.Lock()
			w.log.wake()
			w.log.mu.Unlock()
		}
	}
}

// Close publishes and says that nothing more will come: cursors that have read all
// get io.EOF. A transaction that is open is aborted.
func (w *Writer) Close() error {
	w.Abort()
	if err := w.putAdvance(); err != nil {
		return err
	}
	w.publish()
	w.log.closed.Store(true)
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	for _, c := range w.log.cursors {
		w.log.rouse(c)
	}
	return nil
}

// fits tells whether a record of n bytes fits, and the reserve behind it.
func (w *Writer) fits(n int) bool { return len(w.buf)+n+reserve <= cap(w.buf) }

// prepare brings the chunk to where a key record of n bytes of the open transaction
// may be appended. In a chunk that had to be opened nothing is in force, and
// everything fits.
func (w *Writer) prepare(n int) error {
	if err := w.putAdvance(); err != nil {
		return err
	}
	need := n
	if w.inFile != w.fileNo {
		need += maxFile
	}
	if !w.inBegin {
		need += beginSize
	}
	if !w.inStatement {
		need += maxStatement
	}
	if !w.fits(need) {
		if err := w.grow(); err != nil {
			return err
		}
	}
	w.putFile(w.file, w.fileNo)
	if !w.inBegin {
		k := kindBegin
		if w.begun {
			k = kindContinued
		}
		w.buf = appendBegin(w.buf, k, w.seq, w.source, &w.tx)
		w.begun, w.inBegin = true, true
	}
	if !w.inStatement {
		w.buf = appendStatement(w.buf, w.statement.cause, w.statement.schema, w.statement.table)
		w.inStatement = true
	}
	w.ready = true
	return nil
}

func (w *Writer) putFile(f binlog.File, no int) {
	if w.inFile != no {
		w.buf = appendFile(w.buf, f)
		w.inFile = no
	}
}

// grow publishes the chunk, which is full, and goes on in a fresh one.
func (w *Writer) grow() error {
	w.publish()
	c, err := w.log.grow()
	if err != nil {
		return err
	}
	w.open(c)
	return nil
}
