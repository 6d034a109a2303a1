package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// place is where a dump begins, on a server of one flavor.
type place struct {
	addr   string
	maria  bool
	file   string
	offset uint32
}

// end is where a server's log ends now.
func end(ctx context.Context, addr string, maria bool) (place, error) {
	conn, err := client.ConnectWithContext(ctx, addr, "root", "", "", 10*time.Second)
	if err != nil {
		return place{}, fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer func() { _ = conn.Close() }() // it has said what was asked
	status := "SHOW BINARY LOG STATUS"
	if maria {
		status = "SHOW MASTER STATUS"
	}
	r, err := conn.Execute(status)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", status, err)
	}
	file, err := r.GetString(0, 0)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", status, err)
	}
	offset, err := r.GetInt(0, 1)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", status, err)
	}
	return place{addr, maria, file, uint32(offset)}, nil
}

// dumpReader is a bare client of a server's log: it asks for a dump and reads
// packets, which are good until the next one is read.
type dumpReader struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

// openDump asks for the log from a place on; toEnd: only up to where it ends now.
func openDump(ctx context.Context, from place, serverID uint32, toEnd bool) (*dumpReader, error) {
	const (
		nonBlock      = 1
		sendAnnotated = 2
	)
	conn, err := client.ConnectWithContext(ctx, from.addr, "root", "", "", 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", from.addr, err)
	}
	set := []string{
		"SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'",
		fmt.Sprintf("SET @slave_uuid = UUID(), @replica_uuid = UUID(), @master_heartbeat_period = %d, @source_heartbeat_period = %[1]d", time.Minute.Nanoseconds()),
	}
	flags := uint16(0)
	if from.maria {
		set = append(set, "SET @mariadb_slave_capability = 4")
		flags |= sendAnnotated
	}
	if toEnd {
		flags |= nonBlock
	}
	for _, sql := range set {
		if _, err := conn.Execute(sql); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", sql, err), conn.Close())
		}
	}
	b := make([]byte, 4, 64) // room for the packet's header
	b = append(b, mysql.COM_BINLOG_DUMP)
	b = binary.LittleEndian.AppendUint32(b, from.offset)
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, serverID)
	b = append(b, from.file...)
	conn.ResetSequence()
	if err := conn.WritePacket(b); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s for a dump: %w", from.addr, err), conn.Close())
	}
	// From here on the server only sends, so the library has read nothing of it.
	raw := conn.Conn.Conn
	return &dumpReader{conn: raw, r: bufio.NewReaderSize(raw, 256<<10)}, nil
}

// next reads one packet: an event behind a byte that says so. At the log's end it
// fails with io.EOF, if the dump was asked for so.
func (d *dumpReader) next() ([]byte, error) {
	n, err := d.head()
	if err != nil {
		return nil, err
	}
	if cap(d.buf) < n {
		d.buf = make([]byte, n)
	}
	packet := d.buf[:n]
	if _, err := io.ReadFull(d.r, packet); err != nil {
		return nil, fmt.Errorf("read the dump: %w", unexpected(err))
	}
	return packet[1:], nil
}

// drop reads the dump to its end, throws everything away, and tells how many bytes
// it was.
func (d *dumpReader) drop() (int64, error) {
	total := int64(0)
	for {
		n, err := d.head()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return 0, err
		}
		if _, err := d.r.Discard(n); err != nil {
			return 0, fmt.Errorf("read the dump: %w", unexpected(err))
		}
		total += int64(n) + 4
	}
}

// head reads a packet's header and looks at its first byte.
func (d *dumpReader) head() (size int, err error) {
	h, err := d.r.Peek(5)
	if err != nil {
		return 0, fmt.Errorf("read the dump: %w", unexpected(err))
	}
	size = int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	switch status := h[4]; {
	case status == 0:
	case status == 0xfe && size < 9:
		return 0, io.EOF
	default:
		if _, err := d.r.Discard(4); err != nil {
			return 0, err
		}
		said, _ := d.r.Peek(size) // as much of it as there is
		return 0, fmt.Errorf("the dump ended: %q", said)
	}
	_, err = d.r.Discard(4)
	return size, err
}

// unexpected keeps a connection's end from being taken for the log's.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d *dumpReader) close() error { return d.conn.Close() }
