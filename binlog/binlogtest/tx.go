package binlogtest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Tx is a transaction: what stands between two safe places in a log.
type Tx struct {
	// GTID names it. Zero: the one behind the last transaction's; the file's first
	// is the server's own, behind what Config.Previous has. With a Tag, MySQL's
	// tagged GTID event is written.
	GTID binlog.GTID
	// Time is when it was committed; MySQL's log has microseconds of it. Zero: the
	// time of the transaction before, or of the file.
	Time time.Time
	// SQLMode and Collation are the session's, as the status variables of its Query
	// events have them. Collation 0: 45, which is utf8mb4_general_ci.
	SQLMode   uint64
	Collation uint16
	// Statements are what it executed.
	Statements []Stmt
	// End is how it ends.
	End End
	// XID names the XA transaction that it prepares or decides.
	XID binlog.XID
	// Compress writes it as a server does that compresses its log: on MySQL within
	// one Transaction_payload event (binlog_transaction_compression), unless there
	// are Query statements in it, on MariaDB each rows and Query event for itself
	// (log_bin_compress). MySQL's cannot be written in pieces.
	Compress bool
}

// Stmt is a statement.
type Stmt struct {
	// Text is its text. "" for rows: the server does not log it
	// (binlog_rows_query_log_events, binlog_annotate_row_events).
	Text string
	// Query logs the text itself, as DDL, TRUNCATE and statement-format writes are
	// logged, and no rows. Schema is then the session's.
	Query bool
	// Schema and Table name the table that it inserts into. "": test and t. Every
	// table is (id BIGINT NOT NULL PRIMARY KEY, v LONGBLOB).
	Schema, Table string
	// Rows is how many it inserts, each an event of its own. 0: 1.
	Rows int
	// RowBytes is the size of v in each row.
	RowBytes int
}

// End says how a transaction ends.
type End uint8

const (
	// Commit: an Xid event, as transactions of InnoDB end.
	Commit End = iota
	// CommitQuery: a Query event COMMIT, as groups end that wrote to tables without
	// transactions.
	CommitQuery
	// RollbackQuery: a Query event ROLLBACK, as such groups may end on MariaDB.
	RollbackQuery
	// Alone: nothing. The one statement, a Query, is the whole group, as with DDL.
	Alone
	// Prepare: XA PREPARE.
	Prepare
	// OnePhase: XA COMMIT … ONE PHASE.
	OnePhase
	// XACommit: the group is the decision on a prepared XA transaction, and has no
	// statements.
	XACommit
	// XARollback: the same, the other way.
	XARollback
	// Broken: nothing, though there should be something, as a crash can leave it.
	Broken
)

// Transaction writes a whole transaction.
func (l *Writer) Transaction(tx Tx) {
	l.next(&tx)
	sum := l.sum
	packed := tx.Compress && l.c.Flavor == binlog.MySQL && onlyRows(&tx)
	if packed {
		l.sum = 0 // within a payload there are none
	}
	l.begin(&tx)
	for _, s := range tx.Statements {
		l.statement(&tx, s)
	}
	l.end(&tx)
	l.sum = sum
	if packed {
		l.payload()
	}
	// Now that its length is known, the GTID event goes in front.
	l.buf, l.body = l.body[:0], l.buf
	l.gtid(&tx, len(l.body))
	l.buf = append(l.buf, l.body...)
	if cap(l.body) > keep {
		l.body = nil
	}
	l.flush()
}

// onlyRows tells whether all of a transaction is rows.
func onlyRows(tx *Tx) bool {
	switch tx.End {
	case Alone, XACommit, XARollback:
		return false
	}
	return !slices.ContainsFunc(tx.Statements, func(s Stmt) bool { return s.Query })
}

// Begin starts a transaction that is written in pieces: it may be larger than
// memory. What stands in tx.Statements are its first ones. The GTID event does not
// say how long it is.
func (l *Writer) Begin(tx Tx) *Open {
	l.next(&tx)
	l.gtid(&tx, 0)
	l.begin(&tx)
	o := &Open{l: l, tx: tx}
	for _, s := range tx.Statements {
		l.statement(&o.tx, s)
	}
	l.flush()
	return o
}

// Open is a transaction that is written in pieces.
type Open struct {
	l  *Writer
	tx Tx
}

// Statement writes its next statement.
func (o *Open) Statement(s Stmt) {
	o.l.statement(&o.tx, s)
	o.l.flush()
}

// End writes its end, the one that Begin was told.
func (o *Open) End() {
	o.l.end(&o.tx)
	o.l.flush()
}

// next fills in what tx leaves to the Writer.
func (l *Writer) next(tx *Tx) {
	if tx.Time.IsZero() {
		tx.Time = l.now
	}
	l.now = tx.Time
	if tx.GTID.IsZero() {
		tx.GTID = l.last
		tx.GTID.Seq++
	}
	if tx.GTID.Flavor != l.c.Flavor {
		l.fail(fmt.Errorf("GTID %s in a log of %s", tx.GTID, l.c.Flavor))
	}
	if tx.Collation == 0 {
		tx.Collation = 45
	}
	l.last = tx.GTID
	l.count++
}

// begin opens the transaction behind its GTID event. MariaDB has nothing there.
func (l *Writer) begin(tx *Tx) {
	if l.c.Flavor == binlog.MariaDB {
		return
	}
	switch tx.End {
	case Alone, XACommit, XARollback:
	case Prepare, OnePhase:
		l.query(tx, flagSuppressUse, defaultSchema, "XA START "+tx.XID.String())
	default:
		l.query(tx, flagSuppressUse, defaultSchema, "BEGIN")
	}
}

func (l *Writer) statement(tx *Tx, s Stmt) {
	if s.Schema == "" {
		s.Schema = defaultSchema
	}
	if s.Query {
		l.query(tx, 0, s.Schema, s.Text)
		return
	}
	if s.Text != "" {
		l.text(s.Text)
	}
	l.insert(tx, s)
}

// text writes the statement's text in front of its rows.
func (l *Writer) text(text string) {
	if l.c.Flavor == binlog.MariaDB {
		start := l.open(typeAnnotateRows, 0)
		l.buf = append(l.buf, text...)
		l.close(start)
		return
	}
	start := l.open(typeRowsQuery, flagIgnorable)
	l.buf = append(l.buf, byte(len(text))) // nobody reads this length
	l.buf = append(l.buf, text...)
	l.close(start)
}

func (l *Writer) end(tx *Tx) {
	switch tx.End {
	case Commit:
		l.xid()
	case CommitQuery:
		l.query(tx, flagSuppressUse, defaultSchema, "COMMIT")
	case RollbackQuery:
		l.query(tx, flagSuppressUse, defaultSchema, "ROLLBACK")
	case OnePhase:
		if l.c.Flavor == binlog.MariaDB {
			l.xid()
			return
		}
		l.prepare(tx, 1)
	case Prepare:
		l.prepare(tx, 0)
	case XACommit:
		l.query(tx, flagSuppressUse, defaultSchema, "XA COMMIT "+tx.XID.String())
	case XARollback:
		l.query(tx, flagSuppressUse, defaultSchema, "XA ROLLBACK "+tx.XID.String())
	case Alone, Broken:
	default:
		l.fail(fmt.Errorf("a transaction with the end %d", tx.End))
	}
}

// xid ends a transaction: the number the server's coordinator gave it.
func (l *Writer) xid() {
	start := l.open(typeXID, 0)
	l.buf = binary.LittleEndian.AppendUint64(l.buf, l.count)
	l.close(start)
}

// prepare ends an XA transaction (XA_prepare_event in control_events.h).
func (l *Writer) prepare(tx *Tx, onePhase byte) {
	l.query(tx, flagSuppressUse, defaultSchema, "XA END "+tx.XID.String())
	start := l.open(typeXAPrepare, 0)
	l.buf = append(l.buf, onePhase)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(tx.XID.Format))
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(tx.XID.Global))
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(len(tx.XID.Data)-tx.XID.Global))
	l.buf = append(l.buf, tx.XID.Data...)
	l.close(start)
}
