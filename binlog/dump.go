package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// dump reads the packets of a dump connection (COM_BINLOG_DUMP and
// COM_BINLOG_DUMP_GTID) as events.
type dump struct {
	buffer
	conn net.Conn
	// silence is how long nothing may arrive, heartbeats included, before the
	// connection is taken for dead.
	silence time.Duration
	name    string // of the source, for errors
	// offset is the end of the last event, in 64 bits: the log's own are 32.
	offset    uint64
	sequence  uint8
	format    format
	described bool          // a format description has been read
	read      *atomic.Int64 // counts bytes
	heard     *atomic.Int64 // when something came, in microseconds since 1970
	skim      func(h header, head []byte) bool
	large     []byte // an event that spans packets, or the head of one walked over
}

// maxPacket is the payload at which a packet says that another continues it.
const maxPacket = 1<<24 - 1

func newDump(conn net.Conn, name string, silence time.Duration) *dump {
	d := &dump{conn: conn, name: name, silence: silence}
	d.buffer = newBuffer(d)
	d.read, d.heard = new(atomic.Int64), new(atomic.Int64)
	// Packets are numbered from the command on.
	d.sequence = 1
	return d
}

// Read implements io.Reader for the buffer: from the connection, with a deadline.
func (d *dump) Read(p []byte) (int, error) {
	if err := d.conn.SetReadDeadline(time.Now().Add(d.silence)); err != nil {
		return 0, err
	}
	n, err := d.conn.Read(p)
	if n > 0 {
		d.read.Add(int64(n))
		d.heard.Store(time.Now().UnixMicro())
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		err = &SilenceError{Source: d.name, After: d.silence}
	}
	return n, err
}

// SilenceError says that a source sent nothing, not even heartbeats.
type SilenceError struct {
	Source string
	After  time.Duration
}

func (e *SilenceError) Error() string {
	return fmt.Sprintf("%s sent nothing for %s, not even a heartbeat", e.Source, e.After)
}

func (d *dump) protocolError(format string, args ...any) error {
	return fmt.Errorf("dump from %s: %s", d.name, fmt.Sprintf(format, args...))
}

// next reads one event into e. It fails with io.EOF when the server says that
// the log ends here (a dump that was told not to wait), with a *mysql.MyError
// for what the server refuses.
func (d *dump) next(e *event) error {
	const front = 4 + 1 // the packet's header and the status byte
	if err := d.needPacket(front); err != nil {
		return err
	}
	n := int(d.buf[d.lo]) | int(d.buf[d.lo+1])<<8 | int(d.buf[d.lo+2])<<16
	if seq := d.buf[d.lo+3]; seq != d.sequence {
		return d.protocolError("packet number %d, expected %d", seq, d.sequence)
	}
	if n == 0 {
		return d.protocolError("an empty packet")
	}
	switch status := d.buf[d.lo+4]; {
	case status == 0:
	case status == 0xff:
		if err := d.needPacket(4 + n); err != nil {
			return err
		}
		return serverError(d.buf[d.lo+front : d.lo+4+n])
	case status == 0xfe && n < 9:
		return io.EOF
	default:
		return d.protocolError("a packet with status %#x, expected an event", status)
	}
	if n < 1+headerSize {
		return d.protocolError("an event of %d bytes, expected at least %d", n-1, headerSize)
	}
	if 4+n > len(d.buf) || n == maxPacket {
		return d.nextLarge(e, n)
	}
	if d.hi-d.lo < 4+n {
		if err := d.needPacket(4 + n); err != nil {
			return err
		}
	}
	raw := d.buf[d.lo+front : d.lo+4+n]
	d.lo += 4 + n
	d.sequence++
	return d.take(e, raw)
}

// take makes an event of its bytes.
func (d *dump) take(e *event, raw []byte) error {
	e.header = parseHeader(raw)
	if int(e.size) != len(raw) {
		return d.protocolError("an event whose header says %d bytes in a packet of %d", e.size, len(raw))
	}
	e.partial = false
	d.place(e)
	body := raw[headerSize:]
	sum := d.format.checksum
	switch e.kind {
	case typeFormatDescription:
		f, err := parseFormat(e.header, body)
		if err != nil {
			return d.protocolError("format description: %v", err)
		}
		d.format, d.described = f, true
		raw[17] &^= flagInUse
		if sum = f.checksum; !sum {
			body = body[:len(body)-checksumSize]
		}
	case typeRotate:
		// The one in front of the format description may or may not have one.
		if !d.described {
			n := len(raw) - checksumSize
			sum = n > headerSize && crc32.ChecksumIEEE(raw[:n]) == binary.LittleEndian.Uint32(raw[n:])
		}
	}
	if sum {
		cut := len(raw) - checksumSize
		if cut < headerSize {
			return d.protocolError("an event of %d bytes, expected one with a checksum", len(raw))
		}
		want, got := binary.LittleEndian.Uint32(raw[cut:]), checksum(raw[:cut])
		if want != got {
			return &CorruptError{File: d.name, Offset: e.start, What: checksumError(want, got, len(raw))}
		}
		body = raw[headerSize:cut]
	}
	e.body = body
	return nil
}

// place finds an event's offsets. Log positions have 32 bits and wrap in files
// past 4 GiB; they are zero in events the dump thread made up and, from MariaDB
// 11.4 on, inside transactions.
func (d *dump) place(e *event) {
	switch {
	case e.flags&flagArtificial != 0 && !transactional(e.kind) || e.kind == typeHeartbeat || e.kind == typeHeartbeatV2 || e.kind == typeFormatDescription && e.logPos == 0:
		e.start, e.end = d.offset, d.offset
		return
	case e.logPos == 0:
		e.end = d.offset + uint64(e.size)
	default:
		e.end = d.offset&^(1<<32-1) | uint64(e.logPos)
		if e.end < d.offset {
			e.end += 1 << 32
		}
	}
	e.start = e.end - min(uint64(e.size), e.end)
	d.offset = e.end
}

// transactional tells whether events of a type belong to transactions. No dump thread
// makes such up: whatever their flags say, they have a place.
func transactional(kind uint8) bool {
	switch kind {
	case typeGTID, typeAnonymousGTID, typeTaggedGTID, typeMariaGTID, typeQuery, typeQueryCompressed, typeExecuteLoadQuery,
		typeRowsQuery, typeAnnotateRows, typeTableMap, typeXID, typeXAPrepare, typeTransactionPayload:
		return true
	}
	return isRows(kind)
}

// nextLarge reads an event that is larger than the buffer or spans packets.
func (d *dump) nextLarge(e *event, n int) error {
	if err := d.needPacket(4 + 1 + headerSize + skimmed); err != nil {
		return err
	}
	front := d.buf[d.lo+5:]
	h := parseHeader(front)
	if h.size > maxEventSize {
		return d.protocolError("an event of %d bytes, expected at most %d", h.size, maxEventSize)
	}
	skim := d.skim != nil && d.skim(h, front[headerSize:headerSize+skimmed])
	d.large = d.large[:0]
	sum, total := uint32(0), 0
	d.lo += 5
	for left := n - 1; ; {
		for left > 0 {
			if d.hi == d.lo {
				if err := d.needPacket(1); err != nil {
					return err
				}
			}
			part := d.buf[d.lo:min(d.hi, d.lo+left)]
			d.lo += len(part)
			left -= len(part)
			if total += len(part); total > maxEventSize {
				return d.protocolError("an event of more than %d bytes", maxEventSize)
			}
			if !skim {
				if room := len(d.large) + len(part); room > cap(d.large) {
					d.large = slices.Grow(d.large, max(len(part), grown(room, int(h.size))-len(d.large)))
				}
				d.large = append(d.large, part...)
				continue
			}
			sum = crc32.Update(sum, crc32.IEEETable, part)
			if room := headerSize + skimmed - len(d.large); room > 0 {
				d.large = append(d.large, part[:min(room, len(part))]...)
			}
		}
		d.sequence++
		if n < maxPacket {
			break
		}
		if err := d.needPacket(4); err != nil {
			return err
		}
		n = int(d.buf[d.lo]) | int(d.buf[d.lo+1])<<8 | int(d.buf[d.lo+2])<<16
		if seq := d.buf[d.lo+3]; seq != d.sequence {
			return d.protocolError("packet number %d, expected %d", seq, d.sequence)
		}
		d.lo += 4
		left = n
	}
	if !skim {
		err := d.take(e, d.large)
		if cap(d.large) > hugeBuffer {
			d.large = nil // e.body keeps it alive as long as it is needed
		}
		return err
	}
	e.header = h
	if int(h.size) != total {
		return d.protocolError("an event whose header says %d bytes in packets of %d", h.size, total)
	}
	d.place(e)
	if d.format.checksum && sum != checksumResidue {
		return &CorruptError{File: d.name, Offset: e.start, What: fmt.Sprintf("checksum error in an event of %d bytes", total)}
	}
	e.body, e.partial = d.large[headerSize:], true
	return nil
}

func (d *dump) needPacket(n int) error {
	if err := d.need(n); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return d.protocolError("the server closed the connection")
		}
		return err
	}
	return nil
}

// serverError reads an error packet behind its status byte (Client/Server
// Protocol, "ERR_Packet").
func serverError(b []byte) error {
	e := &mysql.MyError{State: "HY000"}
	if len(b) >= 2 {
		e.Code = binary.LittleEndian.Uint16(b)
		b = b[2:]
	}
	if len(b) >= 6 && b[0] == '#' {
		e.State = string(b[1:6])
		b = b[6:]
	}
	e.Message = strings.ToValidUTF8(string(b), "?")
	return e
}

// Flags of the dump commands (sql/rpl_constants.h; MariaDB sql/log_event.h).
const (
	dumpNonBlock      = 1 // end at the log's end
	dumpSendAnnotated = 2 // MariaDB: send Annotate_rows
	dumpThroughGTID   = 4
)

// dumpCommand is COM_BINLOG_DUMP: from an offset of a file. Offsets past 4 GiB
// cannot be said in it.
func dumpCommand(serverID uint32, flags uint16, file string, offset uint32) []byte {
	b := make([]byte, 4, 4+11+len(file)) // room for the packet's header
	b = append(b, mysql.COM_BINLOG_DUMP)
	b = binary.LittleEndian.AppendUint32(b, offset)
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, serverID)
	return append(b, file...)
}

// dumpGTIDCommand is COM_BINLOG_DUMP_GTID: all that is not in the set.
func dumpGTIDCommand(serverID uint32, flags uint16, set []byte) []byte {
	b := make([]byte, 4, 4+1+2+4+4+8+4+len(set))
	b = append(b, mysql.COM_BINLOG_DUMP_GTID)
	b = binary.LittleEndian.AppendUint16(b, flags|dumpThroughGTID)
	b = binary.LittleEndian.AppendUint32(b, serverID)
	b = binary.LittleEndian.AppendUint32(b, 0) // no file's name
	b = binary.LittleEndian.AppendUint64(b, 4)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(set)))
	return append(b, set...)
}
