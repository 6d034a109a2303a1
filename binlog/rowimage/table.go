package rowimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Table is what is known of a table whose row images are to be read.
type Table struct {
	Schema, Name string
	Columns      []Column
	// Named: every column has its name.
	Named bool
	// PrimaryKey are the places of its columns; nil where the log does not say.
	PrimaryKey []int

	mariadb bool
}

var (
	errShort   = errors.New("it ends too early")
	errTooMany = errors.New("it has more columns than a table can have")
)

// maxColumns is more than either server allows in a table (MAX_FIELDS, 4096).
const maxColumns = 4096

// What an ENUM and a SET can have at most, and more than a table's columns have together.
const (
	maxEnum    = 65_535
	maxSet     = 64
	maxMembers = 1 << 20
)

// Kinds of optional metadata (Table_map_event::Optional_metadata_field_type in
// MySQL's rows_event.h; MariaDB has those up to 11).
const (
	metaSignedness         = 1
	metaDefaultCharset     = 2
	metaColumnCharset      = 3
	metaColumnName         = 4
	metaSetValues          = 5
	metaEnumValues         = 6
	metaPrimaryKey         = 8
	metaPrimaryKeyPrefix   = 9
	metaEnumDefaultCharset = 10
	metaEnumColumnCharset  = 11
)

// ParseTable takes the body of a Table_map event apart. mariadb says whose log it
// stands in. What it keeps is copied. Fuzzed by FuzzTable.
func ParseTable(body []byte, mariadb bool) (*Table, error) {
	t := &Table{mariadb: mariadb}
	if err := t.parse(body); err != nil {
		return nil, fmt.Errorf("table map event: %w", err)
	}
	return t, nil
}

func (t *Table) parse(body []byte) error {
	const fixed = 6 + 2 // id, flags
	r := reader{b: body}
	r.bytes(fixed)
	t.Schema = string(r.bytes(int(r.byte())))
	r.byte()
	t.Name = string(r.bytes(int(r.byte())))
	r.byte()
	n := r.lenenc()
	if n > maxColumns {
		return errTooMany
	}
	types := r.bytes(int(n))
	meta := reader{b: r.lenencBytes()}
	nulls := r.bytes(int(n+7) / 8)
	if r.bad {
		return errShort
	}
	t.Columns = make([]Column, n)
	for i := range t.Columns {
		c := &t.Columns[i]
		c.kind = types[i]
		c.Nullable = nulls[i/8]>>(i%8)&1 != 0
		c.parseMeta(&meta)
		if meta.bad {
			return errShort
		}
		if err := c.layout(); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	for len(r.b) > 0 {
		kind := r.byte()
		value := reader{b: r.lenencBytes()}
		if r.bad {
			return errShort
		}
		if err := t.optional(kind, &value); err != nil {
			return fmt.Errorf("optional metadata of kind %d: %w", kind, err)
		}
	}
	return nil
}

// parseMeta reads the metadata of a column's type, whose size depends on the type
// (table_def's constructor in sql/rpl_utility.cc).
func (c *Column) parseMeta(r *reader) {
	switch c.kind {
	case typeFloat, typeDouble, typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlob, typeGeometry, typeJSON, typeVector,
		typeTimestamp2, typeDatetime2, typeTime2, typeBlobCompressed:
		c.meta = uint16(r.byte())
	case typeVarchar, typeVarString, typeBit, typeVarcharCompressed:
		if b := r.bytes(2); b != nil {
			c.meta = binary.LittleEndian.Uint16(b)
		}
	case typeNewdecimal:
		if b := r.bytes(2); b != nil {
			c.meta = binary.BigEndian.Uint16(b)
		}
	case typeString, typeEnum, typeSet:
		// The first byte is the real type; two of its bits, turned over, are the
		// length's upper ones.
		hi, lo := r.byte(), r.byte()
		c.kind, c.meta = hi|0x30, uint16(lo)
		if hi&0x30 != 0x30 {
			c.meta |= uint16(hi&0x30^0x30) << 4
		}
		switch c.kind {
		case typeString, typeEnum, typeSet:
		default:
			r.bad = true
		}
	}
}

// optional takes one kind of optional metadata.
func (t *Table) optional(kind uint8, r *reader) error {
	switch kind {
	case metaSignedness:
		n := 0
		for i := range t.Columns {
			c := &t.Columns[i]
			if !c.isNumber() {
				continue
			}
			if n/8 >= len(r.b) {
				return errShort
			}
			c.sign = signed
			if r.b[n/8]>>(7-n%8)&1 != 0 {
				c.sign = unsigned
			}
			n++
		}
		return nil
	case metaDefaultCharset, metaEnumDefaultCharset:
		return t.defaultCharset(kind == metaEnumDefaultCharset, r)
	case metaColumnCharset, metaEnumColumnCharset:
		for i := range t.Columns {
			if c := &t.Columns[i]; t.hasCharset(c, kind == metaEnumColumnCharset) {
				c.charset = charsetOf(r.lenenc())
			}
		}
	case metaColumnName:
		for i := range t.Columns {
			t.Columns[i].Name = string(r.lenencBytes())
		}
		t.Named = !r.bad
	case metaSetValues, metaEnumValues:
		return t.members(kind == metaSetValues, r)
	case metaPrimaryKey, metaPrimaryKeyPrefix:
		t.PrimaryKey = nil
		for len(r.b) > 0 {
			i := r.lenenc()
			if kind == metaPrimaryKeyPrefix {
				r.lenenc() // how much of the column is in the key
			}
			if i >= uint64(len(t.Columns)) {
				return fmt.Errorf("the primary key has column %d of %d", i+1, len(t.Columns))
			}
			t.PrimaryKey = append(t.PrimaryKey, int(i))
			if len(t.PrimaryKey) > len(t.Columns) {
				return errTooMany
			}
		}
	}
	// What is not known, or not needed here: kinds of geometry, dimensions of
	// vectors, visibility. Columns that are invisible are columns like any other.
	if r.bad {
		return errShort
	}
	return nil
}

// members reads the values of the columns that are an ENUM or a SET.
func (t *Table) members(sets bool, r *reader) error {
	of, most := uint8(typeEnum), uint64(maxEnum)
	if sets {
		of, most = typeSet, maxSet
	}
	r.b = bytes.Clone(r.b) // all of them at once
	all := uint64(0)
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.kind != of {
			continue
		}
		n := r.lenenc()
		if n > uint64(len(r.b)) {
			return errShort // each has a byte at least
		}
		if all += n; n > most || all > maxMembers {
			return fmt.Errorf("column %d has %d values, and the columns up to it %d; expected at most %d and %d", i+1, n, all, most, maxMembers)
		}
		c.values = make([][]byte, n)
		for j := range c.values {
			c.values[j] = r.lenencBytes()
		}
	}
	if r.bad {
		return errShort
	}
	return nil
}

// Size estimates the bytes of memory that a table's columns, and readers of their
// values, take.
func (t *Table) Size() int {
	const column, header = 128, 24
	size := len(t.Columns) * column
	for i := range t.Columns {
		c := &t.Columns[i]
		size += len(c.Name)
		for _, v := range c.values {
			size += 2 * (header + len(v))
		}
	}
	return size
}

// hasCharset tells whether optional metadata of one of the two sorts speaks of a
// column.
func (t *Table) hasCharset(c *Column, enums bool) bool {
	if enums {
		return c.kind == typeEnum || c.kind == typeSet
	}
	return c.isCharacter(t.mariadb)
}

// defaultCharset reads the most frequent collation, and pairs of a column's place,
// among those that have one, and its collation.
func (t *Table) defaultCharset(enums bool, r *reader) error {
	usual := charsetOf(r.lenenc())
	place, collation := uint64(0), uint64(0)
	next := func() bool {
		if len(r.b) == 0 {
			return false
		}
		place, collation = r.lenenc(), r.lenenc()
		return !r.bad
	}
	more := next()
	n := uint64(0)
	for i := range t.Columns {
		c := &t.Columns[i]
		if !t.hasCharset(c, enums) {
			continue
		}
		c.charset = usual
		if more && place == n {
			c.charset = charsetOf(collation)
			more = next()
		}
		n++
	}
	if r.bad || more {
		return errShort
	}
	return nil
}

// Column finds a column by its name, in which the case of letters does not matter,
// as in SQL; −1 if the table has none of that name. The columns must be Named.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if strings.EqualFold(t.Columns[i].Name, name) {
			return i
		}
	}
	return -1
}

// reader takes bytes off the front of a slice, and remembers that it has run short.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// lenenc reads a length-encoded integer (Client/Server Protocol,
// "Protocol::LengthEncodedInteger").
func (r *reader) lenenc() uint64 {
	n := 0
	switch b := r.byte(); b {
	case 0xfb, 0xff:
		r.b, r.bad = nil, true
		return 0
	case 0xfc:
		n = 2
	case 0xfd:
		n = 3
	case 0xfe:
		n = 8
	default:
		return uint64(b)
	}
	v := uint64(0)
	for i, c := range r.bytes(n) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

func (r *reader) lenencBytes() []byte {
	n := r.lenenc()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	return r.bytes(int(n))
}
