package binlogtest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

var flavors = []binlog.Flavor{binlog.MySQL, binlog.MariaDB}

// everything writes a log with every kind of transaction, and gives the texts of
// its statements.
func everything(l *binlogtest.Writer, flavor binlog.Flavor) (texts []string) {
	write := func(tx binlogtest.Tx) {
		for _, s := range tx.Statements {
			texts = append(texts, s.Text)
		}
		l.Transaction(tx)
	}
	rows := func(text string) []binlogtest.Stmt { return []binlogtest.Stmt{{Text: text, RowBytes: 30}} }
	query := func(text string) []binlogtest.Stmt { return []binlogtest.Stmt{{Text: text, Query: true}} }
	xid := func(global string) binlog.XID {
		return binlog.XID{Named: true, Format: 7, Global: len(global), Data: global + "b"}
	}

	write(binlogtest.Tx{End: binlogtest.Alone, Statements: query("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v LONGBLOB)")})
	write(binlogtest.Tx{End: binlogtest.Alone, Statements: query("CREATE TABLE u (id BIGINT NOT NULL PRIMARY KEY, v LONGBLOB)")})
	write(binlogtest.Tx{Statements: rows("INSERT /* one */ INTO t SELECT 1")})
	write(binlogtest.Tx{Statements: []binlogtest.Stmt{
		{Text: "INSERT /* two */ INTO t SELECT 2", Rows: 3, RowBytes: 300},
		{Text: "INSERT /* three */ INTO u SELECT 3", Table: "u"},
		{Text: "INSERT /* " + strings.Repeat("four ", 100) + "*/ INTO t SELECT 4", RowBytes: 70_000},
	}})
	write(binlogtest.Tx{End: binlogtest.CommitQuery, Statements: rows("INSERT /* five */ INTO t SELECT 5")})
	write(binlogtest.Tx{Compress: true, Time: time.Date(2025, 6, 7, 8, 9, 10, 987654000, time.UTC),
		Statements: []binlogtest.Stmt{{Text: "INSERT /* six */ INTO t SELECT 6", RowBytes: 5000}}})
	write(binlogtest.Tx{Compress: true, Statements: query("INSERT /* seven, " + strings.Repeat("long ", 80) + " */ INTO t VALUES (7777, '')")})
	write(binlogtest.Tx{End: binlogtest.Prepare, XID: xid("x"), Statements: rows("INSERT /* eight */ INTO t SELECT 8")})
	write(binlogtest.Tx{End: binlogtest.XACommit, XID: xid("x")})
	write(binlogtest.Tx{End: binlogtest.Prepare, XID: xid("y"), Statements: rows("INSERT /* never */ INTO t SELECT 9")})
	write(binlogtest.Tx{End: binlogtest.XARollback, XID: xid("y")})
	write(binlogtest.Tx{End: binlogtest.OnePhase, XID: xid("z"), Statements: rows("INSERT /* nine */ INTO t SELECT 10")})
	if flavor == binlog.MySQL {
		tagged, err := binlog.ParseGTID(binlog.MySQL, "3e11fa47-71ca-11e1-9e33-c80aa9429562:some_tag:5000")
		if err != nil {
			panic(err)
		}
		write(binlogtest.Tx{GTID: tagged, Statements: rows("INSERT /* ten */ INTO t SELECT 11")})
		write(binlogtest.Tx{Compress: true, Statements: rows("INSERT /* eleven */ INTO t SELECT 12")})
	}
	open := l.Begin(binlogtest.Tx{Statements: rows("INSERT /* twelve */ INTO t SELECT 13")})
	open.Statement(binlogtest.Stmt{Text: "INSERT /* thirteen */ INTO t SELECT 14"})
	open.End()
	texts = append(texts, "INSERT /* twelve */ INTO t SELECT 13", "INSERT /* thirteen */ INTO t SELECT 14")
	l.Rotate("bin.000002")
	return texts
}

// logFile writes a log with everything in it to a file.
func logFile(t *testing.T, c binlogtest.Config) (path string, texts []string) {
	t.Helper()
	var b bytes.Buffer
	l := binlogtest.NewWriter(&b, c)
	texts = everything(l, c.Flavor)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	if l.Offset() != uint64(b.Len()) {
		t.Errorf("Offset is %d in a file of %d bytes", l.Offset(), b.Len())
	}
	path = filepath.Join(t.TempDir(), "bin.000001")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, texts
}

// configs are the kinds of log there are.
func configs(t *testing.T, test func(t *testing.T, c binlogtest.Config)) {
	for _, flavor := range flavors {
		for _, bare := range []bool{false, true} {
			name := flavor.String()
			if bare {
				name += " without checksums"
			}
			t.Run(name, func(t *testing.T) { test(t, binlogtest.Config{Flavor: flavor, NoChecksums: bare}) })
		}
	}
}

func kindOf(f binlog.Flavor) servers.Kind {
	if f == binlog.MariaDB {
		return servers.KindMariaDB
	}
	return servers.KindMySQL
}

// binlogTool runs the server's own program for reading log files.
func binlogTool(t *testing.T, flavor binlog.Flavor, path string) string {
	t.Helper()
	servers.Need(t, kindOf(flavor))
	program := "mysqlbinlog"
	if flavor == binlog.MariaDB {
		program = "mariadb-binlog"
	}
	cmd, err := servers.Command(t.Context(), kindOf(flavor), program, "--no-defaults", "--verify-binlog-checksum", "-vv", path)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v; it says:\n%s", program, err, stderr.String())
	}
	return string(out)
}

func TestTheServersOwnToolsReadTheLog(t *testing.T) {
	configs(t, func(t *testing.T, c binlogtest.Config) {
		path, texts := logFile(t, c)
		out := binlogTool(t, c.Flavor, path)
		from := 0
		for _, text := range texts {
			i := strings.Index(out[from:], text)
			if i < 0 {
				t.Fatalf("%s: not found behind the statements before it in:\n%s", text, out)
			}
			from += i
		}
		wanted := []string{"Rotate to bin.000002", "###   @1=1 "}
		if c.Flavor == binlog.MySQL {
			wanted = append(wanted, "3e11fa47-71ca-11e1-9e33-c80aa9429562:some_tag:5001",
				"immediate_commit_timestamp=1749283750987654 ", "compression_type=ZSTD", "XA PREPARE X'78',X'62',7")
		} else {
			wanted = append(wanted, "GTID 0-1-12 trans", "Binlog checkpoint bin.000001", "Query_compressed", "Write_compressed_rows", "XA COMMIT X'78',X'62',7")
		}
		for _, w := range wanted {
			if !strings.Contains(out, w) {
				t.Errorf("%s: not found in:\n%s", w, out)
			}
		}
	})
}

// What a server applies is laid out as it would have done it, down to the rows.
func TestServersApplyTheLog(t *testing.T) {
	configs(t, func(t *testing.T, c binlogtest.Config) {
		path, _ := logFile(t, c)
		out := binlogTool(t, c.Flavor, path)
		server := servers.Start(t, kindOf(c.Flavor), servers.Config{})
		cmd, err := servers.Command(t.Context(), server.Kind(), server.Kind().Name(), "--no-defaults", "--user=root", "--socket="+server.Socket())
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = strings.NewReader(out)
		if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
			t.Fatalf("%s: %v: %s", server.Kind().Name(), err, said)
		}
		var rows, bytes int
		if err := server.DB().QueryRow("SELECT COUNT(*), SUM(LENGTH(v)) FROM test.t").Scan(&rows, &bytes); err != nil {
			t.Fatal(err)
		}
		wantRows, wantBytes := 12, 30+3*300+70_000+30+5000+0+30+30+30
		if c.Flavor == binlog.MySQL {
			wantRows, wantBytes = wantRows+2, wantBytes+2*30
		}
		if rows != wantRows || bytes != wantBytes {
			t.Errorf("%d rows of %d bytes, expected %d of %d", rows, bytes, wantRows, wantBytes)
		}
	})
}

func TestTheLibraryReadsTheLog(t *testing.T) {
	configs(t, func(t *testing.T, c binlogtest.Config) {
		path, texts := logFile(t, c)
		p := replication.NewBinlogParser()
		p.SetFlavor(c.Flavor.String())
		p.SetVerifyChecksum(true)
		var got []string
		var rows, end int
		var take func(e *replication.BinlogEvent) error
		take = func(e *replication.BinlogEvent) error {
			switch x := e.Event.(type) {
			case *replication.RowsQueryEvent:
				got = append(got, string(x.Query))
			case *replication.MariadbAnnotateRowsEvent:
				got = append(got, string(x.Query))
			case *replication.QueryEvent:
				if q := string(x.Query); q != "BEGIN" && q != "COMMIT" && !strings.HasPrefix(q, "XA ") {
					got = append(got, q)
				}
			case *replication.RowsEvent:
				rows += len(x.Rows)
			case *replication.TransactionPayloadEvent:
				for _, inner := range x.Events {
					if err := take(inner); err != nil {
						return err
					}
				}
			case *replication.GenericEvent:
				if e.Header.EventType != replication.XA_PREPARE_LOG_EVENT {
					return fmt.Errorf("an event of type %s was not understood", e.Header.EventType)
				}
			}
			return nil
		}
		place := func(e *replication.BinlogEvent) error {
			if at := int(e.Header.LogPos) - int(e.Header.EventSize); end != 0 && at != end {
				return fmt.Errorf("%s from %d, but the one before ends at %d", e.Header.EventType, at, end)
			}
			end = int(e.Header.LogPos)
			return take(e)
		}
		if err := p.ParseFile(path, 0, place); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(texts, got); diff != "" {
			t.Errorf("statements (-want +got):\n%s", diff)
		}
		if rows < 10 {
			t.Errorf("%d rows", rows)
		}
	})
}

// events lists a log's events: type and flags.
func events(t *testing.T, path string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[4:]; len(b) > 0; {
		list = append(list, fmt.Sprintf("type %d, flags %#x", b[4], b[17]))
		b = b[binary.LittleEndian.Uint32(b[9:]):]
	}
	return list
}

// A real server is asked to do what a log of this package says, and must write the
// same events.
func TestServersWriteTheSameEvents(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		maria := d.Kind() == servers.KindMariaDB
		c := binlogtest.Config{}
		if maria {
			c.Flavor = binlog.MariaDB
		}
		compress := []string{"SET SESSION binlog_transaction_compression = ON"}
		if maria {
			compress = []string{"SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10"}
		}
		long := strings.Repeat("x", 500)
		conn, err := d.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(append([]string{
			"CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v LONGBLOB)",
			"FLUSH BINARY LOGS",
			"INSERT INTO t SELECT 1, 'x'",
			"BEGIN", "INSERT INTO t SELECT 2, 'x'", "INSERT INTO t SELECT 3, 'x'", "COMMIT",
			"XA START 'x','b',7", "INSERT INTO t SELECT 4, 'x'", "XA END 'x','b',7", "XA PREPARE 'x','b',7", "XA COMMIT 'x','b',7",
			"XA START 'y','b',7", "INSERT INTO t SELECT 5, 'x'", "XA END 'y','b',7", "XA PREPARE 'y','b',7", "XA ROLLBACK 'y','b',7",
			"XA START 'z','b',7", "INSERT INTO t SELECT 6, 'x'", "XA END 'z','b',7", "XA COMMIT 'z','b',7 ONE PHASE",
		}, compress...),
			"INSERT INTO t SELECT 7, '"+long+"'",
			"TRUNCATE TABLE t",
			"FLUSH BINARY LOGS") {
			if _, err := conn.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := d.LogFiles()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, e := range events(t, files[1]) {
			switch e {
			case "type 161, flags 0x0": // Binlog_checkpoint: comes when the engine pleases
			case "type 162, flags 0x28":
			default:
				want = append(want, e)
			}
		}

		path := filepath.Join(t.TempDir(), "bin.000002")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		l := binlogtest.NewWriter(f, c)
		insert := []binlogtest.Stmt{{Text: "INSERT"}}
		xid := func(s string) binlog.XID { return binlog.XID{Named: true, Format: 7, Global: 1, Data: s} }
		l.Transaction(binlogtest.Tx{Statements: insert})
		l.Transaction(binlogtest.Tx{Statements: append(insert, insert...)})
		l.Transaction(binlogtest.Tx{Statements: insert, End: binlogtest.Prepare, XID: xid("xb")})
		l.Transaction(binlogtest.Tx{End: binlogtest.XACommit, XID: xid("xb")})
		l.Transaction(binlogtest.Tx{Statements: insert, End: binlogtest.Prepare, XID: xid("yb")})
		l.Transaction(binlogtest.Tx{End: binlogtest.XARollback, XID: xid("yb")})
		l.Transaction(binlogtest.Tx{Statements: insert, End: binlogtest.OnePhase, XID: xid("zb")})
		l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "INSERT", RowBytes: 500}}, Compress: true})
		l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "TRUNCATE TABLE t", Query: true}}, End: binlogtest.Alone, Compress: true})
		l.Rotate("bin.000003")
		if err := errors.Join(l.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events(t, path) {
			if e != "type 161, flags 0x0" {
				got = append(got, e)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-server +binlogtest):\n%s", diff)
		}
	})
}

func TestAFileGoesOnBehindThoseBeforeIt(t *testing.T) {
	for _, flavor := range flavors {
		var before *binlog.GTIDSet
		var got []string
		for range 2 {
			var b bytes.Buffer
			l := binlogtest.NewWriter(&b, binlogtest.Config{Flavor: flavor, Previous: before})
			l.Transaction(binlogtest.Tx{})
			l.Transaction(binlogtest.Tx{})
			files, err := binlog.NewFiles([]string{"-"}, &b)
			if err != nil {
				t.Fatal(err)
			}
			r := &reader{}
			if err := errors.Join(l.Err(), files.Run(t.Context(), r)); err != nil {
				t.Fatal(err)
			}
			if r.previous.String() != before.String() {
				t.Errorf("%s: the file says %q was before it, expected %q", flavor, r.previous, before)
			}
			before = r.previous
			for _, g := range r.ended {
				got = append(got, g.String())
				if err := before.Add(g); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := map[binlog.Flavor][]string{
			binlog.MySQL: {"6d637371-7565-8a6c-8000-000000000001:1", "6d637371-7565-8a6c-8000-000000000001:2",
				"6d637371-7565-8a6c-8000-000000000001:3", "6d637371-7565-8a6c-8000-000000000001:4"},
			binlog.MariaDB: {"0-1-1", "0-1-2", "0-1-3", "0-1-4"},
		}
		if diff := cmp.Diff(want[flavor], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", flavor, diff)
		}
	}
}

// reader is a Handler that remembers GTIDs.
type reader struct {
	binlog.Handler // what is not below is not called
	previous       *binlog.GTIDSet
	ended          []binlog.GTID
}

func (r *reader) File(binlog.File) error            { return nil }
func (r *reader) Previous(s *binlog.GTIDSet) error  { r.previous = s; return nil }
func (r *reader) Begin(*binlog.Transaction) error   { return nil }
func (r *reader) Statement(*binlog.Statement) error { return nil }
func (r *reader) Table(*binlog.Table) (bool, error) { return false, nil }
func (r *reader) Rows(*binlog.Rows) error           { return nil }
func (r *reader) End(t *binlog.Transaction) error   { r.ended = append(r.ended, t.GTID); return nil }
func (r *reader) Checkpoint(string) error           { return nil }
func (r *reader) Idle(uint64) error                 { return nil }

type full struct{ room int }

var errFull = errors.New("disk full")

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestTheFirstErrorSticks(t *testing.T) {
	f := &full{room: 500}
	l := binlogtest.NewWriter(f, binlogtest.Config{})
	for range 10 {
		l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "INSERT"}}})
	}
	f.room = 1 << 20
	l.Stop()
	if !errors.Is(l.Err(), errFull) || !strings.Contains(l.Err().Error(), "at offset 500") {
		t.Errorf("got %v", l.Err())
	}
	if l.Offset() != 500 || f.room != 1<<20 {
		t.Errorf("written on behind the error: offset %d", l.Offset())
	}
}

func TestWhatNoLogHoldsIsAnError(t *testing.T) {
	maria := binlog.GTID{Flavor: binlog.MariaDB, Seq: 1}
	for name, write := range map[string]func(l *binlogtest.Writer){
		"GTID of the other flavor": func(l *binlogtest.Writer) { l.Transaction(binlogtest.Tx{GTID: maria}) },
		"unknown end":              func(l *binlogtest.Writer) { l.Transaction(binlogtest.Tx{End: 200}) },
		"long name": func(l *binlogtest.Writer) {
			l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Table: strings.Repeat("t", 300)}}})
		},
	} {
		l := binlogtest.NewWriter(&bytes.Buffer{}, binlogtest.Config{})
		if write(l); l.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkTransaction(b *testing.B) {
	for _, size := range []int{50, 2000} {
		b.Run(fmt.Sprintf("rows of %d bytes", size), func(b *testing.B) {
			l := binlogtest.NewWriter(&full{room: 1 << 60}, binlogtest.Config{})
			tx := binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "UPDATE /* mc: user:1 */ t SET v = 1 WHERE id = 1", RowBytes: size}}}
			start := l.Offset()
			b.ReportAllocs()
			for b.Loop() {
				l.Transaction(tx)
			}
			b.SetBytes(int64(l.Offset()-start) / int64(b.N))
		})
	}
}
