package pipeline

import (
	"context"
	"errors"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
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
	r.metrics.unserved.of(r.schema, r.table).Inc()
	if !r.strict {
		r.unsure++
		r.unserved.Do(func() {
			r.logger.Error("keys are missing", "reason", unserved.Error(), "log", r.file.Name, "pos", r.start)
		})
		return nil
	}
	return &binlog.GapError{
		Source: "the log", Position: binlog.Position{File: r.file, Offset: r.start}, Keys: true,
		What: "a rule's keys cannot be had for certain", Err: unserved,
	}
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

// changed takes note of what a statement does to a rule's tables.
func (r *reading) changed(c binlog.Change) {
	if c.Definition {
		r.rules.Redefined(c.Schema, c.Table)
	}
	if !c.Rows || len(c.Schema) == 0 || !r.rules.Matches(string(c.Schema), string(c.Table)) {
		return
	}
	table := c.Table
	if len(table) == 0 {
		table = []byte("*")
	}
	r.metrics.rowless.of(c.Schema, table).Inc()
	r.rowless.Do(func() {
		r.logger.Warn("a rule's table was changed without row images; the rule has no keys for that",
			"table", string(c.Schema)+"."+string(table), "log", r.file.Name, "pos", r.start)
	})
}
