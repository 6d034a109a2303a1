package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/extract"
)

// usersRule is a rule on one small table of many.
var usersRule = extract.Rule{Table: "shop.users", Keys: []string{"user:{id}"}}

// benchRules reads a log in which one row in twenty is of a rule's table, with the
// rule and without: rows that nobody asks for must cost nothing, and those of the
// rule no more than their keys.
func benchRules(ctx context.Context, w *workbench) error {
	const every, rows = 20, 3
	path := filepath.Join(w.dir, "rules")
	size, tags, ruled, err := rulesFile(path, w.scaled(128<<20), every, rows)
	if err != nil {
		return err
	}
	cfg := filepath.Join(w.dir, "rules.yaml")
	text := fmt.Sprintf("tags: [mc]\nrules: [{table: %s, keys: [%q]}]\n", usersRule.Table, usersRule.Keys[0])
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	rate := func(d time.Duration) float64 { return float64(size) / d.Seconds() / 1e6 }
	replay := func(keys int, args ...string) func(context.Context) ([]float64, error) {
		return once(func(ctx context.Context) (float64, error) {
			d, err := w.replay(ctx, keys, append(args, "--files", path, "--dry-run", "--match=^$")...)
			return rate(d), err
		})
	}
	read := func(keys int, rules ...extract.Rule) func(context.Context) ([]float64, error) {
		return once(func(ctx context.Context) (float64, error) {
			d, _, err := readRules(ctx, path, keys, rules...)
			return rate(d), err
		})
	}
	results, err := interleave(ctx, w.rounds(),
		side{"with a rule", replay(tags+ruled, "--config", cfg)},
		side{"tags only", replay(tags)},
		side{"reading, with a rule", read(tags+ruled, usersRule)},
		side{"reading, tags only", read(tags)},
	)
	if err != nil {
		return err
	}
	const unit = "MB/s"
	w.table.compare("command, a rule on 5 % of the rows", unit, results[0][0], "tags only", results[1][0], target{atLeast: 0.9})
	w.table.compare("reading and extracting, a rule on 5 % of the rows", unit, results[2][0], "tags only", results[3][0], target{atLeast: 0.9})

	// Every row is the rule's.
	all := filepath.Join(w.dir, "all")
	if _, tags, ruled, err = rulesFile(all, w.scaled(32<<20), 1, rows); err != nil {
		return err
	}
	took, mallocs, err := readRules(ctx, all, tags+ruled, usersRule)
	if err != nil {
		return err
	}
	w.table.add(row{what: "every row is the rule's", ours: float64(mallocs) / float64(ruled), unit: "allocations/row", target: target{atMost: 0.01}})
	w.table.add(row{what: "every row is the rule's", ours: float64(ruled) / took.Seconds(), unit: "rows/s"})
	w.table.note("Transactions insert %d rows of 100 B and name a key in a tag. Reading and extracting is binlog.Files with extract.Tags and extract.Rules.", rows)
	return nil
}

// rulesFile writes a log of transactions, one in every to the rule's table. It tells
// how many keys tags name, and how many rows the rule has.
func rulesFile(path string, size, every, rows int) (bytes int64, tags, ruled int, err error) {
	bytes, err = logFile(path, binlogtest.Config{}, func(l *binlogtest.Writer) {
		for i := 0; l.Err() == nil && l.Offset() < uint64(size); i++ {
			table := "orders"
			if i%every == 0 {
				table = "users"
				ruled += rows
			}
			tags++
			text := fmt.Sprintf("INSERT INTO shop.%s /* mc: %[1]s:list:%d */ (id, v) VALUES (?, ?), (?, ?), (?, ?)", table, i)
			l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: text, Schema: "shop", Table: table, Rows: rows, RowBytes: 100}}})
		}
		l.Rotate("bin.000002")
	})
	return bytes, tags, ruled, err
}

// ruler is an extractor that has rules, too.
type ruler struct {
	*extractor
	rules *extract.Rules
}

func (r *ruler) Begin(t *binlog.Transaction) error {
	r.rules.Begin()
	return r.extractor.Begin(t)
}

func (r *ruler) Table(t *binlog.Table) (bool, error) { return r.rules.Table(t), nil }

func (r *ruler) Rows(rows *binlog.Rows) error { return r.rules.Rows(rows, r.onKey, r.refused) }

// readRules reads a file and takes its keys out, which must be so many, and counts
// what was allocated meanwhile.
func readRules(ctx context.Context, path string, keys int, rules ...extract.Rule) (took time.Duration, mallocs uint64, err error) {
	e, err := newExtractor()
	if err != nil {
		return 0, 0, err
	}
	r, err := extract.NewRules(rules)
	if err != nil {
		return 0, 0, err
	}
	files, err := binlog.NewFiles([]string{path}, nil)
	if err != nil {
		return 0, 0, err
	}
	var h binlog.Handler = e
	if len(rules) > 0 {
		files.KeepRows = true
		h = &ruler{e, r}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	err = files.Run(ctx, h)
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.Mallocs - before.Mallocs, errors.Join(err, e.check(keys))
}
