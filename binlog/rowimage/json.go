package rowimage

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Types of values in MySQL's binary JSON (sql-common/json_binary.h, whose head
// comment is the format's grammar).
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f
)

// maxJSONDepth is how deep documents may be nested (JSON_DOCUMENT_MAX_DEPTH).
const maxJSONDepth = 100

var (
	errJSON     = errors.New("a JSON document that is none")
	errJSONDeep = errors.New("a JSON document that is nested more deeply than servers let one be")
)

// jsonValue is a value of a document: in the bytes of the log or, once a diff has
// been applied, taken apart.
type jsonValue struct {
	kind byte
	// raw is what stands behind the kind, to the document's end. Of values that stand
	// in their parent's table it is those bytes.
	raw  []byte
	node *jsonNode // if it has been taken apart: an object or an array
}

// jsonNode is an object or an array that has been taken apart.
type jsonNode struct {
	keys   [][]byte // of an object
	values []jsonValue
}

// document prints documents. Its zero value is ready.
type document struct {
	limit int // of what is printed
	nodes int // how many values may still be taken apart
}

// errEnough: what has been printed is longer than anybody wants.
var errEnough = errors.New("enough")

// append appends a document as MySQL prints it, after applying a diff, if there is
// one. Longer than limit, it is cut off.
func (d *document) append(dst, b, diff []byte, limit int) ([]byte, error) {
	d.limit = len(dst) + limit
	if len(b) == 0 {
		return append(dst, "null"...), nil // Field_json::val_json
	}
	v := jsonValue{kind: b[0], raw: b[1:]}
	if diff != nil {
		d.nodes = len(b) + len(diff)
		var err error
		if v, err = d.apply(v, diff); err != nil {
			return dst, err
		}
	}
	dst, err := d.value(dst, v, 0)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return dst, err
}

func (d *document) value(dst []byte, v jsonValue, depth int) ([]byte, error) {
	if len(dst) > d.limit {
		return dst, errEnough
	}
	switch v.kind {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		if depth > maxJSONDepth {
			return dst, errJSONDeep
		}
		return d.composite(dst, v, depth)
	}
	return appendScalar(dst, v)
}

// composite prints an object or an array.
func (d *document) composite(dst []byte, v jsonValue, depth int) ([]byte, error) {
	object := v.kind == jsonSmallObject || v.kind == jsonLargeObject
	open, end := byte('['), byte(']')
	if object {
		open, end = '{', '}'
	}
	t, err := v.table()
	if err != nil {
		return dst, err
	}
	dst = append(dst, open)
	for i := range t.count {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if object {
			key, err := t.key(i)
			if err != nil {
				return dst, err
			}
			dst = appendQuoted(dst, key)
			dst = append(dst, ": "...)
		}
		element, err := t.value(i)
		if err != nil {
			return dst, err
		}
		if dst, err = d.value(dst, element, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, end), nil
}

// jsonTable finds the elements of an object or an array.
type jsonTable struct {
	node   *jsonNode
	b      []byte // as long as the table says it is
	count  int
	object bool
	width  int // of offsets: 2, or 4 in large ones
}

func (v jsonValue) table() (t jsonTable, err error) {
	t.object = v.kind == jsonSmallObject || v.kind == jsonLargeObject
	if v.node != nil {
		t.node, t.count = v.node, len(v.node.values)
		return t, nil
	}
	t.width = 2
	if v.kind == jsonLargeObject || v.kind == jsonLargeArray {
		t.width = 4
	}
	t.b = v.raw
	if len(t.b) < 2*t.width {
		return t, errJSON
	}
	count, size := t.offset(0), t.offset(t.width)
	if size > uint64(len(t.b)) {
		return t, errJSON
	}
	t.b = t.b[:size]
	entries := uint64(1 + t.width)
	if t.object {
		entries += uint64(t.width + 2)
	}
	if uint64(2*t.width)+count*entries > size {
		return t, errJSON
	}
	t.count = int(count)
	return t, nil
}

func (t *jsonTable) offset(at int) uint64 {
	if t.width == 2 {
		return uint64(binary.LittleEndian.Uint16(t.b[at:]))
	}
	return uint64(binary.LittleEndian.Uint32(t.b[at:]))
}

// key gives the key of an object's member.
func (t *jsonTable) key(i int) ([]byte, error) {
	if t.node != nil {
		return t.node.keys[i], nil
	}
	at := 2*t.width + i*(t.width+2)
	start, n := t.offset(at), uint64(binary.LittleEndian.Uint16(t.b[at+t.width:]))
	if start > uint64(len(t.b)) || n > uint64(len(t.b))-start {
		return nil, errJSON
	}
	return t.b[start : start+n], nil
}

// value gives an element.
func (t *jsonTable) value(i int) (jsonValue, error) {
	if t.node != nil {
		return t.node.values[i], nil
	}
	at := 2*t.width + i*(1+t.width)
	if t.object {
		at += t.count * (t.width + 2)
	}
	kind, inline := t.b[at], t.b[at+1:at+1+t.width]
	switch kind {
	case jsonLiteral, jsonInt16, jsonUint16:
		return jsonValue{kind: kind, raw: inline}, nil
	case jsonInt32, jsonUint32:
		if t.width == 4 {
			return jsonValue{kind: kind, raw: inline}, nil
		}
	}
	start := t.offset(at + 1)
	if start == 0 || start > uint64(len(t.b)) {
		return jsonValue{}, errJSON
	}
	return jsonValue{kind: kind, raw: t.b[start:]}, nil
}

// appendScalar prints what is neither an object nor an array.
func appendScalar(dst []byte, v jsonValue) ([]byte, error) {
	size := 0
	switch v.kind {
	case jsonLiteral:
		size = 1
	case jsonInt16, jsonUint16:
		size = 2
	case jsonInt32, jsonUint32:
		size = 4
	case jsonInt64, jsonUint64, jsonDouble:
		size = 8
	}
	b := v.raw
	if len(b) < size {
		return dst, errJSON
	}
	switch v.kind {
	case jsonLiteral:
		switch b[0] {
		case 0:
			return append(dst, "null"...), nil
		case 1:
			return append(dst, "true"...), nil
		case 2:
			return append(dst, "false"...), nil
		}
	case jsonInt16:
		return strconv.AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(b))), 10), nil
	case jsonUint16:
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint16(b)), 10), nil
	case jsonInt32:
		return strconv.AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(b))), 10), nil
	case jsonUint32:
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(b)), 10), nil
	case jsonInt64:
		return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(b)), 10), nil
	case jsonUint64:
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(b), 10), nil
	case jsonDouble:
		return appendJSONDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
	case jsonString:
		s, ok := varBytes(b)
		if !ok {
			return dst, errJSON
		}
		return appendQuoted(dst, s), nil
	case jsonOpaque:
		if len(b) < 1 {
			return dst, errJSON
		}
		data, ok := varBytes(b[1:])
		if !ok {
			return dst, errJSON
		}
		return appendOpaque(dst, b[0], data)
	}
	return dst, errJSON
}

// appendJSONDouble appends a double so that it is known for one: with a point or an
// exponent in it.
func appendJSONDouble(dst []byte, f float64) []byte {
	start := len(dst)
	dst = appendReal(dst, f, 0)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// varBytes reads bytes with their length in front, seven bits to a byte, the lowest
// first.
func varBytes(b []byte) ([]byte, bool) {
	n := uint64(0)
	for i := range min(len(b), 5) {
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			if b = b[i+1:]; n > uint64(len(b)) {
				return nil, false
			}
			return b[:n], true
		}
	}
	return nil, false
}

// appendOpaque prints a value of a type that JSON does not have (Json_wrapper's
// wrapper_to_string in sql-common/json_dom.cc).
func appendOpaque(dst []byte, kind byte, data []byte) ([]byte, error) {
	switch kind {
	case typeNewdecimal:
		if len(data) < 2 {
			return dst, errJSON
		}
		precision, scale := int(data[0]), int(data[1])
		if precision < 1 || precision > maxPrecision || scale > precision {
			return dst, errDecimal
		}
		return appendDecimal(dst, data[2:], precision, scale)
	case typeDate, typeTime, typeDatetime, typeTimestamp:
		if len(data) < 8 {
			return dst, errJSON
		}
		packed := int64(binary.LittleEndian.Uint64(data))
		dst = append(dst, '"')
		dst = appendPacked(dst, packed, kind)
		return append(dst, '"'), nil
	}
	dst = append(dst, `"base64:type`...)
	dst = strconv.AppendUint(dst, uint64(kind), 10)
	dst = append(dst, ':')
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, '"'), nil
}

// appendPacked appends a time in the servers' packed form (TIME_to_longlong_packed
// in mysys/my_time.cc): 24 bits of microseconds below what DATETIME and TIME have in
// front of theirs.
func appendPacked(dst []byte, packed int64, kind byte) []byte {
	if packed < 0 {
		packed = -packed
		if kind == typeTime {
			dst = append(dst, '-')
		}
	}
	micros, v := uint32(packed&(1<<24-1)), uint64(packed)>>24
	clock := uint32(v & (1<<17 - 1))
	if kind == typeTime {
		dst = appendHMS(dst, uint32(v>>12&0x3ff), clock>>6&63, clock&63)
		return appendFraction(dst, micros, 6)
	}
	date := uint32(v >> 17)
	dst = appendYMD(dst, date>>5/13, date>>5%13, date&31)
	if kind == typeDate {
		return dst
	}
	dst = append(dst, ' ')
	dst = appendHMS(dst, clock>>12, clock>>6&63, clock&63)
	return appendFraction(dst, micros, 6)
}

// appendQuoted appends a JSON string (double_quote in sql-common/json_dom.cc).
func appendQuoted(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// takeApart makes a node of an object or an array, one level of it.
func (d *document) takeApart(v jsonValue) (*jsonNode, error) {
	if v.node != nil {
		return v.node, nil
	}
	t, err := v.table()
	if err != nil {
		return nil, err
	}
	// Values of a document may overlap in a log that lies; an honest one has no more
	// values than bytes.
	if d.nodes -= t.count; d.nodes < 0 {
		return nil, fmt.Errorf("%w: it has more values than bytes", errJSON)
	}
	n := &jsonNode{values: make([]jsonValue, t.count)}
	if t.object {
		n.keys = make([][]byte, t.count)
	}
	for i := range n.values {
		if t.object {
			if n.keys[i], err = t.key(i); err != nil {
				return nil, err
			}
		}
		if n.values[i], err = t.value(i); err != nil {
			return nil, err
		}
	}
	return n, nil
}
