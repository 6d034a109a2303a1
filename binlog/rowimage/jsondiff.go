package rowimage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Operations of a JSON diff (enum_json_diff_operation in sql/json_diff.h).
const (
	diffReplace = 0
	diffInsert  = 1
	diffRemove  = 2
)

var errDiff = errors.New("a partial update of a JSON document that does not fit the document")

// apply applies a diff (Json_diff_vector::read_binary): operations one behind the
// other, each with a path and, unless something is removed, a value.
func (d *document) apply(v jsonValue, diff []byte) (jsonValue, error) {
	r := reader{b: diff}
	for len(r.b) > 0 {
		op := r.byte()
		path, err := parsePath(r.lenencBytes())
		var value jsonValue
		if op != diffRemove {
			if b := r.lenencBytes(); len(b) > 0 {
				value = jsonValue{kind: b[0], raw: b[1:]}
			} else {
				r.bad = true
			}
		}
		if r.bad || op > diffRemove {
			return v, errDiff
		}
		if err != nil {
			return v, err
		}
		if v, err = d.change(v, path, op, value); err != nil {
			return v, err
		}
	}
	return v, nil
}

// leg is one step of a path: a member's key, or the number of a cell.
type leg struct {
	key  []byte // nil: a cell
	cell int
}

// parsePath reads a path as servers write it: $, and legs .key, ."key" or [n].
func parsePath(b []byte) ([]leg, error) {
	bad := fmt.Errorf("%w: a path that is none", errDiff)
	b = bytes.TrimPrefix(b, []byte("$"))
	var path []leg
	for len(b) > 0 {
		if len(path) > maxJSONDepth {
			return nil, errJSONDeep
		}
		switch b[0] {
		case '[':
			end := bytes.IndexByte(b, ']')
			if end < 0 {
				return nil, bad
			}
			n, err := strconv.ParseUint(string(b[1:end]), 10, 31)
			if err != nil {
				return nil, bad
			}
			path = append(path, leg{cell: int(n)})
			b = b[end+1:]
		case '.':
			b = b[1:]
			n := 0
			if len(b) > 0 && b[0] == '"' {
				for n = 1; n < len(b) && b[n] != '"'; n++ {
					if b[n] == '\\' {
						n++
					}
				}
				if n >= len(b) {
					return nil, bad
				}
				n++
				var key string
				if json.Unmarshal(b[:n], &key) != nil {
					return nil, bad
				}
				path = append(path, leg{key: []byte(key)})
			} else {
				for n < len(b) && b[n] != '.' && b[n] != '[' {
					n++
				}
				path = append(path, leg{key: b[:n:n]})
			}
			b = b[n:]
		default:
			return nil, bad
		}
	}
	return path, nil
}

// change does one operation and gives the value as it is then.
func (d *document) change(v jsonValue, path []leg, op byte, value jsonValue) (jsonValue, error) {
	if len(path) == 0 {
		if op != diffReplace {
			return v, errDiff
		}
		return value, nil
	}
	object := false
	switch v.kind {
	case jsonSmallObject, jsonLargeObject:
		object = true
	case jsonSmallArray, jsonLargeArray:
	default:
		return v, errDiff
	}
	if object != (path[0].key != nil) {
		return v, errDiff
	}
	node, err := d.takeApart(v)
	if err != nil {
		return v, err
	}
	v.node = node
	at, found := node.find(path[0])
	switch {
	case len(path) > 1 || op == diffReplace:
		if !found {
			return v, errDiff
		}
		node.values[at], err = d.change(node.values[at], path[1:], op, value)
		return v, err
	case op == diffRemove:
		if !found {
			return v, errDiff
		}
		node.values = slices.Delete(node.values, at, at+1)
		if object {
			node.keys = slices.Delete(node.keys, at, at+1)
		}
	case object:
		if found {
			return v, errDiff
		}
		node.keys = slices.Insert(node.keys, at, path[0].key)
		node.values = slices.Insert(node.values, at, value)
	default:
		node.values = slices.Insert(node.values, at, value)
	}
	return v, nil
}

// find gives the place of a leg's value, or the one where it would be put. Keys are
// in the order of their lengths, and of their bytes.
func (n *jsonNode) find(l leg) (int, bool) {
	if l.key == nil {
		return min(l.cell, len(n.values)), l.cell < len(n.values)
	}
	return slices.BinarySearchFunc(n.keys, l.key, func(a, b []byte) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return bytes.Compare(a, b)
	})
}
