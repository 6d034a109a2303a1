package checkpoint

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// A file of the spool holds the keys of one prepared XA transaction and, once it
// has been read, the decision on it. It is a run of records behind eight bytes that
// say what it is:
//
//	file       = "mcsq-xa" version body { decision }
//	body       = head { statement | key } end
//
// A record is its kind (1 byte), the length of what follows (2 bytes), and:
//
//	head       number (8), XID, place
//	statement  cause (1), schema and table, each behind its length (1)
//	key        the key
//	end        the sum of all before it (4)
//	decision   outcome (1), place, the sum of end's sum and of all before it in this record (4)
//
//	XID        format (8), length of the global part (1), length (1), data
//	place      flavor (1); for MySQL: SID (16), length of the tag (1), tag, number (8);
//	           for MariaDB: domain (4), server (4), number (8); then the file: length
//	           of its name (2), name, length of its server (1), server, seconds from
//	           1970 to its creation (8, 0 if not known); start (8)
//
// Integers are little-endian, sums are CRC-32C. A statement holds for the keys up to
// the next one. The last decision is the one that counts; one whose outcome is
// Prepared takes the one before back.
//
//	Begin              Prepared                    Decide          Forget
//	      n.new: keys ──────────► id.xa: undecided ──────► decided ──────► gone
//	                 sync, rename       ▲ │          append, sync
//	                                    └─┘ Prepared, read again: replaced whole
//
// The body is whole from the moment the file has its name. A decision is appended in
// place, so a crash can leave a piece of one behind: nothing has passed it then, and
// it is read again.
const (
	magic = "mcsq-xa\x01" // the last byte is the version

	kindHead      = 'H'
	kindStatement = 'S'
	kindKey       = 'K'
	kindEnd       = 'E'
	kindDecision  = 'D'
)

// The most that fields may take, as elsewhere: X/Open's XIDDATASIZE; the lengths that
// the log itself has room for; a path where log files are read.
const (
	maxXID       = 128
	maxTag       = 255
	maxFileName  = 1024
	maxServer    = 255
	maxName      = 255
	recordHead   = 1 + 2
	maxPlace     = 1 + 16 + 1 + maxTag + 8 + 2 + maxFileName + 1 + maxServer + 8 + 8
	maxHead      = 8 + 8 + 1 + 1 + maxXID + maxPlace
	maxStatement = 1 + 1 + maxName + 1 + maxName
	endLen       = 4
	maxDecision  = 1 + maxPlace + 4
	// readBuffer holds every record whole.
	readBuffer = 4 << 10
)

var _ [readBuffer - recordHead - maxHead]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// head names the transaction whose keys a file holds.
type head struct {
	// number counts what has been stored in the spool: what came later has the
	// greater one.
	number  uint64
	xid     binlog.XID
	prepare Place
}

// decision is what became of it.
type decision struct {
	outcome binlog.Outcome
	place   Place
}

// openRecord begins a record; closeRecord, once it has been appended to the end,
// writes its length where it begins.

func openRecord(b []byte, kind byte) []byte { return append(b, kind, 0, 0) }

func closeRecord(b []byte, at int) []byte {
	le.PutUint16(b[at+1:], uint16(len(b)-at-recordHead))
	return b
}

func appendHead(b []byte, h *head) []byte {
	b = append(b, magic...)
	at := len(b)
	b = openRecord(b, kindHead)
	b = le.AppendUint64(b, h.number)
	b = le.AppendUint64(b, uint64(h.xid.Format))
	b = append(b, byte(h.xid.Global))
	b = appendShort(b, h.xid.Data)
	return closeRecord(appendPlace(b, &h.prepare), at)
}

func appendPlace(b []byte, p *Place) []byte {
	b = append(b, byte(p.GTID.Flavor))
	switch p.GTID.Flavor {
	case binlog.MySQL:
		b = append(b, p.GTID.SID[:]...)
		b = appendShort(b, p.GTID.Tag)
		b = le.AppendUint64(b, p.GTID.Seq)
	case binlog.MariaDB:
		b = le.AppendUint32(b, p.GTID.Domain)
		b = le.AppendUint32(b, p.GTID.Server)
		b = le.AppendUint64(b, p.GTID.Seq)
	default:
	}
	b = le.AppendUint16(b, uint16(len(p.File.Name)))
	b = append(b, p.File.Name...)
	b = appendShort(b, p.File.Server)
	var created int64
	if !p.File.Created.IsZero() {
		created = p.File.Created.Unix()
	}
	b = le.AppendUint64(b, uint64(created))
	return le.AppendUint64(b, p.Start)
}

func appendShort[S string | []byte](b []byte, s S) []byte {
	return append(append(b, byte(len(s))), s...)
}

func appendStatement(b []byte, s *Statement) []byte {
	at := len(b)
	b = append(openRecord(b, kindStatement), byte(s.Cause))
	return closeRecord(appendShort(appendShort(b, s.Schema), s.Table), at)
}

func appendKey(b, key []byte) []byte {
	return append(append(b, kindKey, byte(len(key)), 0), key...)
}

// appendEnd ends a body: b is what of it has not been summed yet, sum that of what
// has. It returns the sum that the body ends in, too.
func appendEnd(b []byte, sum uint32) ([]byte, uint32) {
	b = append(b, kindEnd, endLen, 0)
	sum = crc32.Update(sum, castagnoli, b)
	return le.AppendUint32(b, sum), sum
}

// appendDecision appends the record for a file whose body ends in bodySum.
func appendDecision(b []byte, bodySum uint32, d *decision) []byte {
	at := len(b)
	b = append(openRecord(b, kindDecision), byte(d.outcome))
	b = appendPlace(b, &d.place)
	b = closeRecord(append(b, 0, 0, 0, 0), at)
	sum := len(b) - 4
	le.PutUint32(b[sum:], crc32.Update(bodySum, castagnoli, b[at:sum]))
	return b
}

// Ways in which a file is damaged.
var (
	errCut      = errors.New("the file ends too early")
	errRecord   = errors.New("a record that cannot stand here, or of an impossible length")
	errSum      = errors.New("its checksum does not match")
	errTrailing = errors.New("more follows than a decision that was being written")
)

// recordReader reads a file of the spool. Whatever the file holds, it takes no more
// memory than its buffer.
type recordReader struct {
	r    *bufio.Reader
	sum  uint32 // of all records read up to the end's
	size int64  // bytes of them
	body body
}

// body is what is known of a file once its body has been read.
type body struct {
	head
	keys uint64
	size int64
	sum  uint32
}

// newRecordReader reads what a file begins with. size is about how long it is, to
// have no larger a buffer than it takes.
func newRecordReader(r io.Reader, size int64) (*recordReader, error) {
	rr := &recordReader{r: bufio.NewReaderSize(r, int(min(max(size, readBuffer), collectBytes)))}
	b, err := rr.peek(len(magic))
	if err != nil {
		return nil, err
	}
	if v := len(magic) - 1; string(b[:v]) != magic[:v] {
		return nil, errors.New("it is no file of an XA transaction's keys")
	} else if b[v] != magic[v] {
		return nil, fmt.Errorf("version %d, expected %d; it was written by another release of mcsqueal", b[v], magic[v])
	}
	rr.skip(b)
	record, err := rr.record()
	if err != nil {
		return nil, err
	}
	if record[0] != kindHead || !readHead(record[recordHead:], &rr.body.head) {
		return nil, errRecord
	}
	rr.skip(record)
	return rr, nil
}

// each hands over the keys of the body, and ends behind it. An error of key is
// returned as it is.
func (rr *recordReader) each(key func(s Statement, key []byte) error) error {
	var s Statement
	var names [2 * maxName]byte // the statement's own, for the record is read over
	for {
		record, err := rr.record()
		if err != nil {
			return err
		}
		content := record[recordHead:]
		switch record[0] {
		case kindStatement:
			if !readStatement(content, &s, &names) {
				return errRecord
			}
		case kindKey:
			if len(content) == 0 {
				return errRecord
			}
			rr.body.keys++
			if err := key(s, content); err != nil {
				return err
			}
		case kindEnd:
			return rr.end(record)
		default:
			return errRecord
		}
		rr.skip(record)
	}
}

func (rr *recordReader) end(record []byte) error {
	content := record[recordHead:]
	if len(content) != endLen {
		return errRecord
	}
	rr.body.sum = crc32.Update(rr.sum, castagnoli, record[:recordHead])
	if rr.body.sum != le.Uint32(content) {
		return errSum
	}
	rr.skip(record)
	rr.body.size = rr.size
	return nil
}

// decision reads what follows the body: the decision that counts, nil if none does,
// and where the last whole one ends. A piece of one more may follow.
func (rr *recordReader) decision() (d *decision, size int64, err error) {
	for {
		rest, err := rr.r.Peek(recordHead + maxDecision + 1)
		if err != nil && err != io.EOF {
			return nil, 0, err
		}
		next, n := readDecision(rest, rr.body.sum)
		if next == nil {
			if n > 0 && n < len(rest) || len(rest) > recordHead+maxDecision {
				return nil, 0, errTrailing
			}
			return d, rr.size, nil
		}
		if d = next; d.outcome == binlog.Prepared {
			d = nil
		}
		rr.skip(rest[:n])
	}
}

// record is the next record, in the buffer; the caller skips it when it is done.
func (rr *recordReader) record() ([]byte, error) {
	b, err := rr.peek(recordHead)
	if err != nil {
		return nil, err
	}
	n := int(le.Uint16(b[1:]))
	most := 0
	switch b[0] {
	case kindHead:
		most = maxHead
	case kindStatement:
		most = maxStatement
	case kindKey:
		most = batcher.MaxKey
	case kindEnd:
		most = endLen
	}
	if n > most {
		return nil, errRecord
	}
	return rr.peek(recordHead + n)
}

func (rr *recordReader) peek(n int) ([]byte, error) {
	b, err := rr.r.Peek(n)
	if err == io.EOF {
		err = errCut
	}
	return b, err
}

func (rr *recordReader) skip(b []byte) {
	rr.sum = crc32.Update(rr.sum, castagnoli, b)
	rr.size += int64(len(b))
	_, _ = rr.r.Discard(len(b)) // they are in the buffer
}

func readHead(b []byte, h *head) bool {
	f := fields{b: b}
	h.number = f.uint64()
	h.xid.Named = true
	h.xid.Format = int64(f.uint64())
	h.xid.Global = int(f.uint8())
	h.xid.Data = string(f.take(int(f.uint8())))
	h.prepare = f.place()
	return f.done() && len(h.xid.Data) <= maxXID && h.xid.Global <= len(h.xid.Data)
}

// readStatement reads a statement, whose names it copies.
func readStatement(b []byte, s *Statement, names *[2 * maxName]byte) bool {
	f := fields{b: b}
	s.Cause = batcher.Cause(f.uint8())
	s.Schema = append(names[:0:maxName], f.take(int(f.uint8()))...)
	s.Table = append(names[maxName:maxName], f.take(int(f.uint8()))...)
	return f.done()
}

// readDecision reads the decision that b begins with; nil if that is none, or not
// whole. n is how long its record says that it is, 0 if b does not begin with one.
func readDecision(b []byte, bodySum uint32) (d *decision, n int) {
	if len(b) < recordHead || b[0] != kindDecision {
		return nil, 0
	}
	n = recordHead + int(le.Uint16(b[1:]))
	if n > len(b) || n < recordHead+4 || n > recordHead+maxDecision {
		return nil, n
	}
	sum := n - 4
	if crc32.Update(bodySum, castagnoli, b[:sum]) != le.Uint32(b[sum:]) {
		return nil, n
	}
	f := fields{b: b[recordHead:sum]}
	d = &decision{outcome: binlog.Outcome(f.uint8()), place: f.place()}
	switch d.outcome {
	case binlog.Prepared, binlog.XACommitted, binlog.XARolledBack:
	default:
		return nil, n
	}
	if !f.done() {
		return nil, n
	}
	return d, n
}

// fields takes a record apart. Where it ends too early the fields are zero, and it
// is not done.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) done() bool { return !f.bad && len(f.b) == 0 }

func (f *fields) take(n int) []byte {
	if n > len(f.b) {
		f.b, f.bad = nil, true
		return nil
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) uint8() uint8 {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return le.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return le.Uint64(b)
	}
	return 0
}

func (f *fields) place() (p Place) {
	p.GTID.Flavor = binlog.Flavor(f.uint8())
	switch p.GTID.Flavor {
	case binlog.FlavorUnknown:
	case binlog.MySQL:
		copy(p.GTID.SID[:], f.take(len(p.GTID.SID)))
		p.GTID.Tag = string(f.take(int(f.uint8())))
		p.GTID.Seq = f.uint64()
	case binlog.MariaDB:
		p.GTID.Domain, p.GTID.Server = f.uint32(), f.uint32()
		p.GTID.Seq = f.uint64()
	default:
		f.bad = true
	}
	n := f.uint16()
	p.File.Name = string(f.take(int(n)))
	f.bad = f.bad || n > maxFileName
	p.File.Server = string(f.take(int(f.uint8())))
	if created := int64(f.uint64()); created != 0 {
		p.File.Created = time.Unix(created, 0).UTC()
	}
	p.Start = f.uint64()
	return p
}
