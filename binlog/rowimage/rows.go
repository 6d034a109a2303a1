package rowimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Types of rows events (binlog_event.h; from 166 on MariaDB's sql/log_event.h).
const (
	writeV0, updateV0, deleteV0 = 20, 21, 22
	writeV1, updateV1, deleteV1 = 23, 24, 25
	writeV2, updateV2, deleteV2 = 30, 31, 32
	partialUpdate               = 39

	writeCompressedV1, updateCompressedV1, deleteCompressedV1 = 166, 167, 168
	writeCompressedV2, updateCompressedV2, deleteCompressedV2 = 169, 170, 171
)

// State says what an image has of a column.
type State uint8

const (
	// Absent: the image lacks the column (binlog_row_image, or a virtual column that
	// the server does not log).
	Absent State = iota
	// Null: the value is NULL.
	Null
	// Here: the value is in the Cell.
	Here
)

// Cell is a column's value in an image, as it stands in the log. It is good until the
// next row, and within the call that handed the event over.
type Cell struct {
	State State
	// diff: Value is what changed in a JSON document.
	diff  bool
	value []byte
}

// Rows walks over the row images of rows events of one table. One goroutine at a time.
//
//	for each event: Open { Next }, Err, Release
//
// In steady state nothing is allocated, except for compressed events' contents.
// Benchmark: BenchmarkRows.
type Rows struct {
	// Before and After are the images of the row at hand, with a Cell for each column
	// that is wanted, in their order; nil if the event has no such images.
	Before, After []Cell

	table  *Table
	wanted []int // by column: the place in the images, or −1
	cells  [2][]Cell
	// jsons is how many JSON columns the table has: what the bits of a partial
	// update are for.
	jsons int
	// blind: the rows cannot be told apart, and no column is wanted of them.
	blind bool
	// blank: there is a row left that has no column at all. Such rows have no bytes, so
	// that several are taken for one.
	blank bool

	data    []byte // what is left of the event
	partial bool
	err     error
	plans   [2]plan
	inflate inflater
}

// plan is what there is to do for one image: the columns that it has.
type plan struct {
	bitmap []byte // what the plan was made for
	steps  []step
	nulls  int // bytes
}

// step walks over one column.
type step struct {
	size   uint32
	prefix uint8
	json   bool
	cell   int16 // −1: not wanted
}

// NewRows makes a walker that gives the columns at these places of the table.
func NewRows(t *Table, columns []int) *Rows {
	r := &Rows{table: t, wanted: make([]int, len(t.Columns)), blind: len(columns) == 0 && t.unmeasured() != ""}
	for i := range r.wanted {
		r.wanted[i] = -1
		if t.Columns[i].kind == typeJSON {
			r.jsons++
		}
	}
	for cell, i := range columns {
		r.wanted[i] = cell
	}
	for i := range r.cells {
		r.cells[i] = make([]Cell, len(columns))
	}
	return r
}

// Open begins an event: kind is its type, body all of it behind its header, without
// the checksum.
func (r *Rows) Open(kind uint8, body []byte) error {
	r.data, r.err, r.Before, r.After, r.blank = nil, nil, nil, nil, false
	if err := r.open(kind, body); err != nil {
		return fmt.Errorf("rows event of type %d of %s.%s: %w", kind, r.table.Schema, r.table.Name, err)
	}
	return nil
}

func (r *Rows) open(kind uint8, body []byte) error {
	in := reader{b: body}
	in.bytes(6 + 2) // table, flags
	compressed := kind >= writeCompressedV1 && kind <= deleteCompressedV2
	switch kind {
	case writeV2, updateV2, deleteV2, partialUpdate, writeCompressedV2, updateCompressedV2, deleteCompressedV2:
		// Data of partitions or of NDB, whose length counts itself.
		if b := in.bytes(2); b != nil {
			in.bytes(int(binary.LittleEndian.Uint16(b)) - 2)
		}
	}
	n := in.lenenc()
	if !in.bad && n != uint64(len(r.table.Columns)) {
		return fmt.Errorf("it has %d columns, its table map %d", n, len(r.table.Columns))
	}
	bitmap := in.bytes(int(n+7) / 8)
	r.partial = kind == partialUpdate
	switch kind {
	case writeV0, writeV1, writeV2, writeCompressedV1, writeCompressedV2:
		r.After = r.cells[1]
		r.plan(1, bitmap)
	case deleteV0, deleteV1, deleteV2, deleteCompressedV1, deleteCompressedV2:
		r.Before = r.cells[0]
		r.plan(0, bitmap)
	case updateV0, updateV1, updateV2, partialUpdate, updateCompressedV1, updateCompressedV2:
		r.Before, r.After = r.cells[0], r.cells[1]
		r.plan(0, bitmap)
		r.plan(1, in.bytes(int(n+7)/8))
	default:
		return errors.New("it is none")
	}
	if in.bad {
		return errShort
	}
	r.blank = (r.Before == nil || r.plans[0].nulls == 0) && (r.After == nil || r.plans[1].nulls == 0) && !r.partial
	r.data = in.b
	if compressed {
		data, err := r.inflate.rows(in.b)
		if err != nil {
			return err
		}
		r.data = data
	}
	return nil
}

// plan says how images are walked over that have the columns of a bitmap. Mostly it
// is that of the event before.
func (r *Rows) plan(image int, bitmap []byte) {
	p := &r.plans[image]
	if p.steps != nil && bytes.Equal(bitmap, p.bitmap) || bitmap == nil {
		return
	}
	p.bitmap = append(p.bitmap[:0], bitmap...)
	p.steps = p.steps[:0]
	here := 0
	for i := range r.table.Columns {
		c := &r.table.Columns[i]
		if bitmap[i/8]>>(i%8)&1 == 0 {
			// A partial update has a bit for every JSON column, whether it is here or not.
			if c.kind == typeJSON {
				p.steps = append(p.steps, step{json: true, cell: -2})
			}
			continue
		}
		here++
		p.steps = append(p.steps, step{size: c.size, prefix: c.prefix, json: c.kind == typeJSON, cell: int16(r.wanted[i])})
	}
	p.nulls = (here + 7) / 8
	for i := range r.cells[image] {
		r.cells[image][i] = Cell{}
	}
}

// Release lets go of the event, of which nothing that was given is good any more.
func (r *Rows) Release() {
	r.data, r.Before, r.After = nil, nil, nil
	for i := range r.cells {
		clear(r.cells[i])
	}
	r.inflate.release()
}

// Next goes on to the next row and tells whether there is one. Where no column is
// wanted it may take several for one.
func (r *Rows) Next() bool {
	if len(r.data) == 0 && r.err == nil && r.blank {
		r.blank = false
		return true
	}
	if len(r.data) == 0 || r.err != nil {
		return false
	}
	if r.blind {
		r.data = nil // one is as good as many
		return true
	}
	left := len(r.data)
	if r.Before != nil {
		r.image(0, false)
	}
	if r.After != nil && r.err == nil {
		r.image(1, r.partial)
	}
	if r.err == nil && len(r.data) == left {
		r.err = errors.New("a row of no bytes")
	}
	return r.err == nil
}

// Err says why Next has stopped: nil at the event's end, otherwise the event could
// not be read, and what it gave may be wrong.
func (r *Rows) Err() error {
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("row image of %s.%s: %w", r.table.Schema, r.table.Name, r.err)
}

// image walks over one image.
func (r *Rows) image(which int, partial bool) {
	p, cells, b := &r.plans[which], r.cells[which], r.data
	var diffs []byte
	if partial {
		in := reader{b: b}
		options := in.lenenc()
		const partialJSON = 1
		if options&^partialJSON != 0 {
			r.err = fmt.Errorf("a partial update with the options %#x, which this version does not know", options)
			return
		}
		if options&partialJSON != 0 {
			diffs = in.bytes((r.jsons + 7) / 8)
		}
		if in.bad {
			r.err = errShort
			return
		}
		b = in.b
	}
	if len(b) < p.nulls {
		r.err = errShort
		return
	}
	nulls := b[:p.nulls]
	b = b[p.nulls:]
	here, json := 0, 0
	for i := range p.steps {
		s := &p.steps[i]
		diff := false
		if s.json {
			diff = diffs != nil && diffs[json/8]>>(json%8)&1 != 0
			json++
			if s.cell == -2 {
				continue
			}
		}
		null := nulls[here/8]>>(here%8)&1 != 0
		here++
		if null {
			if s.cell >= 0 {
				cells[s.cell] = Cell{State: Null}
			}
			continue
		}
		size := uint(s.size)
		if s.prefix > 0 {
			if len(b) < int(s.prefix) {
				r.err = errShort
				return
			}
			switch s.prefix {
			case 1:
				size = uint(b[0])
			case 2:
				size = uint(binary.LittleEndian.Uint16(b))
			case 3:
				size = uint(b[0]) | uint(b[1])<<8 | uint(b[2])<<16
			default:
				size = uint(binary.LittleEndian.Uint32(b))
			}
			b = b[s.prefix:]
		}
		if uint(len(b)) < size {
			r.err = errShort
			return
		}
		if s.cell >= 0 {
			cells[s.cell] = Cell{State: Here, diff: diff, value: b[:size:size]}
		}
		b = b[size:]
	}
	r.data = b
}
