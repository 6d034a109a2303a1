package binlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// parser turns events into transactions.
//
//	       GTID                    BEGIN, XA START, or anything else
//	idle ───────► headed ─────────────────────────────► open ──► … statements, rows …
//	  ▲             │ a stand-alone Query: DDL,           │
//	  │             │ XA COMMIT, XA ROLLBACK              │ XID, COMMIT, ROLLBACK, XA_PREPARE
//	  └─────────────┴──────────────── End ◄───────────────┘
//
// MariaDB says in the GTID event whether the group stands alone, and sends no
// BEGIN. Logs without GTID events open with BEGIN or stand alone.
type parser struct {
	h      Handler
	file   File
	flavor Flavor // of the server that wrote the file
	// input is what errors call the file; "": what the log calls it.
	input string

	state      state
	standalone bool // headed: MariaDB says that one Query is the whole group
	begun      bool // Begin has been handed over
	tx         Transaction
	session    session
	wanted     map[uint64]struct{} // tables whose rows are asked for

	// ended: a transaction has ended in the last event, and the handler has taken it.
	ended bool

	text    []byte // scratch for compressed texts
	payload *payload

	// What the handler is handed a pointer to; here, so that no event costs an
	// allocation.
	heard  Statement
	mapped Table
	images Rows
}

type state uint8

const (
	idle state = iota
	headed
	open
)

// reset forgets the transaction in progress: the reading starts anew.
func (p *parser) reset() error {
	clear(p.wanted)
	begun := p.begun
	p.state, p.begun = idle, false
	if begun {
		return p.h.Broken()
	}
	return nil
}

func (p *parser) fail(e *event, err error) error {
	return &CorruptError{File: cmp.Or(p.input, p.file.Name), Offset: e.start, What: fmt.Sprintf("event of type %d", e.kind), Err: err}
}

// event takes the next event of the log.
func (p *parser) event(e *event) error {
	switch e.kind {
	case typeRowsQuery:
		if len(e.body) < 1 {
			return p.fail(e, errShort)
		}
		// The byte in front is a length of one byte, which says nothing.
		return p.statement(e, Statement{Text: e.body[1:], Rows: true})
	case typeAnnotateRows:
		return p.statement(e, Statement{Text: e.body, Rows: true})
	case typeTableMap:
		return p.table(e)
	case typeXID:
		return p.finish(e, Committed)
	case typeGTID, typeAnonymousGTID, typeTaggedGTID, typeMariaGTID:
		return p.gtid(e)
	case typeQuery:
		return p.query(e, e.body, 0)
	case typeExecuteLoadQuery:
		// file id, start and end of the file's name in the text, duplicates' handling
		return p.query(e, e.body, 4+4+4+1)
	case typeQueryCompressed:
		return p.compressedQuery(e)
	case typeXAPrepare:
		return p.prepare(e)
	case typeTransactionPayload:
		return p.transactionPayload(e)
	case typePreviousGTIDs, typeMariaGTIDList:
		return p.previous(e)
	case typeBinlogCheckpoint:
		return p.checkpoint(e)
	case typeIncident:
		detail := "the server lost events"
		if len(e.body) > 3 {
			detail += ": " + string(e.body[3:])
		}
		p.warn(e, Incident, detail)
		return nil
	case typeStartEncryption:
		return p.fail(e, errEncrypted)
	case typeIntvar, typeRand, typeUserVar, typeBeginLoadQuery, typeAppendBlock, typeDeleteFile,
		typeIgnorable, typeTransactionContext, typeViewChange, typeHeartbeat, typeHeartbeatV2,
		typeFormatDescription, typeRotate, typeStop: // relay logs have these within transactions
		return nil
	}
	if isRows(e.kind) {
		return p.rows(e)
	}
	p.warn(e, UnknownEvent, fmt.Sprintf("an event of type %d, which this version does not know; it may have carried keys", e.kind))
	return nil
}

var errEncrypted = errors.New("the log is encrypted; read it through its server (replay --from), or decrypt it first")

func (p *parser) warn(e *event, kind WarningKind, detail string) {
	p.h.Warn(Warning{Kind: kind, File: p.file.Name, Offset: e.start, Detail: detail})
}

// skim tells whether an event may be walked over because nobody asked for it.
func (p *parser) skim(h header, head []byte) bool {
	if !isRows(h.kind) || len(head) < 8 {
		return false
	}
	_, ok := p.wanted[tableID(head)]
	return !ok
}

func (p *parser) gtid(e *event) error {
	if err := p.interrupted(e); err != nil {
		return err
	}
	p.tx = Transaction{Start: e.start, GTID: GTID{Tag: p.tx.GTID.Tag}}
	p.session = session{}
	p.standalone = false
	p.state = headed
	switch e.kind {
	case typeMariaGTID:
		flags, err := parseMariaGTIDEvent(e, &p.tx)
		if err != nil {
			return p.fail(e, err)
		}
		if p.standalone = flags&mariaStandalone != 0; !p.standalone {
			p.state = open
		}
	case typeTaggedGTID:
		if err := parseTaggedGTIDEvent(e, &p.tx); err != nil {
			return p.fail(e, err)
		}
	default:
		p.tx.GTID.Tag = ""
		if err := parseGTIDEvent(e, &p.tx); err != nil {
			return p.fail(e, err)
		}
	}
	return nil
}

// begin hands the transaction's beginning over, once.
func (p *parser) begin(e *event) error {
	if p.state == idle {
		// A log without GTID events.
		p.tx = Transaction{Start: e.start, Time: int64(e.timestamp) * 1e6}
	}
	p.state = open
	p.begun = true
	return p.h.Begin(&p.tx)
}

func (p *parser) statement(e *event, s Statement) error {
	if !p.begun {
		if err := p.begin(e); err != nil {
			return err
		}
	}
	if !s.SessionKnown && p.session.known {
		s.SessionKnown, s.SQLMode, s.Collation = true, p.session.sqlMode, p.session.collation
	}
	p.heard = s
	return p.h.Statement(&p.heard)
}

func (p *parser) table(e *event) error {
	t, err := parseTable(e.body)
	if err != nil {
		return p.fail(e, err)
	}
	if !p.begun {
		if err := p.begin(e); err != nil {
			return err
		}
	}
	p.mapped = t
	p.mapped.Flavor = p.flavor
	wanted, err := p.h.Table(&p.mapped)
	if err != nil {
		return err
	}
	if wanted {
		if p.wanted == nil {
			p.wanted = make(map[uint64]struct{})
		}
		p.wanted[t.ID] = struct{}{}
	} else if len(p.wanted) > 0 {
		delete(p.wanted, t.ID)
	}
	return nil
}

func (p *parser) rows(e *event) error {
	if len(e.body) < 8 {
		return p.fail(e, errShort)
	}
	if !p.begun {
		if err := p.begin(e); err != nil {
			return err
		}
	}
	p.images = Rows{
		Table:        tableID(e.body),
		Type:         e.kind,
		StatementEnd: binary.LittleEndian.Uint16(e.body[6:])&rowsFlagStatementEnd != 0,
	}
	if len(p.wanted) > 0 && !e.partial {
		if _, ok := p.wanted[p.images.Table]; ok {
			p.images.Body = e.body
		}
	}
	return p.h.Rows(&p.images)
}

func (p *parser) compressedQuery(e *event) error {
	q, err := parseQuery(e.body, 0)
	if err != nil {
		return p.fail(e, err)
	}
	p.text, err = uncompressQuery(p.text, q.text)
	if err != nil {
		return p.fail(e, err)
	}
	q.text = p.text
	err = p.parsedQuery(e, q)
	if cap(p.text) > hugeBuffer {
		p.text = nil
	}
	return err
}

func (p *parser) query(e *event, body []byte, extra int) error {
	q, err := parseQuery(body, extra)
	if err != nil {
		return p.fail(e, err)
	}
	return p.parsedQuery(e, q)
}

func (p *parser) parsedQuery(e *event, q query) error {
	// What controls transactions starts with one of a few letters.
	if len(q.text) > 0 {
		switch q.text[0] | 0x20 {
		case 'b':
			if p.state != open && only(q.text, "BEGIN") {
				return p.openWith(e, q, XID{})
			}
			if p.state == open && only(q.text, "BEGIN") {
				if !p.begun {
					return nil
				}
				if err := p.interrupted(e); err != nil {
					return err
				}
				return p.openWith(e, q, XID{})
			}
		case 'c':
			if p.state == open && only(q.text, "COMMIT") {
				return p.finish(e, Committed)
			}
		case 'r':
			if p.state == open && only(q.text, "ROLLBACK") {
				return p.finish(e, Committed)
			}
		case 'x':
			verb, x, ok := parseXAStatement(q.text)
			switch {
			case !ok:
			case verb == "START":
				return p.openWith(e, q, x)
			case verb == "END":
				return nil
			case p.state == open && p.begun: // never seen; a statement like any other
			case verb == "COMMIT":
				p.tx.XID = x
				return p.finish(e, XACommitted)
			case verb == "ROLLBACK":
				p.tx.XID = x
				return p.finish(e, XARolledBack)
			}
		}
	}
	alone := p.state == idle || p.state == headed
	err := p.statement(e, Statement{
		Text: q.text, Schema: q.schema,
		SessionKnown: q.known, SQLMode: q.sqlMode, Collation: q.collation,
	})
	if err != nil || !alone {
		return err
	}
	return p.finish(e, Committed)
}

func (p *parser) openWith(e *event, q query, x XID) error {
	if p.state == idle {
		p.tx = Transaction{Start: e.start, Time: int64(e.timestamp) * 1e6}
	}
	p.state = open
	p.session = q.session
	if !x.IsZero() {
		p.tx.XID = x
	}
	return nil
}

func (p *parser) prepare(e *event) error {
	x, onePhase, err := parseXAPrepare(e.body)
	if err != nil {
		return p.fail(e, err)
	}
	p.tx.XID = x
	if onePhase {
		return p.finish(e, Committed)
	}
	return p.finish(e, Prepared)
}

func (p *parser) finish(e *event, o Outcome) error {
	if !p.begun {
		if err := p.begin(e); err != nil {
			return err
		}
	}
	p.tx.Outcome = o
	p.tx.End = e.end
	p.state, p.begun = idle, false
	clear(p.wanted)
	err := p.h.End(&p.tx)
	p.ended = err == nil || errors.Is(err, ErrStop)
	return err
}

// interrupted takes note of a transaction that does not end before something
// that cannot stand inside one.
func (p *parser) interrupted(e *event) error {
	if p.state == idle {
		return nil
	}
	p.warn(e, BrokenTransaction, fmt.Sprintf("the transaction %s that began at offset %d has no end", p.tx.GTID, p.tx.Start))
	return p.reset()
}

// enter says which file is being read now, and what wrote it.
func (p *parser) enter(f File, flavor Flavor) error {
	p.file, p.flavor = f, flavor
	return p.h.File(f)
}

// previous hands over the set that stands at the head of a file.
func (p *parser) previous(e *event) error {
	var set *GTIDSet
	var err error
	if e.kind == typePreviousGTIDs {
		set, err = DecodeMySQLGTIDSet(e.body)
	} else {
		set, err = DecodeMariaDBGTIDList(e.body)
	}
	if err != nil {
		return p.fail(e, err)
	}
	return p.h.Previous(set)
}

func (p *parser) checkpoint(e *event) error {
	if len(e.body) < 4 {
		return p.fail(e, errShort)
	}
	n := binary.LittleEndian.Uint32(e.body)
	if uint64(n) > uint64(len(e.body)-4) {
		return p.fail(e, errShort)
	}
	return p.h.Checkpoint(string(e.body[4 : 4+n]))
}

func (p *parser) transactionPayload(e *event) error {
	if p.payload == nil {
		p.payload = newPayload()
		p.payload.events.skim = p.skim
	}
	inner, err := p.payload.open(e.body)
	if err != nil {
		return p.fail(e, err)
	}
	var in event
	for {
		if err := inner.next(&in); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return p.fail(e, fmt.Errorf("compressed transaction: %w", err))
		}
		// Its place in the file is that of the event around it.
		in.start, in.end = e.start, e.end
		if in.kind == typeTransactionPayload {
			return p.fail(e, errors.New("a compressed transaction within a compressed transaction"))
		}
		if err := p.event(&in); err != nil {
			return err
		}
	}
}

// rotation reads a Rotate event: the next file and the offset to go on at.
func rotation(e *event) (name string, offset uint64, err error) {
	if len(e.body) < 8+1 {
		return "", 0, errShort
	}
	name = string(bytes.TrimRight(e.body[8:], "\x00"))
	return name, binary.LittleEndian.Uint64(e.body), nil
}
