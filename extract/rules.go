package extract

import (
	"bytes"
	"slices"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
)

// Rules derives keys from row images. What comes in are a reading's tables and rows
// events; what goes out is keys, from both images of an update, and an
// UnservedError where a key cannot be had for certain. One goroutine at a time.
type Rules struct {
	// Describe, if set, is asked for a table's columns where the log does not say what
	// it takes to read them. A *binlog.UnsureError is its word that nobody knows for
	// certain. Other errors are Rows' errors.
	Describe func(schema, table string) ([]rowimage.Description, error)
	// Lacking, if set, is told of each rows event of a table that a rule's wildcards
	// happen to match and that certainly has no such column: no key is due.
	Lacking func(*UnservedError)

	rules []Rule
	// recent are the plans of the tables met last, by the ids' last bits: a Table_map
	// event stands in front of every statement's rows, mostly the same few.
	recent [planSlots]*plan
	// active are those whose rows have been asked for in the transaction.
	active    []*plan
	described map[string]*description
	cached    int // bytes of memory that recent takes, about

	// wanted tells of tables whether a rule is about them, by both names.
	wanted map[string]bool
	name   []byte // of the table at hand

	key []byte // of the row at hand
}

// description is what was said of a table's columns, for rows of one shape.
type description struct {
	schema, table string
	shape         []byte // the Table_map event without its id
	columns       []rowimage.Description
}

const (
	planSlots    = 256
	idBytes      = 6
	maxDescribed = 1000
	maxWanted    = 10_000
	// maxCached bounds the memory of the plans that are kept.
	maxCached = 16 << 20
)

// NewRules makes Rules. Patterns and templates that are none are errors.
func NewRules(rules []Rule) (*Rules, error) {
	for i := range rules {
		if err := checkRule(&rules[i]); err != nil {
			return nil, err
		}
	}
	return &Rules{rules: rules, described: make(map[string]*description), wanted: make(map[string]bool), key: make([]byte, 0, maxKey+1)}, nil
}

// Begin forgets the tables of the transaction before.
func (r *Rules) Begin() {
	clear(r.active)
	r.active = r.active[:0]
}

// Forget forgets what is known of tables: what follows stands in another file, or
// comes from another server, whose ids are others.
func (r *Rules) Forget() {
	r.recent = [planSlots]*plan{}
	r.cached = 0
	r.Begin()
	clear(r.described)
}

// Table tells whether the rows of a table are wanted. Names are compared once for each
// table; what else there is to make, once for each Table_map event that differs from
// the last of its id, if its rows are wanted.
//
// Benchmark: BenchmarkRulesTable.
func (r *Rules) Table(t *binlog.Table) (wanted bool) {
	p := r.recent[t.ID%planSlots]
	if p == nil || p.flavor != t.Flavor || !bytes.Equal(p.body, t.Body) {
		if !r.wants(t) {
			return false
		}
		p = &plan{id: t.ID, flavor: t.Flavor, body: bytes.Clone(t.Body), schema: string(t.Schema), table: string(t.Name)}
		p.size = len(p.body)
		r.drop(t.ID % planSlots)
		r.recent[t.ID%planSlots] = p
		r.cached += p.size
		r.bound()
	}
	r.activate(p)
	return true
}

// wants tells whether a rule is about a table. In steady state it allocates nothing.
func (r *Rules) wants(t *binlog.Table) bool {
	// No name has a NUL in it.
	r.name = append(append(append(r.name[:0], t.Schema...), 0), t.Name...)
	wanted, known := r.wanted[string(r.name)]
	if known {
		return wanted
	}
	if len(r.wanted) >= maxWanted {
		clear(r.wanted)
	}
	schema, table := string(t.Schema), string(t.Name)
	wanted = slices.ContainsFunc(r.rules, func(rule Rule) bool { return rule.Matches(schema, table) })
	r.wanted[string(r.name)] = wanted
	return wanted
}

// drop forgets the plan in a slot.
func (r *Rules) drop(slot uint64) {
	if p := r.recent[slot]; p != nil {
		r.cached -= p.size
		r.recent[slot] = nil
	}
}

// bound forgets all plans once they take too much memory.
func (r *Rules) bound() {
	if r.cached > maxCached {
		r.recent, r.cached = [planSlots]*plan{}, 0
	}
}

// activate puts a plan in the place of another of its id, or beside the others: a
// transaction has few tables, and mostly the last is the one that is asked for.
func (r *Rules) activate(p *plan) {
	for i, a := range r.active {
		if a.id == p.id {
			r.active[i] = p
			return
		}
	}
	r.active = append(r.active, p)
}

// planOf gives the plan for rows of a table; nil if they are not wanted.
func (r *Rules) planOf(id uint64) *plan {
	for _, p := range slices.Backward(r.active) {
		if p.id == id {
			return p
		}
	}
	return nil
}

// Matches tells whether a rule is about a table, or, if its name is empty, about
// tables of the schema.
func (r *Rules) Matches(schema, table string) bool {
	for i := range r.rules {
		if table == "" && r.rules[i].MatchesSchema(schema) || table != "" && r.rules[i].Matches(schema, table) {
			return true
		}
	}
	return false
}

// Redefined forgets what was said of a table whose definition a statement changes;
// an empty name is any.
func (r *Rules) Redefined(schema, table []byte) {
	for i := range r.recent {
		if p := r.recent[i]; p != nil && p.asked && about(p.schema, p.table, schema, table) {
			r.drop(uint64(i))
		}
	}
	for name, d := range r.described {
		if about(d.schema, d.table, schema, table) {
			delete(r.described, name)
		}
	}
}

// about tells whether a statement about a schema and a table, of which an empty name
// is any, is about this one.
func about(schema, table string, changedSchema, changedTable []byte) bool {
	return (len(changedSchema) == 0 || bytes.EqualFold([]byte(schema), changedSchema)) &&
		(len(changedTable) == 0 || bytes.EqualFold([]byte(table), changedTable))
}

// Place gives the names of the table that rows are about; ok is false if they are not
// wanted.
func (r *Rules) Place(rows *binlog.Rows) (schema, table string, ok bool) {
	p := r.planOf(rows.Table)
	if p == nil {
		return "", "", false
	}
	return p.schema, p.table, true
}

// Rows hands the keys of an event's rows to key, repetitions included, and to refused
// what cannot be one. What is handed over is good only during that call. If a key
// cannot be had for certain, the others go out and the first such is the error, an
// *UnservedError; any other error is Describe's.
//
// In steady state it allocates nothing but for JSON and compressed columns.
// Benchmark: BenchmarkRulesRows.
func (r *Rules) Rows(rows *binlog.Rows, key func([]byte), refused func(Refusal)) error {
	if rows.Body == nil {
		return nil
	}
	p := r.planOf(rows.Table)
	if p == nil {
		return nil
	}
	if !p.made {
		if err := r.make(p); err != nil {
			return err
		}
	}
	first := p.err
	if p.lacks != nil && r.Lacking != nil {
		r.Lacking(p.lacks)
	}
	if p.rows == nil {
		return first
	}
	defer p.rows.Release()
	if err := p.rows.Open(rows.Type, rows.Body); err != nil {
		return p.broken(err)
	}
	for p.rows.Next() {
		for i := range p.keys {
			k := &p.keys[i]
			if k.err != nil {
				continue
			}
			if p.rows.Before != nil {
				if err := r.one(p, k, p.rows.Before, p.rows.After, false, key, refused); err != nil && first == nil {
					first = err
				}
			}
			if p.rows.After != nil {
				if err := r.one(p, k, p.rows.After, p.rows.Before, true, key, refused); err != nil && first == nil {
					first = err
				}
			}
		}
	}
	if err := p.rows.Err(); err != nil {
		return p.broken(err)
	}
	return first
}

// broken says that an event could not be read.
func (p *plan) broken(err error) error {
	return &UnservedError{Rule: p.keys[0].rule, Key: p.keys[0].text, Schema: p.schema, Table: p.table, What: "its rows cannot be read", Err: err}
}

// one writes one key from an image. other is the image beside it: an image after
// lacks only what is as it was before. The other way round it cannot be told.
func (r *Rules) one(p *plan, k *template, image, other []rowimage.Cell, after bool, key func([]byte), refused func(Refusal)) error {
	r.key = r.key[:0]
	var missing *piece
	var unreadable error
	for i := range k.pieces {
		c := &k.pieces[i]
		if c.cell < 0 {
			r.key = append(r.key, c.text...)
			continue
		}
		cell := image[c.cell]
		var before rowimage.Cell
		if after && other != nil {
			before = other[c.cell]
			if cell.State == rowimage.Absent {
				cell = before
			}
		}
		switch cell.State {
		case rowimage.Null:
			return nil // whatever else there is: no key
		case rowimage.Absent:
			if missing == nil {
				missing = c
			}
			continue
		}
		if missing != nil || unreadable != nil || len(r.key) > maxKey {
			continue // is one of those that follow NULL?
		}
		var err error
		if r.key, err = c.value.Append(r.key, cell, before, maxKey); err != nil {
			missing, unreadable = c, err
		}
	}
	if missing != nil {
		e := &UnservedError{Rule: k.rule, Key: k.text, Schema: p.schema, Table: p.table, Column: missing.column}
		if e.What, e.Err = "its value cannot be read for certain", unreadable; unreadable == nil {
			e.What = "the row's images lack its value"
			e.Mend = mendImage(p.flavor)
		}
		return e
	}
	if why := checkKey(r.key); why != none {
		refuse(refused, why, r.key)
	} else {
		key(r.key)
	}
	const keep = 1 << 16
	if cap(r.key) > keep {
		r.key = nil
	}
	return nil
}

// checkKey says why bytes cannot be a key.
func checkKey(b []byte) Reason {
	switch {
	case len(b) == 0:
		return Empty
	case len(b) > maxKey:
		return TooLong
	}
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return ControlByte
		}
	}
	return none
}
