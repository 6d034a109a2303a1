package binlog

import "fmt"

// Outcome says how a transaction ended.
type Outcome uint8

const (
	// Committed: what it changed stands. That includes groups which end in
	// ROLLBACK: they reach the log only for what they did to tables that cannot
	// be rolled back.
	Committed Outcome = iota
	// Prepared: an XA transaction waits for its decision, under Transaction.XID.
	Prepared
	// XACommitted is a decision on the transaction named by Transaction.XID. It
	// carries no statements of its own.
	XACommitted
	// XARolledBack is the other decision.
	XARolledBack
)

func (o Outcome) String() string {
	switch o {
	case Committed:
		return "committed"
	case Prepared:
		return "prepared"
	case XACommitted:
		return "XA committed"
	case XARolledBack:
		return "XA rolled back"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Transaction is one committed unit of the log. The reading owns it and uses it
// again: copy what is to be kept.
type Transaction struct {
	// GTID is zero where the log has none.
	GTID GTID
	// Start is the offset of its first event in its file; End, known at its end,
	// the first byte behind it.
	Start, End uint64
	// Time is when it was committed, in microseconds since 1970; whole seconds on
	// MariaDB and before MySQL 8.0.
	Time int64
	// XID names the XA transaction that this prepares or decides; zero if none.
	XID XID
	// Outcome is known at its end.
	Outcome Outcome
}

// Handler receives what a reading finds, in log order, from one goroutine. Every
// slice it is handed is good during the call only. An error ends the reading and
// is what the reading's Run returns.
type Handler interface {
	// File: what follows stands in this file.
	File(f File) error
	// Previous: the transactions of all files before this one, as the log has them
	// at the head of a file. The set is the handler's to keep.
	Previous(set *GTIDSet) error
	// Begin: a transaction's first event has been read.
	Begin(t *Transaction) error
	// Statement: the text of one of its statements. For the text of rows, the
	// tables follow.
	Statement(s *Statement) error
	// Table: rows of this table follow; wanted asks for their images.
	Table(t *Table) (wanted bool, err error)
	// Rows: an event of row images.
	Rows(r *Rows) error
	// End: the transaction has been read whole.
	End(t *Transaction) error
	// Broken: the transaction in progress will not end here. If the log has it, it
	// comes again from its start.
	Broken() error
	// Moved: the log is read from another server from here on, or the server has
	// lost the end of its log in a crash. The handler drops what may not be there
	// any more, and says where the reading goes on.
	Moved() (Position, error)
	// Checkpoint: MariaDB's storage engines have made durable all that stands in
	// files before this one.
	Checkpoint(file string) error
	// Idle: all that has arrived has been handed over; the reading is about to
	// wait for more. offset is how far the file last named has been read; 0 where
	// that is nothing to go by, as on the way into the next file.
	Idle(offset uint64) error
	// Warn: something that may have carried keys could not be read as such.
	Warn(w Warning)
}

// Warning is something in the log that was read over but should be known.
type Warning struct {
	Kind   WarningKind
	File   string
	Offset uint64
	Detail string
}

// WarningKind is also the value of a metric's label.
type WarningKind string

const (
	// UnknownEvent: an event of a type this version does not know.
	UnknownEvent WarningKind = "unknown_event"
	// Incident: the server says that it lost events (Incident event).
	Incident WarningKind = "incident"
	// BrokenTransaction: a transaction does not end before the next begins, as a
	// crash of the server can leave it.
	BrokenTransaction WarningKind = "broken_transaction"
)

func (w Warning) String() string {
	return fmt.Sprintf("%s at %s:%d: %s", w.Kind, w.File, w.Offset, w.Detail)
}
