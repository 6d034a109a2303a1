package extract_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/extract"
)

// event is a table's map and one of its rows, as a reading hands them over.
type event struct {
	table binlog.Table
	rows  binlog.Rows
}

// recorder is a Handler that keeps every table and every event of rows.
type recorder struct {
	events []event
	t      binlog.Table
}

func (r *recorder) Table(t *binlog.Table) (bool, error) {
	r.t = *t
	r.t.Schema, r.t.Name, r.t.Body = bytes.Clone(t.Schema), bytes.Clone(t.Name), bytes.Clone(t.Body)
	return true, nil
}

func (r *recorder) Rows(rows *binlog.Rows) error {
	kept := *rows
	kept.Body = bytes.Clone(rows.Body)
	r.events = append(r.events, event{r.t, kept})
	return nil
}

func (r *recorder) File(binlog.File) error            { return nil }
func (r *recorder) Previous(*binlog.GTIDSet) error    { return nil }
func (r *recorder) Begin(*binlog.Transaction) error   { return nil }
func (r *recorder) Statement(*binlog.Statement) error { return nil }
func (r *recorder) End(*binlog.Transaction) error     { return nil }
func (r *recorder) Broken() error                     { return nil }
func (r *recorder) Moved() (binlog.Position, error)   { return binlog.Position{}, nil }
func (r *recorder) Checkpoint(string) error           { return nil }
func (r *recorder) Idle(uint64) error                 { return nil }
func (r *recorder) Warn(binlog.Warning)               {}

// record gives what a log of one transaction for each table holds.
func record(t testing.TB, c binlogtest.Config, tables ...string) []event {
	t.Helper()
	var log bytes.Buffer
	w := binlogtest.NewWriter(&log, c)
	for _, table := range tables {
		w.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Schema: "shop", Table: table, RowBytes: 100}}})
	}
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	files, err := binlog.NewFiles([]string{"-"}, &log)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	if err := files.Run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r.events
}

func newRules(t testing.TB, rules ...extract.Rule) *extract.Rules {
	t.Helper()
	r, err := extract.NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// BenchmarkRulesTable is a Table_map event of a table without rules, as most are.
func BenchmarkRulesTable(b *testing.B) {
	r := newRules(b, extract.Rule{Table: "shop.users", Keys: []string{"user:{id}"}})
	e := record(b, binlogtest.Config{}, "orders")[0]
	b.ReportAllocs()
	for b.Loop() {
		if r.Table(&e.table) {
			b.Fatal("wanted")
		}
	}
}

// BenchmarkRulesRows is an event with one row of a rule's table.
func BenchmarkRulesRows(b *testing.B) {
	for _, keys := range []int{1, 3} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			rule := extract.Rule{Table: "shop.users"}
			for i := range keys {
				rule.Keys = append(rule.Keys, fmt.Sprintf("user:{id}:%d", i))
			}
			r := newRules(b, rule)
			e := record(b, binlogtest.Config{}, "users")[0]
			n := 0
			key := func([]byte) { n++ }
			b.ReportAllocs()
			for b.Loop() {
				r.Begin()
				r.Table(&e.table)
				if err := r.Rows(&e.rows, key, nil); err != nil {
					b.Fatal(err)
				}
			}
			if n != keys*b.N {
				b.Errorf("%d keys of %d rows", n, b.N)
			}
		})
	}
}
