package batcher

import (
	"encoding/binary"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// place is a place in the Log between two records, and what holds there.
type place struct {
	chunk  *chunk
	number uint64 // chunk's; the chunk itself may be another's by now
	off    int

	// inv has the file, the transaction and the statement in force. Behind an
	// advance its GTID is the last of the run.
	inv Invalidation
	// seq and source are those of the transaction in force, or of the last one.
	seq    uint64
	source uint32
	// open: the place is inside a transaction.
	open bool
	// skip: where the cursor began, the transaction in force had been executed.
	skip bool
	// lo and end are those of the end or advance record just passed; lo is the
	// first number of the run.
	lo, end uint64
	// files counts the changes of the file so far, and endFiles is what it was at end.
	files, endFiles int
}

// mark is a place's address. Chunks are numbered in the order of the Log.
type mark struct {
	number uint64
	off    int
}

func (m mark) before(n mark) bool {
	return m.number < n.number || m.number == n.number && m.off < n.off
}

func (p *place) mark() mark { return mark{p.number, p.off} }

// enter moves p to c's first record.
func (p *place) enter(c *chunk) { p.chunk, p.number, p.off = c, c.number, 0 }

// step passes the record at p and says what it was. Of a key it only passes the
// bytes: who wants them looks first. It allocates where the file changes, and
// nowhere else. Schema and table alias buf.
func (p *place) step(buf []byte, sources []binlog.GTID) kind {
	b := buf[p.off:]
	switch b[0] {
	case kindKey:
		p.off += 2 + int(b[1])
	case kindBegin, kindContinued:
		b = b[:beginSize]
		p.inv.Start = binary.LittleEndian.Uint64(b[21:])
		p.inv.Time = int64(binary.LittleEndian.Uint64(b[29:]))
		p.inv.Read = int64(binary.LittleEndian.Uint64(b[37:]))
		p.stepTransaction(b, sources)
		p.open = true
		p.off += beginSize
	case kindEnd:
		p.lo = p.inv.GTID.Seq
		p.end, p.endFiles = binary.LittleEndian.Uint64(b[1:]), p.files
		p.open = false
		p.off += endSize
	case kindAbort:
		p.open = false
		p.off++
	case kindAdvance:
		b = b[:advanceSize]
		p.lo = binary.LittleEndian.Uint64(b[21:])
		p.end, p.endFiles = binary.LittleEndian.Uint64(b[29:]), p.files
		p.inv.Time = int64(binary.LittleEndian.Uint64(b[37:]))
		p.stepTransaction(b, sources)
		p.off += advanceSize
	case kindStatement:
		p.inv.Cause = Cause(b[1])
		off := p.off + 2
		p.inv.Schema, off = name(buf, off)
		p.inv.Table, off = name(buf, off)
		p.off = off
	case kindFile:
		p.off = p.stepFile(buf, p.off+1)
	default:
		panic("batcher: the log holds what nobody appended")
	}
	return b[0]
}

// stepTransaction reads what begin, continued and advance have in common.
func (p *place) stepTransaction(b []byte, sources []binlog.GTID) {
	p.seq = binary.LittleEndian.Uint64(b[1:])
	if source := binary.LittleEndian.Uint32(b[9:]); source != p.source {
		p.source = source
		p.inv.GTID = sources[source]
	}
	p.inv.GTID.Seq = binary.LittleEndian.Uint64(b[13:])
}

func (p *place) stepFile(buf []byte, off int) int {
	name, off := text(buf, off)
	server, off := text(buf, off)
	created, size := binary.Varint(buf[off:])
	f := &p.inv.File
	was := f.Created
	f.Created = time.Time{}
	if created != 0 {
		f.Created = time.Unix(created, 0).UTC()
	}
	// Every chunk says again which file it is.
	if string(name) != f.Name || string(server) != f.Server || !f.Created.Equal(was) {
		f.Name, f.Server = string(name), string(server)
		p.files++
	}
	return off + size
}
