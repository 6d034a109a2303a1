package binlogtest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
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

	typeAnnotateRows        = 160
	typeBinlogCheckpoint    = 161
	typeMariaGTID           = 162
	typeMariaGTIDList       = 163
	typeQueryCompressed     = 165
	typeWriteRowsV1Compress = 166
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
)

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

// Writer writes one log file. What it was told stands in it as soon as a method
// returns, in one Write for each transaction, so a Writer on a pipe is a live
// stream. The first error of the io.Writer ends the writing: from there on
// methods do nothing, and Err tells it. One goroutine at a time.
type Writer struct {
	w        io.Writer
	c        Config
	offset   uint64
	err      error
	checksum int    // bytes behind each event
	buf      []byte // events that are not sealed yet
	out      []byte // sealed events
	now      time.Time
	tx       Tx     // the transaction in progress
	count    uint64 // transactions so far, for logical clock and XIDs
	tables   map[string]uint64
	last     binlog.GTID
	deflate  deflater
}

// NewWriter begins a file: the four magic bytes, the format description, and the
// transactions of the files before it.
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
	b := &Writer{w: w, c: c, now: c.Time, tables: make(map[string]uint64), last: firstGTID(c)}
	if !c.NoChecksums {
		b.checksum = checksumSize
	}
	b.write([]byte("\xfebin"))
	b.head()
	b.flush()
	return b
}

// Err is the first error of the io.Writer, or of a method that was asked for what
// no log holds.
func (w *Writer) Err() error { return w.err }

// Offset is where the next event will begin.
func (w *Writer) Offset() uint64 { return w.offset }

// Rotate ends the file as a server does that goes on with the next one.
func (w *Writer) Rotate(next string) {
	w.event(typeRotate, 0, func(b []byte) []byte {
		return append(binary.LittleEndian.AppendUint64(b, 4), next...)
	})
	w.flush()
}

// Stop ends the file as a server does that is shut down.
func (w *Writer) Stop() {
	w.Event(typeStop, 0, nil)
}

// Checkpoint writes MariaDB's Binlog_checkpoint event: all that stands in files
// before this one is durable.
func (w *Writer) Checkpoint(file string) {
	w.event(typeBinlogCheckpoint, 0, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(file)))
		return append(b, file...)
	})
	w.flush()
}

// Event writes an event of any type: what no other method has a word for.
func (w *Writer) Event(kind uint8, flags uint16, body []byte) {
	w.event(kind, flags, func(b []byte) []byte { return append(b, body...) })
	w.flush()
}

// event gathers an event: its header, the body that is appended by body, and room
// for its checksum.
func (w *Writer) event(kind uint8, flags uint16, body func(b []byte) []byte) {
	w.buf = w.appendEvent(w.buf, kind, flags, w.checksum, body)
}

func (w *Writer) appendEvent(b []byte, kind uint8, flags uint16, checksum int, body func(b []byte) []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(w.now.Unix()))
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, w.c.ServerID)
	b = binary.LittleEndian.AppendUint32(b, 0) // the size: below
	b = binary.LittleEndian.AppendUint32(b, 0) // the end in the file: see seal
	b = binary.LittleEndian.AppendUint16(b, flags)
	if body != nil {
		b = body(b)
	}
	var room [checksumSize]byte
	b = append(b, room[:checksum]...)
	binary.LittleEndian.PutUint32(b[start+9:], uint32(len(b)-start))
	return b
}

// seal gives the gathered events that stand one behind the other in b their
// places, from the offset at on, and their checksums.
func (w *Writer) seal(b []byte, at uint64) {
	for len(b) > 0 {
		size := binary.LittleEndian.Uint32(b[9:])
		e := b[:size]
		at += uint64(size)
		binary.LittleEndian.PutUint32(e[13:], uint32(at))
		if w.checksum > 0 {
			sum := int(size) - checksumSize
			// The server sets the mark in place, so the checksum does not know of it.
			inUse := e[4] == typeFormatDescription && e[17]&flagInUse != 0
			if inUse {
				e[17] &^= flagInUse
			}
			binary.LittleEndian.PutUint32(e[sum:], crc32.ChecksumIEEE(e[:sum]))
			if inUse {
				e[17] |= flagInUse
			}
		}
		b = b[size:]
	}
}

// flush seals what has been gathered and writes it.
func (w *Writer) flush() {
	w.seal(w.buf, w.offset)
	w.write(w.buf)
	w.buf = w.buf[:0]
}

func (w *Writer) write(b []byte) {
	if w.err != nil || len(b) == 0 {
		return
	}
	if n, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("write log at offset %d: %w", w.offset+uint64(n), err)
		return
	}
	w.offset += uint64(len(b))
}
