package binlog

import (
	"fmt"
	"strings"
	"time"
)

// recorder is a Handler that writes down what it is handed, a line each.
type recorder struct {
	lines      []string
	file       File
	at         Position             // where Moved says to go on
	created    map[string]time.Time // of each file
	stopAt     string               // ErrStop once a statement contains this and its transaction has ended
	stop       bool
	wantTables bool
	warnings   []Warning
	positions  bool // write down places too
}

func (r *recorder) add(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) File(f File) error {
	r.file = f
	if r.created == nil {
		r.created = make(map[string]time.Time)
	}
	r.created[f.Name] = f.Created
	return nil
}

func (r *recorder) Previous(*GTIDSet) error { return nil }
func (r *recorder) Begin(t *Transaction) error {
	if r.positions {
		r.add("begin %s at %s:%d", t.GTID, r.file.Name, t.Start)
		return nil
	}
	r.add("begin")
	return nil
}

func (r *recorder) Statement(s *Statement) error {
	kind := "query"
	if s.Rows {
		kind = "rows"
	}
	r.add("%s %s", kind, s.Text)
	if r.stopAt != "" && strings.Contains(string(s.Text), r.stopAt) {
		r.stop = true
	}
	return nil
}

func (r *recorder) Table(t *Table) (bool, error) {
	if r.wantTables {
		r.add("table %s.%s", t.Schema, t.Name)
	}
	return r.wantTables, nil
}

func (r *recorder) Rows(rows *Rows) error {
	if r.wantTables {
		r.add("images %d", len(rows.Body))
	}
	return nil
}

func (r *recorder) End(t *Transaction) error {
	x := ""
	if !t.XID.IsZero() {
		x = " " + t.XID.String()
	}
	r.add("end %s%s", t.Outcome, x)
	if r.stop {
		return ErrStop
	}
	return nil
}

func (r *recorder) Moved() (Position, error) { r.add("moved"); return r.at, nil }
func (r *recorder) Broken() error            { r.add("broken"); return nil }
func (r *recorder) Checkpoint(string) error  { return nil }
func (r *recorder) Idle(uint64) error        { return nil }
func (r *recorder) Warn(w Warning)           { r.warnings = append(r.warnings, w) }
