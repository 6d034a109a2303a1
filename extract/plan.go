package extract

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
)

// plan is what is to be done with the rows of one table, as one Table_map event
// describes it.
type plan struct {
	id     uint64
	body   []byte // of the Table_map event
	flavor binlog.Flavor
	size   int // in bytes of memory, about
	// What follows is made when the first rows come.
	made          bool
	schema, table string
	lacks         *UnservedError // the first of the keys that are not due, for want of a column
	rows          *rowimage.Rows
	keys          []template
	err           error // the first of the keys'
	// asked: it rests on what a server said, be it that it does not know; described:
	// on what information_schema said.
	asked, described bool
}

// template is one key of one rule, made for a table.
type template struct {
	rule, text string
	wild       bool // the rule has wildcards
	pieces     []piece
	// err: why no key can be had. The others go out.
	err error
}

// piece is a part of a template, ready to be written.
type piece struct {
	text   []byte
	column string
	cell   int // −1: text
	value  *rowimage.Value
}

// mendMetadata is the statement that puts the names of columns into the log.
func mendMetadata(f binlog.Flavor) string {
	if f == binlog.MariaDB {
		return "SET GLOBAL binlog_row_metadata = FULL (and binlog_row_metadata = FULL in the server's configuration)"
	}
	return "SET PERSIST binlog_row_metadata = FULL"
}

// mendImage is the statement that puts all columns into every image.
func mendImage(f binlog.Flavor) string {
	if f == binlog.MariaDB {
		return "SET GLOBAL binlog_row_image = FULL (and binlog_row_image = FULL in the server's configuration); sessions that are already connected keep their old setting"
	}
	return "SET PERSIST binlog_row_image = FULL; sessions that are already connected keep their old setting"
}

// make makes the plan for the table's rows. What is wrong with single keys is kept
// with them; an error is the connection's to the server.
func (r *Rules) make(p *plan) error {
	was := p.size
	err := r.fill(p)
	if r.recent[p.id%planSlots] == p {
		r.cached += p.size - was
		r.bound()
	}
	if err != nil {
		return err
	}
	p.made = true
	p.lacks = nil
	for i := range p.keys {
		k := &p.keys[i]
		var unserved *UnservedError
		if errors.As(k.err, &unserved) {
			unserved.Always = true
			if unserved.Lacks && k.wild {
				if p.lacks == nil {
					p.lacks = unserved
				}
				continue
			}
		}
		if p.err == nil {
			p.err = k.err
		}
	}
	return nil
}

func (r *Rules) fill(p *plan) error {
	t, err := rowimage.ParseTable(p.body, p.flavor == binlog.MariaDB)
	if err == nil {
		defer func() { p.size = len(p.body) + t.Size() }() // once it is described
	}
	if err != nil {
		p.unserved(r.rules, &UnservedError{What: "its columns cannot be read", Err: err})
		return nil // it stands with the keys
	}
	if !t.Named {
		why, err := r.describe(p, t)
		if err != nil {
			return err
		}
		if why != nil {
			p.unserved(r.rules, why)
			return nil
		}
	}
	if !p.compile(r.rules, t) || p.described {
		return nil
	}
	// The names are in the log, and something else is not that a server would tell.
	why, err := r.describe(p, t)
	if err != nil {
		return err
	}
	if why == nil {
		p.compile(r.rules, t)
		return nil
	}
	for i := range p.keys {
		var unserved *UnservedError
		var unreadable *rowimage.UnreadableError
		if errors.As(p.keys[i].err, &unserved) && errors.As(unserved.Err, &unreadable) && unreadable.Described {
			unserved.What, unserved.Mend, unserved.Err = unreadable.What+", and "+why.What, why.Mend, why.Err
		}
	}
	return nil
}

// describe has a server say what the log does not. why says that it cannot; an error
// is the connection's.
func (r *Rules) describe(p *plan, t *rowimage.Table) (why *UnservedError, err error) {
	mendLog := "" // nothing, if it has the names already
	if !t.Named {
		mendLog = mendMetadata(p.flavor)
	}
	if r.Describe == nil {
		if mendLog != "" {
			mendLog += " before the log is written"
		}
		return &UnservedError{What: "the log lacks what it takes to read the table's rows, and there is no server to ask", Mend: mendLog}, nil
	}
	p.asked = true
	name := p.schema + "." + p.table
	d := r.described[name]
	if d == nil || !bytes.Equal(d.shape, p.body[idBytes:]) {
		columns, err := r.Describe(p.schema, p.table)
		var unsure *binlog.UnsureError
		if errors.As(err, &unsure) {
			mend := mendLog
			switch {
			case mend == "":
				mend = unsure.Mend
			case unsure.Mend != "":
				mend = unsure.Mend + ", or " + mend
			}
			return &UnservedError{What: "the log lacks what it takes to read the table's rows, and the server cannot tell for certain", Mend: mend, Err: unsure}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("ask for the columns of %s: %w", name, err)
		}
		d = &description{schema: p.schema, table: p.table, shape: bytes.Clone(p.body[idBytes:]), columns: columns}
		if len(r.described) >= maxDescribed {
			clear(r.described)
		}
		r.described[name] = d
	}
	if err := t.Describe(d.columns); err != nil {
		return &UnservedError{What: "the log lacks what it takes to read the table's rows, and the server's answer does not fit them", Mend: mendLog, Err: err}, nil
	}
	p.described = true
	return nil, nil
}

// unserved makes a plan by which no key can be had, for the same reason.
func (p *plan) unserved(rules []Rule, why *UnservedError) {
	p.rows, p.keys = nil, nil
	for i := range rules {
		if !rules[i].Matches(p.schema, p.table) {
			continue
		}
		for _, key := range rules[i].Keys {
			e := *why
			e.Rule, e.Key, e.Schema, e.Table = rules[i].Table, key, p.schema, p.table
			p.keys = append(p.keys, template{rule: e.Rule, text: key, err: &e})
		}
	}
}

// compile makes the templates for the table. What is wrong with one stands with it;
// ask tells whether something is that a server would know.
func (p *plan) compile(rules []Rule, t *rowimage.Table) (ask bool) {
	p.keys = nil
	var wanted []int
	for i := range rules {
		rule := &rules[i]
		if !rule.Matches(p.schema, p.table) {
			continue
		}
		_, _, exact := rule.Exact()
		for _, key := range rule.Keys {
			k := template{rule: rule.Table, text: key, wild: !exact}
			k.err = p.template(&k, t, &wanted)
			var unreadable *rowimage.UnreadableError
			ask = ask || errors.As(k.err, &unreadable) && unreadable.Described
			p.keys = append(p.keys, k)
		}
	}
	p.rows = rowimage.NewRows(t, wanted)
	return ask
}

// template fills in one key's pieces. wanted are the columns that the images are to
// give, and grows.
func (p *plan) template(k *template, t *rowimage.Table, wanted *[]int) error {
	parts, err := parseTemplate(k.text)
	if err != nil {
		return err
	}
	for _, part := range parts {
		switch {
		case part.column == "":
			k.pieces = append(k.pieces, piece{text: []byte(part.text), cell: -1})
			continue
		case strings.EqualFold(part.column, placeSchema):
			k.pieces = append(k.pieces, piece{text: []byte(p.schema), cell: -1})
			continue
		case strings.EqualFold(part.column, placeTable):
			k.pieces = append(k.pieces, piece{text: []byte(p.table), cell: -1})
			continue
		}
		e := &UnservedError{Rule: k.rule, Key: k.text, Schema: p.schema, Table: p.table, Column: part.column}
		i := t.Column(part.column)
		if i < 0 {
			e.What, e.Lacks = "the table has no such column", true
			e.Mend = "a rule that fits the table, or none for it, and a new start, by which nothing is lost"
			return e
		}
		value, err := t.NewValue(i)
		if err != nil {
			e.What, e.Err = "its values cannot be read for certain", err
			if !t.Named || p.described {
				e.Mend = mendMetadata(p.flavor)
			}
			return e
		}
		cell := slices.Index(*wanted, i)
		if cell < 0 {
			cell = len(*wanted)
			*wanted = append(*wanted, i)
		}
		k.pieces = append(k.pieces, piece{column: part.column, cell: cell, value: value})
	}
	return nil
}
