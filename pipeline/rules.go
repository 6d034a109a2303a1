package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/extract"
)

// describing is a Source that can be asked for tables' columns: a server, and not
// log files.
type describing interface {
	// Describe tells the columns that a table had at a place in the log that is being
	// read, or fails with a *binlog.UnsureError. It is called within Run.
	Describe(ctx context.Context, at binlog.Position, schema, table string) ([]rowimage.Description, error)
}

// bindRules has the rules ask the source for what the log does not say.
func (r *reading) bindRules() {
	if r.rules == nil {
		return
	}
	r.rules.Lacking = r.lacking
	if source, ok := r.source.(describing); ok {
		r.rules.Describe = func(schema, table string) ([]rowimage.Description, error) {
			return source.Describe(r.ctx, binlog.Position{File: r.file, Offset: r.start}, schema, table)
		}
	}
}

// images takes the keys that rules derive from an event's rows.
func (r *reading) images(rows *binlog.Rows) error {
	schema, table, ok := r.rules.Place(rows)
	if !ok {
		return nil
	}
	r.schema, r.table = append(r.schema[:0], schema...), append(r.table[:0], table...)
	r.because(batcher.Rule, r.schema, r.table)
	r.err = nil
	err := r.rules.Rows(rows, r.onKey, r.onRefused)
	if r.err != nil {
		return r.err
	}
	var unserved *extract.UnservedError
	if !errors.As(err, &unserved) {
		return err
	}
	if r.xa {
		return r.undecided(unserved)
	}
	r.metrics.unserved.of(r.schema, r.table).Inc()
	if !r.strict {
		r.gone(r.start, string(r.schema)+"."+string(r.table), unserved.Error())
		return nil
	}
	return r.keysGap(r.start, "a rule's keys cannot be had for certain", unserved)
}

// gone says that keys of a table's rows are missing where that is no gap.
func (r *reading) gone(start uint64, table, reason string) {
	r.read.miss(table, reason)
	if more, ok := r.unserved.Take(table + " " + reason); ok {
		r.logger.Error("keys are missing", "reason", reason, "log", r.file.Name, "pos", start, "more", more)
	}
}

// keysGap is a gap where the log is there and keys are missing.
func (r *reading) keysGap(start uint64, what string, err error) error {
	return &binlog.GapError{Source: "the log", Position: binlog.Position{File: r.file, Offset: start}, Keys: true, What: what, Err: err}
}

// unknownKey is the cause under which the reason stands among an XA transaction's keys
// why others are missing: only a commit makes them due.
const unknownKey batcher.Cause = 0xff

// missingError is such a reason, once the transaction has been committed.
type missingError struct{ Schema, Table, Reason string }

func (e *missingError) Error() string { return e.Reason }

// undecided keeps the reason why an XA transaction's keys are missing until it is
// decided upon.
func (r *reading) undecided(e *extract.UnservedError) error {
	if r.missing == nil {
		r.missing = e
	}
	reason := *e
	reason.Mend = "" // what is spooled is not read again
	text := []byte(reason.Error())
	text = text[:min(len(text), batcher.MaxKey)]
	if !r.seen.Add(text) {
		return nil
	}
	r.collector.Statement(unknownKey, r.schema, r.table)
	return r.collector.Key(text)
}

// maxLacking is how many tables are remembered that lack a rule's column.
const maxLacking = 1000

// lacking takes note of rows of a table that a rule's wildcards match and that has no
// such column. That is said once for each table and reading.
func (r *reading) lacking(e *extract.UnservedError) {
	r.metrics.unserved.of(r.schema, r.table).Inc()
	name := e.Schema + "." + e.Table
	if _, said := r.lack[name]; said || len(r.lack) >= maxLacking {
		return
	}
	if r.lack == nil {
		r.lack = make(map[string]struct{})
	}
	r.lack[name] = struct{}{}
	r.logger.Warn("a table that a rule's wildcards match lacks the rule's column, so it has no such key",
		"table", name, "rule", e.Rule, "key", e.Key, "column", e.Column, "log", r.file.Name, "pos", r.start)
}

// changed takes note of what a statement does to tables.
func (r *reading) changed(c binlog.Change) {
	if c.Rows && !c.Definition && len(c.Table) > 0 {
		r.writers.statement(c.Schema, c.Table)
	}
	if r.rules == nil {
		return
	}
	if c.Definition {
		r.rules.Redefined(c.Schema, c.Table)
	}
	// A statement that could not be read names no schema: it may be about any table.
	unread := len(c.Schema) == 0
	if !c.Rows || !unread && !r.rules.Matches(string(c.Schema), string(c.Table)) {
		return
	}
	schema, table := c.Schema, c.Table
	if unread {
		schema = []byte("*")
	}
	if len(table) == 0 {
		table = []byte("*")
	}
	r.metrics.rowless.of(schema, table).Inc()
	name := string(schema) + "." + string(table)
	more, ok := r.rowless.Take(name)
	switch {
	case !ok:
	case unread:
		r.logger.Warn("a statement without row images may have changed a rule's table; the rule has no keys for that",
			"log", r.file.Name, "pos", r.start, "more", more)
	default:
		r.logger.Warn("a rule's table was changed without row images; the rule has no keys for that",
			"table", name, "log", r.file.Name, "pos", r.start, "more", more)
	}
}

// neverKnown deals with the commit of an XA transaction of which keys are missing.
func (r *reading) neverKnown(t *binlog.Transaction, s checkpoint.Statement, reason string) error {
	r.metrics.unserved.of(s.Schema, s.Table).Inc()
	what := fmt.Sprintf("XA COMMIT %s: when the transaction was prepared, a rule's keys could not be had for certain", t.XID)
	err := &missingError{Schema: string(s.Schema), Table: string(s.Table), Reason: reason}
	if r.strict {
		return r.keysGap(t.Start, what, err)
	}
	r.gone(t.Start, err.Schema+"."+err.Table, what+": "+reason)
	return nil
}
