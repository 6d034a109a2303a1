package binlogtest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Types of events (MySQL libs/mysql/binlog/event/binlog_event.h; MariaDB
// sql/log_event.h).
const (
	typeQuery              = 2
	typeStop               = 3
	typeRotate             = 4
	typeFormatDescription  = 15
	typeXID                = 16
	typeTableMap           = 19
	typeWriteRowsV1        = 23
	typeRowsQuery          = 29
	typeWriteRowsV2        = 30
	typeGTID               = 33
	typeAnonymousGTID      = 34
	typePreviousGTIDs      = 35
	typeXAPrepare          = 38
	typeTransactionPayload = 40
	typeTaggedGTID         = 42

	typeAnnotateRows          = 160
	typeBinlogCheckpoint      = 161
	typeMariaGTID             = 162
	typeMariaGTIDList         = 163
	typeQueryCompressed       = 165
	typeWriteRowsV1Compressed = 166
)

// Flags of an event's header.
const (
	flagInUse       = 0x01
	flagSuppressUse = 0x08 // the session's schema does not matter
	flagIgnorable   = 0x80
)

const (
	headerSize   = 19
	checksumSize = 4

	// Where a header has what close and flush write.
	sizeAt  = 9
	endAt   = 13
	flagsAt = 17
)

// keep is how much scratch space stays for the next transaction.
const keep = 1 << 20

// Config says how a log file is to be. The zero value is a MySQL server's with
// checksums and GTIDs.
type Config struct {
	// Flavor is whose log it is. FlavorUnknown: MySQL.
	Flavor binlog.Flavor
	// NoChecksums leaves out the CRC32 behind each event.
	NoChecksums bool
	// Anonymous is a MySQL without GTIDs: transactions begin with anonymous GTID
	// events. MariaDB has no such thing.
	Anonymous bool
	// ServerID is the server's id. 0: 1.
	ServerID uint32
	// Name is the file's own. "": bin.000001. Only MariaDB writes it into the file.
	Name string
	// Time is when the file was begun. Zero: 2025-01-02 03:04:05 UTC.
	Time time.Time
	// Previous is what was executed before this file. nil: nothing.
	Previous *binlog.GTIDSet
	// InUse marks the file as one that the server still writes, or wrote when it
	// crashed.
	InUse bool
}

// Writer writes one log file. What it was told stands in it when a method returns,
// in one Write for each transaction, so a Writer on a pipe is a live stream. The
// first error of the io.Writer ends the writing: from there on methods do nothing,
// and Err tells it. One goroutine at a time.
type Writer struct {
	w      io.Writer
	c      Config
	offset uint64
	err    error

	buf    []byte // events that are not in the file yet
	body   []byte // scratch: a transaction behind its GTID event
	sum    int    // bytes of checksum behind each event
	now    time.Time
	last   binlog.GTID // of the last transaction; its number alone is zero before the first
	count  uint64      // transactions so far
	rows   uint64      // rows so far: their id column
	tables map[string]uint64
	pack   packer
}

// NewWriter begins a file: its first four bytes, the format description, and which
// transactions the files before it hold.
func NewWriter(w io.Writer, c Config) *Writer {
	if c.Flavor == binlog.FlavorUnknown {
		c.Flavor = binlog.MySQL
	}
	if c.ServerID == 0 {
		c.ServerID = 1
	}
	if c.Name == "" {
		c.Name = "bin.000001"
	}
	if c.Time.IsZero() {
		c.Time = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	l := &Writer{w: w, c: c, now: c.Time, tables: make(map[string]uint64)}
	if !c.NoChecksums {
		l.sum = checksumSize
	}
	l.last = l.before()
	l.write([]byte("\xfebin"))
	l.formatDescription()
	l.previous()
	if c.Flavor == binlog.MariaDB {
		l.checkpoint(c.Name)
	}
	l.flush()
	return l
}

// Err is the first error of the io.Writer, or the first thing asked for that no
// log can hold.
func (l *Writer) Err() error { return l.err }

// Offset is where the next event will begin.
func (l *Writer) Offset() uint64 { return l.offset }

// Rotate ends the file as a server does that goes on with the next one.
func (l *Writer) Rotate(next string) {
	start := l.open(typeRotate, 0)
	l.buf = binary.LittleEndian.AppendUint64(l.buf, 4)
	l.buf = append(l.buf, next...)
	l.close(start)
	l.flush()
}

// Stop ends the file as a server does that is shut down.
func (l *Writer) Stop() { l.Event(typeStop, 0, nil) }

// Checkpoint writes MariaDB's Binlog_checkpoint event: what stands in the files
// before this one is durable.
func (l *Writer) Checkpoint(file string) {
	l.checkpoint(file)
	l.flush()
}

func (l *Writer) checkpoint(file string) {
	start := l.open(typeBinlogCheckpoint, 0)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(len(file)))
	l.buf = append(l.buf, file...)
	l.close(start)
}

// Event writes an event of any type and body: what no other method has a word
// for, and what no server would write.
func (l *Writer) Event(kind uint8, flags uint16, body []byte) {
	start := l.open(kind, flags)
	l.buf = append(l.buf, body...)
	l.close(start)
	l.flush()
}

// open begins an event; its body is appended to buf, and close ends it.
func (l *Writer) open(kind uint8, flags uint16) (start int) {
	start = len(l.buf)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(l.now.Unix()))
	l.buf = append(l.buf, kind)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, l.c.ServerID)
	l.buf = append(l.buf, 0, 0, 0, 0) // its size: close
	l.buf = append(l.buf, 0, 0, 0, 0) // its end in the file: flush
	l.buf = binary.LittleEndian.AppendUint16(l.buf, flags)
	return start
}

func (l *Writer) close(start int) {
	var room [checksumSize]byte
	l.buf = append(l.buf, room[:l.sum]...)
	size := len(l.buf) - start
	if size > math.MaxUint32 {
		l.fail(fmt.Errorf("an event of %d bytes", size))
	}
	binary.LittleEndian.PutUint32(l.buf[start+sizeAt:], uint32(size))
}

// flush gives the events in buf their places and checksums and writes them.
func (l *Writer) flush() {
	end := l.offset
	for b := l.buf; len(b) > 0 && l.err == nil; {
		size := binary.LittleEndian.Uint32(b[sizeAt:])
		e := b[:size]
		b = b[size:]
		end += uint64(size)
		binary.LittleEndian.PutUint32(e[endAt:], uint32(end))
		described := e[4] == typeFormatDescription
		if l.sum == 0 && !described {
			continue
		}
		cut := size - checksumSize
		binary.LittleEndian.PutUint32(e[cut:], crc32.ChecksumIEEE(e[:cut]))
		if described && l.c.InUse {
			// A server sets the mark in place, behind the checksum's back.
			e[flagsAt] |= flagInUse
		}
	}
	l.write(l.buf)
	l.buf = l.buf[:0]
	if cap(l.buf) > keep {
		l.buf = nil
	}
}

func (l *Writer) write(b []byte) {
	if l.err != nil || len(b) == 0 {
		return
	}
	n, err := l.w.Write(b)
	l.offset += uint64(n)
	if err != nil {
		l.fail(err)
	}
}

func (l *Writer) fail(err error) {
	if l.err == nil {
		l.err = fmt.Errorf("write log at offset %d: %w", l.offset, err)
	}
}
