package binlog

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Statement is the text of one statement and what is known of how its session
// reads it. All of it is good only during the call that hands it over.
type Statement struct {
	Text []byte
	// Schema is the session's default schema for a Query event; for the text of
	// rows it is not known (the tables follow).
	Schema []byte
	// Rows: row images follow (Rows_query or Annotate_rows). Otherwise the text
	// itself is what was logged: DDL, TRUNCATE, a write in statement format.
	Rows bool
	// SessionKnown says that SQLMode and Collation are the session's own, from the
	// log. MariaDB does not log them for the text of rows.
	SessionKnown bool
	SQLMode      uint64
	Collation    uint16 // id of character_set_client's collation
}

// session is what a Query event's status variables say of the session.
type session struct {
	known     bool
	sqlMode   uint64
	collation uint16
}

// query is a Query event, taken apart.
type query struct {
	session
	schema, text []byte
}

// parseQuery reads a Query event (Query_event in statement_events.h) or, with
// extra bytes behind its fixed part, an Execute_load_query event.
func parseQuery(body []byte, extra int) (q query, err error) {
	const fixed = 4 + 4 + 1 + 2 + 2
	if len(body) < fixed+extra {
		return q, errShort
	}
	schema := int(body[8])
	vars := int(binary.LittleEndian.Uint16(body[11:]))
	b := body[fixed+extra:]
	if len(b) < vars+schema+1 {
		return q, errShort
	}
	q.session = parseStatusVars(b[:vars])
	b = b[vars:]
	q.schema = b[:schema]
	q.text = b[schema+1:]
	return q, nil
}

// parseStatusVars finds sql_mode and the client's character set. They are written
// in the order of their codes (Query_log_event::write), so the search ends at the
// first code above theirs, and whatever later versions add stands behind them.
func parseStatusVars(b []byte) (s session) {
	var mode, charset bool
	for len(b) > 0 {
		code := b[0]
		b = b[1:]
		n := 0
		switch code {
		case 0: // flags2
			n = 4
		case 1: // sql_mode
			n = 8
			if len(b) >= n {
				s.sqlMode = binary.LittleEndian.Uint64(b)
				mode = true
			}
		case 2: // catalog, with a NUL behind
			if len(b) > 0 {
				n = 1 + int(b[0]) + 1
			}
		case 3: // auto_increment
			n = 4
		case 4: // character sets: client, connection, server
			n = 6
			if len(b) >= n {
				s.collation = binary.LittleEndian.Uint16(b)
				charset = true
			}
		case 5, 6: // time zone; catalog
			if len(b) > 0 {
				n = 1 + int(b[0])
			}
		default:
			n = len(b)
		}
		if n > len(b) || mode && charset {
			break
		}
		b = b[n:]
	}
	s.known = mode && charset
	return s
}

// uncompressQuery gives the text of MariaDB's compressed Query event
// (log_bin_compress): a byte with the algorithm and the length's size, the length
// in big-endian order, and a zlib stream.
func uncompressQuery(dst, b []byte) ([]byte, error) {
	if len(b) < 2 {
		return dst, errShort
	}
	if alg := b[0] >> 4 & 7; b[0]&0x80 == 0 || alg != 0 {
		return dst, fmt.Errorf("compression header %#x, expected zlib (0x80)", b[0])
	}
	n := int(b[0] & 7)
	if n == 0 || n > 4 || len(b) < 1+n {
		return dst, errShort
	}
	size := 0
	for _, c := range b[1 : 1+n] {
		size = size<<8 | int(c)
	}
	if size > maxEventSize {
		return dst, fmt.Errorf("compressed text of %d bytes, expected at most %d", size, maxEventSize)
	}
	z, err := zlib.NewReader(bytes.NewReader(b[1+n:]))
	if err != nil {
		return dst, fmt.Errorf("compressed text: %w", err)
	}
	// Grown as it comes: the length is only the log's word for it.
	buf := bytes.NewBuffer(dst[:0])
	if _, err := io.Copy(buf, io.LimitReader(z, int64(size)+1)); err != nil {
		return buf.Bytes(), fmt.Errorf("compressed text: %w", err)
	}
	if buf.Len() != size {
		return buf.Bytes(), errors.New("compressed text is not as long as its header says")
	}
	return buf.Bytes(), nil
}

// word cuts the first word off a statement, in which letters of any case match.
func word(b []byte, upper string) (rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) < len(upper) || !equalFold(b[:len(upper)], upper) {
		return b, false
	}
	rest = b[len(upper):]
	if len(rest) > 0 && (rest[0] == '_' || rest[0] >= '0' && rest[0] <= '9' || rest[0]|0x20 >= 'a' && rest[0]|0x20 <= 'z') {
		return b, false
	}
	return rest, true
}

func equalFold(b []byte, upper string) bool {
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// only tells whether the statement is that one word and nothing else.
func only(b []byte, upper string) bool {
	if string(b) == upper {
		return true // as the servers write what they log themselves
	}
	rest, ok := word(b, upper)
	return ok && len(bytes.TrimRight(rest, " \t\r\n;")) == 0
}
