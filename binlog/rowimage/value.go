package rowimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// UnreadableError says that a column's values cannot be had for certain.
type UnreadableError struct {
	Column string
	What   string
	// Described: information_schema would tell. Otherwise nothing does.
	Described bool
}

func (e *UnreadableError) Error() string { return fmt.Sprintf("column %s: %s", e.Column, e.What) }

// Value reads the values of one column. It has scratch space of its own: one
// goroutine at a time.
type Value struct {
	column  *Column
	text    *charset // nil: bytes are shown as they are
	values  [][]byte // of ENUM and SET, in UTF-8
	inflate inflater
	json    document
}

// unmeasured names a column whose values have a length that nobody has told; "" if
// there is none. Behind it nothing can be found, and what follows a row is the next.
func (t *Table) unmeasured() string {
	for i := range t.Columns {
		if c := &t.Columns[i]; t.mariadb && c.isOldTime() && !c.described {
			if c.Name == "" {
				return strconv.Itoa(i + 1)
			}
			return c.Name
		}
	}
	return ""
}

// NewValue makes the reader of a column's values. Where the log, and who described
// the table, do not say all that it takes, it fails with an *UnreadableError.
func (t *Table) NewValue(i int) (*Value, error) {
	c := &t.Columns[i]
	name := c.Name
	if name == "" {
		name = strconv.Itoa(i + 1)
	}
	unknown := func(what string) error {
		return &UnreadableError{Column: name, What: what, Described: !c.described}
	}
	if old := t.unmeasured(); old != "" {
		return nil, &UnreadableError{Column: name, Described: true,
			What: "the log does not say how long the values of the table's column " + old + " are, a time in MariaDB's old format, with or without fractions of seconds"}
	}
	v := &Value{column: c}
	switch {
	case c.kind == typeYear:
	case c.isNumber() && c.kind != typeFloat && c.kind != typeDouble && c.kind != typeNewdecimal && c.sign == signUnknown:
		return nil, unknown("the log does not say whether it is UNSIGNED")
	case c.kind == typeEnum || c.kind == typeSet:
		if c.values == nil {
			return nil, unknown("the log does not say what the values of its ENUM or SET are")
		}
		if c.valuesUTF8 {
			v.values = c.values
			break
		}
		text, err := newCharset(c.charset)
		if err != nil {
			return nil, unknown(err.Error())
		}
		for _, b := range c.values {
			b, err := text.appendUTF8(nil, b)
			if err != nil {
				return nil, unknown("a value of its ENUM or SET: " + err.Error())
			}
			v.values = append(v.values, b)
		}
	case c.isCharacter(t.mariadb) && c.kind != typeGeometry:
		if c.charset == "" {
			return nil, unknown("the log does not say what its character set is, or names one that this version does not know")
		}
		if c.charset == binaryCharset {
			// MariaDB's UUID and INET types look like BINARY in the log.
			if n := c.meta; t.mariadb && c.kind == typeString && !c.described && (n == 16 || n == 4) {
				return nil, unknown(fmt.Sprintf("the log does not tell BINARY(%d) from UUID, INET6 or INET4", n))
			}
			break
		}
		text, err := newCharset(c.charset)
		if err != nil {
			return nil, unknown(err.Error())
		}
		if !text.raw {
			v.text = text
		}
	case c.kind == typeDecimal, c.kind == typeNull:
		return nil, &UnreadableError{Column: name, What: "it has a type that servers no longer make"}
	}
	return v, nil
}

// Append appends a value that is Here as SELECT shows it. before is the cell of the
// same column in the image before, from which what a partial update says of a JSON
// document is built; elsewhere it is not looked at. What would be longer than limit
// bytes may be cut off anywhere behind them.
//
// In steady state it allocates nothing, but for JSON and compressed columns.
func (v *Value) Append(dst []byte, cell, before Cell, limit int) ([]byte, error) {
	dst, err := v.append(dst, cell, before, limit)
	if err != nil {
		return dst, &UnreadableError{Column: v.column.Name, What: err.Error()}
	}
	return dst, nil
}

var errNoBefore = errors.New("a partial update of a JSON document whose value before is not in the log")

func (v *Value) append(dst []byte, cell, before Cell, limit int) ([]byte, error) {
	c, b := v.column, cell.value
	if cell.State != Here {
		return dst, errors.New("there is no value")
	}
	switch c.kind {
	case typeTiny, typeShort, typeInt24, typeLong, typeLonglong:
		return c.appendInt(dst, b), nil
	case typeFloat:
		return appendReal(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), floatDigits), nil
	case typeDouble:
		return appendReal(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 0), nil
	case typeNewdecimal:
		return appendDecimal(dst, b, int(c.meta>>8), int(c.meta&0xff))
	case typeYear:
		if b[0] == 0 {
			return append(dst, "0000"...), nil
		}
		return strconv.AppendInt(dst, 1900+int64(b[0]), 10), nil
	case typeDate, typeNewdate:
		return appendDate(dst, b), nil
	case typeTime, typeDatetime, typeTimestamp:
		if c.digits > 0 {
			return appendHiresTime(dst, b, c.kind, int(c.digits))
		}
		return appendOldTime(dst, b, c.kind)
	case typeTime2:
		return appendTime(dst, b, int(c.meta)), nil
	case typeDatetime2:
		return appendDatetime(dst, b, int(c.meta)), nil
	case typeTimestamp2:
		return appendTimestamp(dst, b, int(c.meta)), nil
	case typeEnum, typeSet:
		n := uint64(0)
		for i, x := range b {
			n |= uint64(x) << (8 * i)
		}
		if c.kind == typeEnum {
			return v.appendEnum(dst, n)
		}
		return v.appendSet(dst, n)
	case typeBlobCompressed, typeVarcharCompressed:
		var err error
		if b, err = v.inflate.column(b, limit); err != nil {
			return dst, err
		}
	case typeJSON:
		if !cell.diff {
			return v.json.append(dst, b, nil, limit)
		}
		if before.State != Here || before.diff {
			return dst, errNoBefore
		}
		return v.json.append(dst, before.value, b, limit)
	case typeString:
		switch {
		case c.as != asLogged:
			return appendAs(dst, c.as, b)
		case c.charset == binaryCharset:
			// The log leaves the zeros at its end out.
			dst = append(dst, b...)
			for n := len(b); n < int(c.meta) && n <= limit; n++ {
				dst = append(dst, 0)
			}
			return dst, nil
		}
	}
	if v.text == nil {
		return append(dst, b[:min(len(b), limit+1)]...), nil
	}
	return v.text.appendUTF8(dst, v.text.cut(b, limit))
}

func (c *Column) appendInt(dst, b []byte) []byte {
	var u uint64
	for i, x := range b {
		u |= uint64(x) << (8 * i)
	}
	if c.sign == unsigned {
		return strconv.AppendUint(dst, u, 10)
	}
	shift := 64 - 8*len(b)
	return strconv.AppendInt(dst, int64(u<<shift)>>shift, 10)
}

var errNoValue = errors.New("an ENUM or a SET has a value that its table map does not have")

// appendEnum appends the value of a number; 0 is what an invalid value becomes.
func (v *Value) appendEnum(dst []byte, n uint64) ([]byte, error) {
	switch {
	case n == 0:
		return dst, nil
	case n > uint64(len(v.values)):
		return dst, errNoValue
	}
	return v.appendValue(dst, v.values[n-1])
}

var errQuestion = errors.New("a value of its ENUM or SET may have a character that information_schema cannot show, for it has a question mark there")

// appendValue appends a value of an ENUM or a SET. information_schema is in utf8mb3
// and shows what is not as a question mark.
func (v *Value) appendValue(dst, value []byte) ([]byte, error) {
	if v.column.valuesUTF8 && bytes.IndexByte(value, '?') >= 0 {
		return dst, errQuestion
	}
	return append(dst, value...), nil
}

func (v *Value) appendSet(dst []byte, n uint64) ([]byte, error) {
	if len(v.values) < 64 && n>>len(v.values) != 0 {
		return dst, errNoValue
	}
	first := true
	for i := 0; n != 0; i, n = i+1, n>>1 {
		if n&1 == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		var err error
		if dst, err = v.appendValue(dst, v.values[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}
