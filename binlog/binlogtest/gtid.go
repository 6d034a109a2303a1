package binlogtest

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// before is the GTID in front of a file's first one.
func (l *Writer) before() binlog.GTID {
	if l.c.Flavor == binlog.MariaDB {
		g := binlog.GTID{Flavor: binlog.MariaDB, Server: l.c.ServerID}
		for _, last := range l.domains() {
			if last.Domain == g.Domain {
				g.Seq = last.Seq
			}
		}
		return g
	}
	// A UUID of the version that is free for all (RFC 9562, 5.8).
	g := binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{'m', 'c', 's', 'q', 'u', 'e', 0x8a, 'l', 0x80}}
	binary.BigEndian.PutUint32(g.SID[12:], l.c.ServerID)
	for next := g; ; g.Seq++ {
		if next.Seq++; !l.c.Previous.Contains(next) {
			return g
		}
	}
}

// domains gives the last GTID of each domain that MariaDB executed before.
func (l *Writer) domains() (last []binlog.GTID) {
	for s := range strings.SplitSeq(l.c.Previous.String(), ",") {
		if s == "" {
			continue
		}
		g, err := binlog.ParseGTID(binlog.MariaDB, s)
		if err != nil {
			l.fail(fmt.Errorf("list what was executed before: %w", err))
		}
		last = append(last, g)
	}
	return last
}

// gtid writes the event at a transaction's head. behind is how many bytes of the
// transaction follow it; 0 says that this is not known.
func (l *Writer) gtid(tx *Tx, behind int) {
	switch {
	case l.c.Flavor == binlog.MariaDB:
		l.mariaGTID(tx)
	case tx.GTID.Tag != "" && !l.c.Anonymous:
		l.taggedGTID(tx, behind)
	default:
		l.mysqlGTID(tx, behind)
	}
}

// mysqlGTID is Gtid_event in control_events.h: flags, UUID, number, the logical
// clock, and what MySQL 8 has added: times, length and version.
func (l *Writer) mysqlGTID(tx *Tx, behind int) {
	kind := uint8(typeGTID)
	if l.c.Anonymous {
		kind = typeAnonymousGTID
	}
	start := l.open(kind, 0)
	l.buf = append(l.buf, statementFlag(tx))
	if l.c.Anonymous {
		l.buf = append(l.buf, make([]byte, 16+8)...)
	} else {
		l.buf = append(l.buf, tx.GTID.SID[:]...)
		l.buf = binary.LittleEndian.AppendUint64(l.buf, tx.GTID.Seq)
	}
	const logicalClock = 2
	l.buf = append(l.buf, logicalClock)
	l.buf = binary.LittleEndian.AppendUint64(l.buf, l.count-1) // the last to be committed before
	l.buf = binary.LittleEndian.AppendUint64(l.buf, l.count)
	// The top bit of the seven bytes is clear: the original's time is the same.
	us := binary.LittleEndian.AppendUint64(nil, uint64(tx.Time.UnixMicro()))
	l.buf = append(l.buf, us[:7]...)
	length := 0
	if behind > 0 {
		length = transactionLength(len(l.buf)-start+4+l.sum, behind, func(n int) int { return len(lenenc(nil, n)) })
	}
	l.buf = lenenc(l.buf, length)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, mysqlVersionID)
	l.close(start)
}

// statementFlag is FLAG_MAY_HAVE_SBR: not all of it is rows.
func statementFlag(tx *Tx) byte {
	if onlyRows(tx) {
		return 0
	}
	return 1
}

// transactionLength is the length of a transaction whose GTID event has fixed
// bytes and, in it, this length, which is encoded in size(length) bytes.
func transactionLength(fixed, behind int, size func(int) int) int {
	n := fixed + behind
	for n != fixed+behind+size(n) {
		n = fixed + behind + size(n)
	}
	return n
}

// taggedGTID is MySQL 8.3's event for a GTID with a tag: a message of numbered
// fields in the mysql::serialization format (libs/mysql/serialization).
func (l *Writer) taggedGTID(tx *Tx, behind int) {
	var fields []byte
	field := func(id uint64) { fields = varint(fields, id) }
	field(0)
	fields = varint(fields, uint64(statementFlag(tx)))
	field(1)
	for _, b := range tx.GTID.SID {
		fields = varint(fields, uint64(b))
	}
	field(2)
	fields = varint(fields, tx.GTID.Seq<<1) // signed: the sign is the lowest bit
	field(3)
	fields = varint(fields, uint64(len(tx.GTID.Tag)))
	fields = append(fields, tx.GTID.Tag...)
	field(4)
	fields = varint(fields, (l.count-1)<<1)
	field(5)
	fields = varint(fields, l.count<<1)
	field(6)
	fields = varint(fields, uint64(tx.Time.UnixMicro()))
	// 7, the original's time, is left out where it is the same.
	version := varint(varint(nil, 9), mysqlVersionID)
	const front = 1 + 1 + 1 // version of the format, size of the message, last field that must be known
	if behind > 0 {
		field(8)
		size := func(n int) int { return len(varint(nil, uint64(n))) }
		length := transactionLength(headerSize+front+len(fields)+len(version)+l.sum, behind, size)
		fields = varint(fields, uint64(length))
	}
	fields = append(fields, version...)
	start := l.open(typeTaggedGTID, 0)
	l.buf = varint(l.buf, 1)
	// With a tag of at most 32 bytes the message has less than 128.
	l.buf = varint(l.buf, uint64(front+len(fields)))
	l.buf = varint(l.buf, 0)
	l.buf = append(l.buf, fields...)
	l.close(start)
}

// varint appends mysql::serialization's form of an integer: as many low bits are
// set in the first byte as bytes follow.
func varint(b []byte, v uint64) []byte {
	n := (bits.Len64(v|1) + 6) / 7
	if n > 8 {
		return binary.LittleEndian.AppendUint64(append(b, 0xff), v)
	}
	v = v<<n | (1<<(n-1) - 1)
	for range n {
		b = append(b, byte(v))
		v >>= 8
	}
	return b
}

// lenenc appends MySQL's length-encoded integer (Client/Server Protocol,
// "Protocol::LengthEncodedInteger").
func lenenc(b []byte, n int) []byte {
	switch {
	case n < 251:
		return append(b, byte(n))
	case n < 1<<16:
		return append(b, 0xfc, byte(n), byte(n>>8))
	case n < 1<<24:
		return append(b, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xfe), uint64(n))
}

// Flags of MariaDB's GTID event (Gtid_log_event in sql/log_event.h).
const (
	mariaStandalone    = 1
	mariaTransactional = 4
	mariaAllowParallel = 8
	mariaDDL           = 32
	mariaPreparedXA    = 64
	mariaCompletedXA   = 128
)

// mariaGTID is Gtid_log_event: number, domain, flags, and an XID where they say
// so. The server's id is the header's.
func (l *Writer) mariaGTID(tx *Tx) {
	flags := byte(mariaAllowParallel)
	switch tx.End {
	case Commit, OnePhase, Broken:
		flags |= mariaTransactional
	case Alone:
		flags |= mariaStandalone | mariaDDL
	case Prepare:
		flags |= mariaTransactional | mariaPreparedXA
	case XACommit, XARollback:
		flags |= mariaTransactional | mariaStandalone | mariaCompletedXA
	}
	server := l.c.ServerID
	l.c.ServerID = tx.GTID.Server
	start := l.open(typeMariaGTID, flagSuppressUse)
	l.c.ServerID = server
	l.buf = binary.LittleEndian.AppendUint64(l.buf, tx.GTID.Seq)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, tx.GTID.Domain)
	l.buf = append(l.buf, flags)
	if flags&(mariaPreparedXA|mariaCompletedXA) != 0 {
		l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(tx.XID.Format))
		l.buf = append(l.buf, byte(tx.XID.Global), byte(len(tx.XID.Data)-tx.XID.Global))
		l.buf = append(l.buf, tx.XID.Data...)
	}
	const least = 19 // of the body
	for len(l.buf)-start < headerSize+least {
		l.buf = append(l.buf, 0)
	}
	l.close(start)
}
