package binlog

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func flavorOf(d *servers.Database) Flavor {
	if d.Kind() == servers.KindMariaDB {
		return MariaDB
	}
	return MySQL
}

func liveConfig(d *servers.Database, id uint32) LiveConfig {
	return LiveConfig{
		Servers:  []ServerConfig{{Flavor: flavorOf(d), Address: d.Addr(), User: "root"}},
		ServerID: id,
		Logger:   slog.New(slog.DiscardHandler),
	}
}

// exec runs statements on one connection of their own.
func exec(t *testing.T, d *servers.Database, statements ...string) {
	t.Helper()
	c, err := d.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, s := range statements {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func resolve(t *testing.T, l *Live, form string) Position {
	t.Helper()
	point, err := ParsePoint(form)
	if err != nil {
		t.Fatal(err)
	}
	pos, err := l.Resolve(t.Context(), point)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

// readTo reads from pos until a statement with the text last has been committed.
func readTo(t *testing.T, l *Live, pos *Position, last string) *recorder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r := &recorder{stopAt: last}
	if err := l.Run(ctx, pos, r); err != nil {
		t.Fatalf("%v; read so far:\n%s", err, strings.Join(r.lines, "\n"))
	}
	return r
}

func TestEveryKindOfTransactionIsReadWhole(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		exec(t, d, "CREATE TABLE test.t (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB")
		live := NewLive(liveConfig(d, 4001))
		pos := resolve(t, live, "now")
		exec(t, d,
			"INSERT /* 1 */ INTO test.t VALUES (1, 'a'), (2, 'b')",
			"BEGIN", "UPDATE /* 2 */ test.t SET v = 'c' WHERE id = 1", "DELETE /* 3 */ FROM test.t WHERE id = 2", "COMMIT",
			"BEGIN", "INSERT /* never */ INTO test.t VALUES (3, 'x')", "ROLLBACK",
			"BEGIN", "INSERT /* 4 */ INTO test.t VALUES (4, 'x')", "SAVEPOINT s", "INSERT /* undone */ INTO test.t VALUES (5, 'x')", "ROLLBACK TO s", "COMMIT",
			"XA START 'x','b',7", "INSERT /* 5 */ INTO test.t VALUES (6, 'x')", "XA END 'x','b',7", "XA PREPARE 'x','b',7", "XA COMMIT 'x','b',7",
			"XA START 'y'", "INSERT /* 6 */ INTO test.t VALUES (7, 'x')", "XA END 'y'", "XA PREPARE 'y'", "XA ROLLBACK 'y'",
			"XA START 'z'", "INSERT /* 7 */ INTO test.t VALUES (8, 'x')", "XA END 'z'", "XA COMMIT 'z' ONE PHASE",
			"TRUNCATE /* 8 */ TABLE test.t",
			"SET SESSION binlog_format = STATEMENT", "INSERT /* 9 */ INTO test.t VALUES (9, 'x')", "SET SESSION binlog_format = ROW",
			"CREATE TABLE /* 10 */ test.u AS SELECT 1 AS a",
			"INSERT /* 11 */ INTO test.u VALUES (2)",
			"INSERT /* last */ INTO test.t VALUES (10, 'x')",
		)
		r := readTo(t, live, &pos, "/* last */")
		var got []string
		for _, l := range r.lines {
			// What servers add of their own, or write in their own way.
			if strings.HasPrefix(l, "query CREATE TABLE `u`") || strings.HasPrefix(l, "query SAVEPOINT") || strings.HasPrefix(l, "query ROLLBACK TO") {
				continue
			}
			got = append(got, l)
		}
		one := func(text string) []string { return []string{"begin", text, "end committed"} }
		want := slices.Concat(
			one("rows INSERT /* 1 */ INTO test.t VALUES (1, 'a'), (2, 'b')"),
			[]string{"begin", "rows UPDATE /* 2 */ test.t SET v = 'c' WHERE id = 1", "rows DELETE /* 3 */ FROM test.t WHERE id = 2", "end committed"},
			one("rows INSERT /* 4 */ INTO test.t VALUES (4, 'x')"),
			[]string{"begin", "rows INSERT /* 5 */ INTO test.t VALUES (6, 'x')", "end prepared X'78',X'62',7"},
			[]string{"begin", "end XA committed X'78',X'62',7"},
			[]string{"begin", "rows INSERT /* 6 */ INTO test.t VALUES (7, 'x')", "end prepared X'79',X'',1"},
			[]string{"begin", "end XA rolled back X'79',X'',1"},
			[]string{"begin", "rows INSERT /* 7 */ INTO test.t VALUES (8, 'x')", "end committed X'7a',X'',1"},
			one("query TRUNCATE /* 8 */ TABLE test.t"),
			one("query INSERT /* 9 */ INTO test.t VALUES (9, 'x')"),
			one("rows CREATE TABLE /* 10 */ test.u AS SELECT 1 AS a"),
			one("rows INSERT /* 11 */ INTO test.u VALUES (2)"),
			one("rows INSERT /* last */ INTO test.t VALUES (10, 'x')"),
		)
		if flavorOf(d) == MariaDB {
			for i, l := range want { // one phase is a plain commit there
				want[i] = strings.Replace(l, "end committed X'7a',X'',1", "end committed", 1)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("transactions (-want +got):\n%s\nall:\n%s", diff, strings.Join(r.lines, "\n"))
		}
		if len(r.warnings) > 0 {
			t.Errorf("warnings: %v", r.warnings)
		}

		// The same from the files.
		exec(t, d, "FLUSH BINARY LOGS")
		paths, err := d.LogFiles()
		if err != nil {
			t.Fatal(err)
		}
		files, err := NewFiles(paths, nil)
		if err != nil {
			t.Fatal(err)
		}
		fromFiles := &recorder{}
		if err := files.Run(t.Context(), fromFiles); err != nil {
			t.Fatal(err)
		}
		for name, created := range r.created {
			if !created.Equal(fromFiles.created[name]) {
				t.Errorf("%s was created at %v by the live log, at %v by the file", name, created, fromFiles.created[name])
			}
		}
		tail := fromFiles.lines[max(0, len(fromFiles.lines)-len(r.lines)):]
		if diff := cmp.Diff(r.lines, tail); diff != "" {
			t.Errorf("files differ from the live log (-live +files):\n%s", diff)
		}
	})
}

func TestAReadingGoesOnWhereTheLastOneEnded(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		exec(t, d, "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
		live := NewLive(liveConfig(d, 4001))
		byGTID := resolve(t, live, "now")
		byFile := byGTID
		byFile.GTIDs = nil
		exec(t, d, "INSERT INTO test.t (v) VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO test.t (v) VALUES (2)", "INSERT INTO test.t (v) VALUES (3)")
		for name, pos := range map[string]Position{"gtid": byGTID.Clone(), "file": byFile} {
			var got []string
			for _, stop := range []string{"(1)", "(2)", "(3)"} {
				got = append(got, readTo(t, live, &pos, stop).lines...)
			}
			want := []string{
				"begin", "rows INSERT INTO test.t (v) VALUES (1)", "end committed",
				"begin", "rows INSERT INTO test.t (v) VALUES (2)", "end committed",
				"begin", "rows INSERT INTO test.t (v) VALUES (3)", "end committed",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("by %s (-want +got):\n%s", name, diff)
			}
			if pos.File.Created.IsZero() || pos.File.Server == "" || pos.Offset == 0 {
				t.Errorf("by %s: position without a file's identity: %+v", name, pos)
			}
		}
	})
}

func TestAServerKilledWhileReadIsReadOn(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		exec(t, d, "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
		live := NewLive(liveConfig(d, 4001))
		pos := resolve(t, live, "now")
		exec(t, d, "INSERT INTO test.t (v) VALUES (1)")
		readTo(t, live, &pos, "(1)")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		r := &recorder{stopAt: "(3)"}
		done := make(chan error, 1)
		go func() { done <- live.Run(ctx, &pos, r) }()
		exec(t, d, "INSERT INTO test.t (v) VALUES (2)")
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := d.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		exec(t, d, "INSERT INTO test.t (v) VALUES (3)")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, l := range r.lines {
			if strings.HasPrefix(l, "rows ") {
				texts = append(texts, l)
			}
		}
		want := []string{"rows INSERT INTO test.t (v) VALUES (2)", "rows INSERT INTO test.t (v) VALUES (3)"}
		if diff := cmp.Diff(want, slices.Compact(texts)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestCompressedTransactionsAreReadLikeAnyOther(t *testing.T) {
	mysql := []string{"SET SESSION binlog_transaction_compression = ON"}
	maria := []string{"SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10"}
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		set := mysql
		if flavorOf(d) == MariaDB {
			set = maria
		}
		exec(t, d, "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT)")
		live := NewLive(liveConfig(d, 4001))
		pos := resolve(t, live, "now")
		exec(t, d, slices.Concat(set, []string{
			"INSERT /* 1 */ INTO test.t (v) VALUES (REPEAT('x', 3000000))",
			"SET SESSION binlog_format = STATEMENT",
			"INSERT /* 2 */ INTO test.t (v) VALUES ('" + strings.Repeat("y", 1000) + "')",
			"SET SESSION binlog_format = ROW",
			"INSERT /* last */ INTO test.t (v) VALUES ('z')",
		})...)
		r := readTo(t, live, &pos, "/* last */")
		want := []string{
			"begin", "rows INSERT /* 1 */ INTO test.t (v) VALUES (REPEAT('x', 3000000))", "end committed",
			"begin", "query INSERT /* 2 */ INTO test.t (v) VALUES ('" + strings.Repeat("y", 1000) + "')", "end committed",
			"begin", "rows INSERT /* last */ INTO test.t (v) VALUES ('z')", "end committed",
		}
		if diff := cmp.Diff(want, r.lines); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestPointsBecomePositionsWithTheWholeSet(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		live := NewLive(liveConfig(d, 4001))
		exec(t, d, "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
			"INSERT INTO test.t (v) VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO test.t (v) VALUES (2)")
		middle := resolve(t, live, "now")
		mark := serverTime(t, d.DB())
		for serverTime(t, d.DB()).Unix() == mark.Unix() {
			time.Sleep(20 * time.Millisecond) // MariaDB's times are whole seconds
		}
		exec(t, d, "INSERT INTO test.t (v) VALUES (3)", "INSERT INTO test.t (v) VALUES (4)")
		for form, want := range map[string][]string{
			"oldest":                          {"(1)", "(2)", "(3)", "(4)"},
			"file:" + middle.File.Name + ":4": {"(2)", "(3)", "(4)"},
			"file:" + middle.File.Name + ":" + itoa(middle.Offset):                     {"(3)", "(4)"},
			"gtid:" + middle.GTIDs.String():                                            {"(3)", "(4)"},
			"time:" + mark.Truncate(time.Second).Add(time.Second).Format(time.RFC3339): {"(3)", "(4)"},
			"time:2001-01-01T00:00:00Z":                                                {"(1)", "(2)", "(3)", "(4)"},
		} {
			pos := resolve(t, live, form)
			if pos.GTIDs == nil || pos.GTIDs.Empty() && form != "oldest" && !strings.HasPrefix(form, "time:2001") {
				t.Errorf("%s: position %s has no set", form, pos)
			}
			r := readTo(t, live, &pos, "(4)")
			var got []string
			for _, l := range r.lines {
				if strings.HasPrefix(l, "rows ") {
					got = append(got, l[strings.LastIndex(l, "("):])
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", form, diff)
			}
		}
	})
}

func TestTheFileThatHoldsWhatFollowsASetIsFound(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		live := NewLive(liveConfig(d, 4101))
		exec(t, d, "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
		type place struct {
			set  *GTIDSet
			file string
		}
		var places []place
		for range 5 {
			exec(t, d, "INSERT INTO test.t (v) VALUES (1)")
			now := resolve(t, live, "now")
			// What follows stands behind the first transaction of the same file.
			places = append(places, place{now.GTIDs.Clone(), now.File.Name})
			exec(t, d, "INSERT INTO test.t (v) VALUES (2)", "FLUSH BINARY LOGS")
		}
		last := resolve(t, live, "now") // nothing follows, in a file of which nothing was read
		for _, p := range append(places, place{last.GTIDs, last.File.Name}, place{NewGTIDSet(flavorOf(d)), places[0].file}) {
			if head, err := live.Holding(t.Context(), p.set); err != nil || head.File.Name != p.file {
				t.Errorf("what follows %s stands in %s, want %s: %v", p.set, head.File.Name, p.file, err)
			}
		}
	})
}

func serverTime(t *testing.T, db *sql.DB) time.Time {
	t.Helper()
	var us int64
	if err := db.QueryRowContext(t.Context(), "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").Scan(&us); err != nil {
		t.Fatal(err)
	}
	return time.UnixMicro(us)
}

func itoa(n uint64) string { return Position{File: File{Name: ":"}, Offset: n}.String()[2:] }

// A machine that died leaves a dump behind, on a connection that nobody closes. The next
// one that goes by the same id ends it, on both servers.
func TestADumpEndsTheOlderOneOfItsID(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		pos := resolve(t, NewLive(liveConfig(d, 4010)), "now")
		start := func(id uint32) net.Conn {
			t.Helper()
			s, err := Connect(t.Context(), liveConfig(d, id).Servers[0])
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			settings, err := s.Settings(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			raw, err := s.startDump(t.Context(), dumpRequest{serverID: id, from: pos, heartbeat: 100 * time.Millisecond, settings: settings})
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		// read tells whether the dump ends within a while.
		read := func(c net.Conn, while time.Duration) (ended bool) {
			t.Helper()
			if err := c.SetReadDeadline(time.Now().Add(while)); err != nil {
				t.Fatal(err)
			}
			_, err := io.Copy(io.Discard, c)
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
		older, other := start(4011), start(4012)
		if read(older, 500*time.Millisecond) {
			t.Fatal("a dump has ended though nobody has its id")
		}
		newer := start(4011)
		if !read(older, 2*time.Minute) {
			t.Error("the older dump of the same id goes on")
		}
		if read(newer, 500*time.Millisecond) || read(other, 500*time.Millisecond) {
			t.Error("another has ended with it")
		}
	})
}
