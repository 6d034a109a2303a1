package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/sink/stdout"
)

// counting is a Source that counts the rows events whose images are handed over.
type counting struct {
	Source
	images map[string]int // by table
	rows   int
}

func (c *counting) Run(ctx context.Context, pos *binlog.Position, h binlog.Handler) error {
	return c.Source.Run(ctx, pos, &countingHandler{Handler: h, c: c})
}

type countingHandler struct {
	binlog.Handler
	c     *counting
	table string
}

func (h *countingHandler) Table(t *binlog.Table) (bool, error) {
	h.table = string(t.Name)
	return h.Handler.Table(t)
}

func (h *countingHandler) Rows(r *binlog.Rows) error {
	h.c.rows++
	if r.Body != nil {
		h.c.images[h.table]++
	}
	return h.Handler.Rows(r)
}

// logOf is a log file's contents.
func logOf(t *testing.T, txs ...binlogtest.Tx) *bytes.Buffer {
	t.Helper()
	var log bytes.Buffer
	w := binlogtest.NewWriter(&log, binlogtest.Config{})
	for _, tx := range txs {
		w.Transaction(tx)
	}
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	return &log
}

func inserted(text, table string, rows int) binlogtest.Tx {
	return binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: text, Schema: "shop", Table: table, Rows: rows, RowBytes: 10}}}
}

// replayed runs a pipeline over a log and gives what it prints.
func replayed(t *testing.T, log *bytes.Buffer, cfg Config) (printed string, source *counting, p *Pipeline, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bin.000001")
	if err := os.WriteFile(path, log.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := binlog.NewFiles([]string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files.KeepRows = true
	source = &counting{Source: Files(files), images: make(map[string]int)}
	var out bytes.Buffer
	cfg.Open = func() (Source, *binlog.Visibility) { return source, nil }
	cfg.Together, cfg.Spool = true, checkpoint.TemporarySpool(t.TempDir())
	cfg.Clusters = []Cluster{{Name: "out", Connections: []Connection{{Sink: stdout.New(stdout.Config{Out: &out})}}}}
	if p, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	err = p.Run(t.Context())
	return out.String(), source, p, err
}

var usersByID = []extract.Rule{{Table: "shop.users", Keys: []string{"user:{id}"}}}

func TestRowsOfTablesWithoutRulesAreNotDecoded(t *testing.T) {
	large := inserted("", "orders", 1)
	large.Statements[0].RowBytes = 1 << 20
	packed := inserted("", "orders", 3)
	packed.Compress = true
	log := logOf(t, inserted("", "orders", 5), inserted("", "users", 2), large, packed)
	printed, source, _, err := replayed(t, log, Config{Rules: usersByID})
	if err != nil {
		t.Fatal(err)
	}
	if len(source.images) != 1 || source.images["users"] != 2 || source.rows != 11 {
		t.Errorf("images of %v were handed over, of %d; want 2 of users, of 11", source.images, source.rows)
	}
	if n := strings.Count(printed, `"cause":"rule","schema":"shop","table":"users"`); n != 2 {
		t.Errorf("printed %s, want 2 lines", printed)
	}
	// Without rules nothing is asked for.
	log = logOf(t, inserted("INSERT /* mc: a */ INTO users", "users", 2))
	if printed, source, _, err = replayed(t, log, Config{Tags: []string{"mc"}}); err != nil || len(source.images) != 0 || strings.Count(printed, "\n") != 1 {
		t.Errorf("images of %v were handed over, %s, %v", source.images, printed, err)
	}
}

// counted gives a metric's values by their labels.
func counted(t *testing.T, r *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			values[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return values
}

func TestTransactionsWithoutKeysAreCountedByTable(t *testing.T) {
	var txs []binlogtest.Tx
	for i := range 150 {
		txs = append(txs, inserted("INSERT INTO x", fmt.Sprintf("t%d", i), 1))
	}
	txs = append(txs,
		inserted("INSERT /* mc: a */ INTO orders", "t0", 1), // has a key
		inserted("INSERT INTO orders", "t0", 3),
		inserted("INSERT INTO orders", "users", 1), // has one by a rule
	)
	r := prometheus.NewRegistry()
	if _, _, _, err := replayed(t, logOf(t, txs...), Config{Tags: []string{"mc"}, Rules: usersByID, Metrics: NewMetrics(r)}); err != nil {
		t.Fatal(err)
	}
	got := counted(t, r, "mcsqueal_transactions_without_keys_total")
	if got["shop.t0"] != 2 || got["shop.t1"] != 1 || got["other"] != 50 || got["shop.users"] != 0 || len(got) != 101 {
		t.Errorf("%d tables, t0 %v, t1 %v, users %v, other %v; want 101, 2, 1, 0 and 50", len(got), got["shop.t0"], got["shop.t1"], got["shop.users"], got["other"])
	}
}

func TestChangesWithoutRowsAreCountedByTable(t *testing.T) {
	ddl := func(text string) binlogtest.Tx {
		return binlogtest.Tx{End: binlogtest.Alone, Statements: []binlogtest.Stmt{{Query: true, Schema: "shop", Text: text}}}
	}
	r := prometheus.NewRegistry()
	log := logOf(t, ddl("TRUNCATE users"), ddl("DROP TABLE users, orders"), ddl("ALTER TABLE x.users DROP PARTITION p"), ddl("ALTER TABLE users ADD c INT"), ddl("DROP DATABASE shop"),
		ddl("DO shop.touch_users()"))
	if _, _, _, err := replayed(t, log, Config{Rules: usersByID, Metrics: NewMetrics(r)}); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, r, "mcsqueal_rule_rowless_changes_total"); len(got) != 3 || got["shop.users"] != 2 || got["shop.*"] != 1 || got["*.*"] != 1 {
		t.Errorf("got %v, want 2 of shop.users, 1 of shop.* and 1 of what may be any table", got)
	}
}

// Where positions are kept a key that cannot be had is a gap; elsewhere the rest goes
// on, and it is counted.
func TestKeysThatCannotBeHadAreAGapOrCounted(t *testing.T) {
	rules := []extract.Rule{{Table: "shop.users", Keys: []string{"a:{nope}", "user:{id}"}}}
	txs := []binlogtest.Tx{inserted("", "users", 1), inserted("", "users", 1)}
	printed, _, p, err := replayed(t, logOf(t, txs...), Config{Rules: rules})
	if u := p.Unserved(); err != nil || len(u) != 1 || u[0].Table != "shop.users" || u[0].Events != 2 || !strings.Contains(u[0].Reason, "column nope") || strings.Count(printed, "user:") != 2 {
		t.Errorf("%v, %v unserved, printed %s; want 2, and 2 lines", err, p.Unserved(), printed)
	}
	saved := make(map[string]binlog.Position)
	_, _, _, err = replayed(t, logOf(t, txs...), Config{Rules: rules, Save: func(at map[string]binlog.Position) error {
		for name, p := range at {
			saved[name] = p
		}
		return nil
	}})
	var gap *binlog.GapError
	if !errors.Is(err, ErrAllParked) || !errors.As(err, &gap) || !strings.Contains(err.Error(), "column nope") ||
		!strings.Contains(err.Error(), "a rule that fits the table") || strings.Contains(err.Error(), "does not have what follows") {
		t.Errorf("the error is %v", err)
	}
	if at := saved["out"]; !at.GTIDs.Empty() {
		t.Errorf("the position has passed it: %v", at)
	}
}

// TestNotingATableAllocatesNothing holds writers to that.
func TestNotingATableAllocatesNothing(t *testing.T) {
	w := writers{metrics: NewMetrics(nil).untagged}
	table := &binlog.Table{ID: 7, Schema: []byte("shop"), Name: []byte("users")}
	if n := testing.AllocsPerRun(100, func() {
		w.begin()
		w.table(table)
		w.rows(table.ID)
		w.statement(table.Schema, table.Name)
		w.untagged()
		w.count()
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Wildcards match tables that nobody thought of: one without the column gets no such
// key, and holds nobody up.
func TestATableThatWildcardsMatchMayLackTheColumn(t *testing.T) {
	rules := []extract.Rule{{Table: "shop.*", Keys: []string{"a:{nope}", "{table}:{id}"}}}
	txs := []binlogtest.Tx{inserted("", "users", 1), inserted("", "users", 1), inserted("", "orders", 1)}
	r := prometheus.NewRegistry()
	var said bytes.Buffer
	printed, _, p, err := replayed(t, logOf(t, txs...), Config{
		Rules: rules, Metrics: NewMetrics(r), Logger: slog.New(slog.NewTextHandler(&said, nil)),
		Save: func(map[string]binlog.Position) error { return nil },
	})
	if err != nil || len(p.Unserved()) != 0 || strings.Count(printed, `"key":"users:`) != 2 || strings.Count(printed, `"key":"orders:`) != 1 {
		t.Errorf("%v, %v unserved, printed %s; want the three keys of {id}", err, p.Unserved(), printed)
	}
	if got := counted(t, r, "mcsqueal_rule_rows_unserved_total"); got["shop.users"] != 2 || got["shop.orders"] != 1 {
		t.Errorf("counted %v, want 2 of users and 1 of orders", got)
	}
	if n := strings.Count(said.String(), "lacks the rule's column"); n != 2 || strings.Count(said.String(), "table=shop.users") != 1 {
		t.Errorf("said %d times, want once for each table: %s", n, said.String())
	}
}

// No key of an XA transaction is due before it is committed, and none after it was
// rolled back, so none is missing.
func TestKeysOfAnXATransactionAreMissingOnceItIsCommitted(t *testing.T) {
	rules := []extract.Rule{{Table: "shop.users", Keys: []string{"a:{nope}", "user:{id}"}}}
	xid := binlog.XID{Named: true, Format: 1, Global: 1, Data: "gb"}
	prepare := inserted("", "users", 2)
	prepare.End, prepare.XID = binlogtest.Prepare, xid
	onePhase := prepare
	onePhase.End = binlogtest.OnePhase
	for _, test := range []struct {
		name    string
		txs     []binlogtest.Tx
		missing string
	}{
		{"prepared", []binlogtest.Tx{prepare}, ""},
		{"rolled back", []binlogtest.Tx{prepare, {End: binlogtest.XARollback, XID: xid}}, ""},
		{"committed", []binlogtest.Tx{prepare, {End: binlogtest.XACommit, XID: xid}}, "when the transaction was prepared, a rule's keys could not be had for certain"},
		{"in one phase", []binlogtest.Tx{onePhase}, "a rule's keys cannot be had for certain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := logOf(t, append(test.txs, inserted("", "orders", 1))...)
			r := prometheus.NewRegistry()
			_, _, _, err := replayed(t, bytes.NewBuffer(log.Bytes()), Config{Rules: rules, Metrics: NewMetrics(r), Save: func(map[string]binlog.Position) error { return nil }})
			var gap *binlog.GapError
			if errors.As(err, &gap) != (test.missing != "") || gap != nil && (!strings.Contains(err.Error(), test.missing) || !strings.Contains(err.Error(), "column nope")) {
				t.Errorf("it ended with %v, want %q", err, test.missing)
			}
			if n := counted(t, r, "mcsqueal_rule_rows_unserved_total")["shop.users"]; (n > 0) != (test.missing != "") {
				t.Errorf("%v are counted", n)
			}
			// A replay goes on, and says so only where keys were due.
			printed, _, p, err := replayed(t, log, Config{Rules: rules})
			if err != nil || (len(p.Unserved()) > 0) != (test.missing != "") || (strings.Count(printed, `"user:`) > 0) != (test.missing != "") {
				t.Errorf("%v, %v unserved, printed %s", err, p.Unserved(), printed)
			}
		})
	}
}

// What goes wrong with one table keeps nothing of another unsaid.
func TestEachTablesTroubleIsSaid(t *testing.T) {
	rules := []extract.Rule{{Table: "shop.users", Keys: []string{"a:{nope}"}}, {Table: "shop.orders", Keys: []string{"b:{never}", "has space"}}, {Table: "shop.items", Keys: []string{"has space"}}}
	txs := []binlogtest.Tx{inserted("", "users", 1), inserted("", "users", 1), inserted("", "orders", 1), inserted("", "items", 1)}
	for _, text := range []string{"TRUNCATE users", "TRUNCATE orders"} {
		txs = append(txs, binlogtest.Tx{End: binlogtest.Alone, Statements: []binlogtest.Stmt{{Query: true, Schema: "shop", Text: text}}})
	}
	var said bytes.Buffer
	_, _, p, err := replayed(t, logOf(t, txs...), Config{Rules: rules, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"column nope", "column never",
		"key was refused; its neighbours go out\" reason=control_byte table=shop.orders", "key was refused; its neighbours go out\" reason=control_byte table=shop.items",
		"table=shop.users log=", "table=shop.orders log=",
	} {
		if strings.Count(said.String(), part) != 1 {
			t.Errorf("%q is not said once: %s", part, said.String())
		}
	}
	if u := p.Unserved(); len(u) != 2 || u[0].Events != 2 || u[1].Table != "shop.orders" || !strings.Contains(u[1].Reason, "column never") {
		t.Errorf("unserved are %+v, want 2 of users and 1 of orders", u)
	}
}

// A statement announces tables that it does not come to change, and has no rows at all
// in statement format.
func TestOnlyTablesThatWereChangedCountAsWithoutKeys(t *testing.T) {
	statement := func(text string) binlogtest.Tx {
		return binlogtest.Tx{Statements: []binlogtest.Stmt{{Query: true, Schema: "shop", Text: text}}}
	}
	log := logOf(t,
		inserted("", "users", 1),
		statement("UPDATE orders SET a = 1"), statement("UPDATE /* mc: a */ orders SET a = 1"), statement("DELETE FROM orders"), statement("CREATE TABLE fresh (id INT)"),
	)
	r := prometheus.NewRegistry()
	if _, _, _, err := replayed(t, log, Config{Tags: []string{"mc"}, Metrics: NewMetrics(r)}); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, r, "mcsqueal_transactions_without_keys_total"); len(got) != 2 || got["shop.users"] != 1 || got["shop.orders"] != 2 {
		t.Errorf("counted %v, want 1 of users and 2 of orders", got)
	}
	w := writers{metrics: NewMetrics(nil).untagged}
	w.begin()
	for i, name := range []string{"users", "audit"} {
		w.table(&binlog.Table{ID: uint64(i), Schema: []byte("shop"), Name: []byte(name)})
	}
	w.rows(0)
	w.untagged()
	if w.recent[0].untagged != 1 || w.recent[1].untagged != 0 {
		t.Errorf("%d of users and %d of audit, want 1 and 0: the statement has come to change users alone", w.recent[0].untagged, w.recent[1].untagged)
	}
}
