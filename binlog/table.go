package binlog

import "encoding/binary"

// Table is a Table_map event: the table that the row images with its id are
// about. Its slices are good only during the call that hands it over.
type Table struct {
	ID uint64
	// Flavor is that of the server whose log it stands in.
	Flavor       Flavor
	Schema, Name []byte
	// Body is the whole event behind its header, for decoding row images.
	Body []byte
}

// parseTable reads the head of a Table_map event (Table_map_event in
// rows_event.h): id, flags, and the two names.
func parseTable(body []byte) (t Table, err error) {
	const fixed = 6 + 2
	if len(body) < fixed+1 {
		return t, errShort
	}
	t.ID = tableID(body)
	t.Body = body
	b := body[fixed:]
	// Both lengths are one byte: identifiers have at most 64 characters.
	n := int(b[0])
	if len(b) < 1+n+1+1 {
		return t, errShort
	}
	t.Schema = b[1 : 1+n]
	b = b[1+n+1:]
	n = int(b[0])
	if len(b) < 1+n+1 {
		return t, errShort
	}
	t.Name = b[1 : 1+n]
	return t, nil
}

// tableID is the six-byte id at the head of Table_map and rows events.
func tableID(body []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(body)) | uint64(binary.LittleEndian.Uint16(body[4:]))<<32
}

// Rows is one event of row images. Body is nil unless the table was asked for.
type Rows struct {
	Table uint64
	Type  uint8
	Body  []byte
	// StatementEnd: it is the statement's last.
	StatementEnd bool
}

const rowsFlagStatementEnd = 1
