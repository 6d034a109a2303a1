package batcher

import (
	"encoding/binary"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// A chunk of the Log is a run of records. A record is its kind and, in this order:
//
//	file       length and name, length and server, created (seconds since 1970; 0: unknown)
//	begin      seq 8, source 4, number 8, start 8, time 8, read 8
//	continued  the same; the transaction began in an earlier chunk
//	statement  cause 1, length 1 and schema, length 1 and table
//	key        length 1 and key
//	end        end 8
//	abort      what was begun has not ended and never will; it may come again
//	advance    seq 8, source 4, hi 8, lo 8, end 8, time 8: transactions without keys
//
// Sizes are in bytes, integers little-endian; those without a size are varints.
// Records that come with every transaction have none, for reading those took a
// third of a cursor's time. Source is an index into Log.sources. A file and a
// statement hold until the next of their kind in the same chunk. A chunk explains
// itself: before its first key stand the file, the transaction (continued, if it
// began earlier) and the statement, so that a cursor can start at any chunk.
//
//	grammar    chunk       = { file | statement | transaction | advance }
//	           transaction = ( begin | continued ) { file | statement | key } ( end | abort | the chunk's end )
type kind = byte

const (
	kindFile kind = 1 + iota
	kindBegin
	kindContinued
	kindStatement
	kindKey
	kindEnd
	kindAbort
	kindAdvance
)

// MaxKey is the most bytes a key may have (memcached's protocol.txt, "Keys").
const MaxKey = 250

// The most that records may take. Identifiers have at most 64 characters and their
// lengths one byte in the log itself (Table_map_event in MySQL's rows_event.h); a
// log file's name has at most FN_REFLEN (512) bytes on a server, but may be a path
// where files are read.
const (
	maxName      = 255
	maxFileName  = 1024
	maxServer    = 255
	maxFile      = 1 + 2 + maxFileName + 2 + maxServer + binary.MaxVarintLen64
	maxStatement = 1 + 1 + 1 + maxName + 1 + maxName
	maxKeyRecord = 1 + 1 + MaxKey
	beginSize    = 1 + 8 + 4 + 8 + 8 + 8 + 8
	endSize      = 1 + 8
	advanceSize  = 1 + 8 + 4 + 8 + 8 + 8 + 8
	// reserve is kept free behind every key, so that the transaction can always be
	// ended or aborted.
	reserve = endSize
)

// minChunk holds every record that a chunk needs before its first key, and the key.
const minChunk = 4 << 10

var _ [minChunk - maxFile - advanceSize - beginSize - maxStatement - maxKeyRecord - reserve]byte

// Cause says where a key came from.
type Cause uint8

// The causes of an invalidation. The zero value is "not said".
const (
	Tag  Cause = 1 + iota // named in a SQL comment
	Rule                  // derived from a table's row
)

// String is the cause as --dry-run prints it; "" for the zero value.
func (c Cause) String() string {
	switch c {
	case Tag:
		return "tag"
	case Rule:
		return "rule"
	default:
		return ""
	}
}

func appendFile(b []byte, f binlog.File) []byte {
	b = append(b, kindFile)
	b = binary.AppendUvarint(b, uint64(len(f.Name)))
	b = append(b, f.Name...)
	b = binary.AppendUvarint(b, uint64(len(f.Server)))
	b = append(b, f.Server...)
	var created int64
	if !f.Created.IsZero() {
		created = f.Created.Unix()
	}
	return binary.AppendVarint(b, created)
}

func appendBegin(b []byte, k kind, seq uint64, source uint32, t *Transaction) []byte {
	b = append(b, k)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint32(b, source)
	b = binary.LittleEndian.AppendUint64(b, t.GTID.Seq)
	b = binary.LittleEndian.AppendUint64(b, t.Start)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Time))
	return binary.LittleEndian.AppendUint64(b, uint64(t.Read))
}

func appendStatement(b []byte, cause Cause, schema, table []byte) []byte {
	b = append(b, kindStatement, byte(cause), byte(len(schema)))
	b = append(b, schema...)
	b = append(b, byte(len(table)))
	return append(b, table...)
}

func appendKey(b, key []byte) []byte {
	b = append(b, kindKey, byte(len(key)))
	return append(b, key...)
}

func appendEnd(b []byte, end uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, kindEnd), end)
}

func appendAdvance(b []byte, a *advance) []byte {
	b = append(b, kindAdvance)
	b = binary.LittleEndian.AppendUint64(b, a.seq)
	b = binary.LittleEndian.AppendUint32(b, a.source)
	b = binary.LittleEndian.AppendUint64(b, a.gtid.Seq)
	b = binary.LittleEndian.AppendUint64(b, a.lo)
	b = binary.LittleEndian.AppendUint64(b, a.end)
	return binary.LittleEndian.AppendUint64(b, uint64(a.time))
}

// text reads a length and so many bytes at b[off:], and says where the next field
// is; name the same with a length of one byte.

func text(b []byte, off int) (s []byte, next int) {
	n, size := binary.Uvarint(b[off:])
	off += size
	next = off + int(n)
	return b[off:next:next], next
}

func name(b []byte, off int) (s []byte, next int) {
	next = off + 1 + int(b[off])
	return b[off+1 : next : next], next
}

// seqAt is the seq of the begin, continued or advance record at b[off:].
func seqAt(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off+1:]) }
