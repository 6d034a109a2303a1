package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// write is something done to a database, and what it must do to the caches. Keys are
// named without what makes them the test's own; table t has the rows 1, 2 and 3.
type write struct {
	name string
	only servers.Kind // zero: on every kind
	do   func(t *testing.T, s *harness.Session)
	gone []string // must be deleted
	kept []string // must not
}

// statements does one statement after the other in one session.
func statements(list ...string) func(*testing.T, *harness.Session) {
	return func(t *testing.T, s *harness.Session) {
		t.Helper()
		for _, statement := range list {
			s.Exec(t, statement)
		}
	}
}

// hold does each write and holds the cache to what it promises. What a daemon feeds
// it from the database must run.
func hold(t *testing.T, db *harness.Database, m *harness.Cache, writes []write) {
	t.Helper()
	settling := db.Session(t)
	settling.Exec(t, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(2000))")
	for _, w := range writes {
		if w.only != 0 && w.only != db.Kind() {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			settling.Exec(t, "DELETE FROM t; INSERT INTO t VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid')")
			gone, kept := db.Keys(w.gone...), db.Keys(w.kept...)
			kept = append(kept, db.Key("neighbour"))
			m.Fill(t, append(gone, kept...)...)
			s := db.Session(t)
			w.do(t, s)
			s.Close()
			settling.Settle(t, m)
			m.MustLack(t, gone...)
			m.MustHave(t, kept...)
		})
	}
}

func TestKeysOfCommittedWritesAreDeleted(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		for _, group := range []struct {
			name   string
			writes []write
		}{
			{"row", rowWrites}, {"transaction", transactions}, {"DDL", definitions}, {"comment", comments},
			{"prepared", preparedStatements}, {"format", formats},
		} {
			t.Run(group.name, func(t *testing.T) { hold(t, harness.NewDatabase(t, db.Database), m, group.writes) })
		}
		daemon.Stop(t)
	})
}

var rowWrites = []write{
	{name: "insert", do: statements("INSERT /* mc: {a} {b} */ INTO t VALUES (4, 'Dan')"), gone: []string{"a", "b"}},
	{name: "update", do: statements("UPDATE t SET name = 'Anna' WHERE id = 1 /* mc: {a} */"), gone: []string{"a"}},
	{name: "delete", do: statements("/* mc: {a} */ DELETE FROM t WHERE id = 1"), gone: []string{"a"}},
	{name: "replace", do: statements("REPLACE /* mc: {a} */ INTO t VALUES (1, 'Eve')"), gone: []string{"a"}},
	{
		name: "insert on duplicate key update",
		do:   statements("INSERT /* mc: {a} */ INTO t VALUES (1, 'Eve') ON DUPLICATE KEY UPDATE name = 'Eve'"), gone: []string{"a"},
	},
	{
		name: "insert from a select", gone: []string{"a"},
		do: statements("INSERT INTO t SELECT id + 10, name FROM t /* mc: {a} */"),
	},
	{
		name: "update of two tables", gone: []string{"a"},
		do: statements("CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t",
			"UPDATE /* mc: {a} */ t JOIN u USING (id) SET t.name = 'x', u.name = 'y'", "DROP TABLE u"),
	},
	{
		name: "a statement that fails", kept: []string{"a"},
		do: func(t *testing.T, s *harness.Session) {
			s.MustRefuse(t, "INSERT /* mc: {a} */ INTO t VALUES (7, 'x'), (1, 'there already')")
		},
	},
	{name: "a write that changes nothing", do: statements("UPDATE /* mc: {a} */ t SET name = 'Ann' WHERE id = 1"), kept: []string{"a"}},
	{name: "a read", do: statements("SELECT /* mc: {a} */ 1"), kept: []string{"a"}},
	{
		name: "load of a file", gone: []string{"a"}, kept: []string{"b"},
		do: func(t *testing.T, s *harness.Session) {
			file := filepath.Join(t.TempDir(), "rows")
			if err := os.WriteFile(file, []byte(s.Database.Named("8\t/* mc: {b} */\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			s.Exec(t, "LOAD DATA /* mc: {a} */ INFILE '"+file+"' INTO TABLE t")
		},
	},
	{
		name: "inside a procedure", gone: []string{"a"}, kept: []string{"b"},
		do: func(t *testing.T, s *harness.Session) {
			s.Exec(t, "CREATE PROCEDURE p() BEGIN INSERT /* mc: {a} */ INTO t VALUES (5, 'x'); END")
			s.Exec(t, "/* mc: {b} */ CALL p()")
		},
	},
}

var transactions = []write{
	{
		name: "of several statements", gone: []string{"a", "b", "c"},
		do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')", "UPDATE /* mc: {b} {a} */ t SET name = 'y'",
			"DELETE FROM t /* mc: {c} */", "COMMIT"),
	},
	{
		name: "rolled back", kept: []string{"a"},
		do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')", "ROLLBACK"),
	},
	{
		name: "lost with its connection", kept: []string{"a"},
		do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')"),
	},
	{
		name: "rolled back to a savepoint", gone: []string{"a", "c"}, kept: []string{"b"},
		do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')", "SAVEPOINT s",
			"INSERT /* mc: {b} */ INTO t VALUES (5, 'x')", "ROLLBACK TO s",
			"INSERT /* mc: {c} */ INTO t VALUES (6, 'x')", "COMMIT"),
	},
	{
		name: "with a savepoint released", gone: []string{"a", "b"},
		do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')", "SAVEPOINT s",
			"INSERT /* mc: {b} */ INTO t VALUES (5, 'x')", "RELEASE SAVEPOINT s", "COMMIT"),
	},
	{
		name: "ended by DDL", gone: []string{"a"},
		do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')", "CREATE TABLE ends (id INT)", "DROP TABLE ends"),
	},
	{
		name: "open while others commit", kept: []string{"a"}, gone: []string{"b"},
		do: func(t *testing.T, s *harness.Session) {
			s.Exec(t, "BEGIN")
			s.Exec(t, "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')")
			s.Database.Exec(t, "INSERT /* mc: {b} */ INTO settled VALUES ()")
		},
	},
	{
		name: "rolled back with writes that cannot be", only: servers.KindMariaDB, gone: []string{"b"}, kept: []string{"a"},
		do: statements("CREATE TABLE stays (id INT) ENGINE=MyISAM", "BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, 'x')",
			"INSERT /* mc: {b} */ INTO stays VALUES (1)", "ROLLBACK", "DROP TABLE stays"),
	},
	{
		name: "on a table without transactions", gone: []string{"a"},
		do: statements("CREATE TABLE plain (id INT) ENGINE=MyISAM", "INSERT /* mc: {a} */ INTO plain VALUES (1)", "DROP TABLE plain"),
	},
}

// definitions. Servers log their own words for some: MySQL for DROP TABLE, which on
// MariaDB keeps a comment only in front of the table's name, and both for CREATE VIEW.
var definitions = []write{
	{name: "CREATE TABLE", do: statements("CREATE /* mc: {a} */ TABLE made (id INT)", "DROP TABLE made"), gone: []string{"a"}},
	{name: "ALTER TABLE", do: statements("ALTER TABLE t COMMENT 'x' /* mc: {a} */"), gone: []string{"a"}},
	{name: "TRUNCATE", do: statements("TRUNCATE /* mc: {a} {b} */ TABLE t"), gone: []string{"a", "b"}},
	{name: "RENAME", do: statements("RENAME /* mc: {a} */ TABLE t TO u", "RENAME TABLE u TO t"), gone: []string{"a"}},
	{name: "CREATE INDEX", do: statements("CREATE /* mc: {a} */ INDEX i ON t (name(10))", "ALTER TABLE t DROP INDEX i"), gone: []string{"a"}},
	{name: "DROP TABLE", only: servers.KindMariaDB, do: statements("CREATE TABLE made (id INT)", "DROP TABLE /* mc: {a} */ made"), gone: []string{"a"}},
	{name: "DROP DATABASE", do: func(t *testing.T, s *harness.Session) {
		s.Exec(t, "CREATE DATABASE gone_"+s.Database.Schema)
		s.Exec(t, "DROP /* mc: {a} */ DATABASE gone_"+s.Database.Schema)
	}, gone: []string{"a"}},
	{
		name: "CREATE TABLE from a select", gone: []string{"a"},
		do: statements("CREATE /* mc: {a} */ TABLE made SELECT * FROM t", "DROP TABLE made"),
	},
}

var comments = []write{
	{name: "to the line's end", do: statements("UPDATE t SET name = 'x' -- mc: {a} {b}\nWHERE id = 1"), gone: []string{"a", "b"}},
	{name: "behind a hash", do: statements("UPDATE t SET name = 'x' # mc: {a}\nWHERE id = 1"), gone: []string{"a"}},
	{name: "of two", do: statements("UPDATE /* mc: {a} */ t SET name = 'x' /* shop */ WHERE id = 1 /* mc: {b} */"), gone: []string{"a", "b"}},
	{
		name: "in what only the server reads", gone: []string{"a"},
		do: statements("UPDATE t SET name = 'x' /*! WHERE id = 1 /* mc: {a} */ */"), only: servers.KindMariaDB,
	},
	{name: "in a string", do: statements("UPDATE t SET name = '/* mc: {a} */' WHERE id = 1"), kept: []string{"a"}},
	{name: "in a quoted name", do: statements("UPDATE t AS `/* mc: {a} */` SET name = 'x' WHERE id = 1"), kept: []string{"a"}},
	{name: "behind an escaped quote", do: statements(`UPDATE t SET name = 'it\'s /* mc: {a} */' WHERE id = 1 /* mc: {b} */`), gone: []string{"b"}, kept: []string{"a"}},
	{
		name: "in a session without backslash escapes", only: servers.KindMySQL, // MariaDB's log does not say so
		do: statements(`SET sql_mode = 'NO_BACKSLASH_ESCAPES'`, `UPDATE t SET name = '\' WHERE id = 1 /* mc: {a} */`), gone: []string{"a"},
	},
	{
		name: "in a session whose quotes are names", only: servers.KindMySQL,
		do: statements(`SET sql_mode = 'ANSI_QUOTES'`, `UPDATE t AS "a\" SET name = 'x' WHERE id = 1 /* mc: {a} */`), gone: []string{"a"},
	},
	{name: "as a hint", do: statements("UPDATE /*+ mc: {a} */ t SET name = 'x' WHERE id = 1"), kept: []string{"a"}},
	{name: "of another name", do: statements("UPDATE /* mcx: {a} */ t /* Mc: {b} */ SET name = 'x' WHERE id = 1"), kept: []string{"a", "b"}},
	{name: "without a space", do: statements("UPDATE /*mc: {a} */ t SET name = 'x' WHERE id = 1"), gone: []string{"a"}},
	{
		name: "between two statements sent at once", gone: []string{"a", "b"}, kept: []string{"c"},
		do: statements("UPDATE t SET name = 'x' WHERE id = 1; /* mc: {a} */ UPDATE t SET name = 'y' WHERE id = 2; SELECT 1 /* mc: {c} */; UPDATE t SET name = 'z' WHERE id = 3 /* mc: {b} */"),
	},
	{
		name: "in a transaction sent at once", gone: []string{"a", "b"},
		do: statements("BEGIN; UPDATE /* mc: {a} */ t SET name = 'x'; DELETE /* mc: {b} */ FROM t; COMMIT"),
	},
	{name: "with a percent-encoded key", do: statements("UPDATE /* mc: {a}%25%C3%BC */ t SET name = 'x'"), gone: []string{"a%ü"}, kept: []string{"a"}},
	{name: "of a thousand keys", gone: []string{"k0", "k499", "k999"}, do: func(t *testing.T, s *harness.Session) {
		s.Commit(t, s.Database.Numbered("x", 1000)...)
		s.Commit(t, s.Database.Keys("k0", "k499", "k999")...)
	}},
}

var preparedStatements = []write{
	{name: "by the protocol", gone: []string{"a"}, do: func(t *testing.T, s *harness.Session) {
		s.Exec(t, "INSERT /* mc: {a} */ INTO t VALUES (?, ?)", 9, "Zoe")
	}},
	{name: "by SQL", gone: []string{"a"}, do: statements("SET @id = 9, @name = 'Zoe'",
		"PREPARE p FROM 'INSERT /* mc: {a} */ INTO t VALUES (?, ?)'", "EXECUTE p USING @id, @name")},
	{name: "with a tag in a value", gone: []string{"a", "z"}, kept: []string{"b", "c", "d", "e", "f"}, do: func(t *testing.T, s *harness.Session) {
		for i, value := range forgeries {
			s.Exec(t, "INSERT /* mc: {a} */ INTO t VALUES (?, ?) /* mc: {z} */", 10+i, s.Database.Named(value))
		}
	}},
	{name: "with a tag in a variable", gone: []string{"a", "z"}, kept: []string{"b", "c", "d", "e", "f"}, do: func(t *testing.T, s *harness.Session) {
		s.Exec(t, "PREPARE p FROM 'INSERT /* mc: {a} */ INTO t VALUES (?, ?) /* mc: {z} */'")
		for i, value := range forgeries {
			s.Exec(t, "SET @id = ?, @name = ?", 10+i, s.Database.Named(value))
			s.Exec(t, "EXECUTE p USING @id, @name")
		}
	}},
	{name: "with a tag in a binary value", gone: []string{"a", "z"}, kept: []string{"b", "c", "d", "e", "f"}, do: func(t *testing.T, s *harness.Session) {
		s.Exec(t, "CREATE TABLE bytes (id INT PRIMARY KEY, value BLOB)")
		for i, value := range forgeries {
			s.Exec(t, "INSERT /* mc: {a} */ INTO bytes VALUES (?, ?) /* mc: {z} */", i, append([]byte{0xff, 0, 0x1a, '\''}, s.Database.Named(value)...))
		}
		s.Exec(t, "DROP TABLE bytes")
	}},
}

// forgeries are values by which somebody might try to name the keys b to f.
var forgeries = []string{
	"/* mc: {b} */",
	"' /* mc: {c} */ '",
	`\' /* mc: {d} */ \`,
	"'' \n# mc: {e}\n-- mc: {f}\n",
	`" /* mc: {b} */ " ` + "` /* mc: {c} */ `",
	"*/ /* mc: {d} */ /*",
	strings.Repeat(`\`, 101) + "' /* mc: {e} */",
}

var distributed = []write{
	{
		name: "commit", gone: []string{"a", "b"},
		do: func(t *testing.T, s *harness.Session) {
			s.Exec(t, "XA START 'x1'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); UPDATE /* mc: {b} */ t SET name = 'y' WHERE id = 4; XA END 'x1'; XA PREPARE 'x1'")
			s.Exec(t, "XA COMMIT 'x1'")
		},
	},
	{
		name: "rollback", kept: []string{"a"},
		do: statements("XA START 'x2'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x2'; XA PREPARE 'x2'", "XA ROLLBACK 'x2'"),
	},
	{
		name: "rollback before it is prepared", kept: []string{"a"},
		do: statements("XA START 'x3'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x3'; XA ROLLBACK 'x3'"),
	},
	{
		name: "commit in one phase", gone: []string{"a"},
		do: statements("XA START 'x4'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x4'; XA COMMIT 'x4' ONE PHASE"),
	},
	{
		name: "commit by another connection", gone: []string{"a"},
		do: func(t *testing.T, s *harness.Session) {
			s.Exec(t, "XA START 'x5', 'branch', 7; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x5', 'branch', 7; XA PREPARE 'x5', 'branch', 7")
			s.Close()
			s.Database.Decides(t, "XA COMMIT 'x5', 'branch', 7")
		},
	},
	{
		name: "rollback by another connection", kept: []string{"a"},
		do: func(t *testing.T, s *harness.Session) {
			s.Exec(t, "XA START 'x6'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x6'; XA PREPARE 'x6'")
			s.Close()
			s.Database.Decides(t, "XA ROLLBACK 'x6'")
		},
	},
	{
		name: "commits of two in the other order", gone: []string{"a", "b"},
		do: func(t *testing.T, s *harness.Session) {
			other := s.Database.Session(t)
			s.Exec(t, "XA START 'x7'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x7'; XA PREPARE 'x7'")
			other.Exec(t, "XA START 'x8'; INSERT /* mc: {b} */ INTO t VALUES (5, 'x'); XA END 'x8'; XA PREPARE 'x8'")
			other.Exec(t, "XA COMMIT 'x8'")
			s.Exec(t, "XA COMMIT 'x7'")
		},
	},
	{
		name: "one committed, one rolled back", gone: []string{"b"}, kept: []string{"a"},
		do: func(t *testing.T, s *harness.Session) {
			other := s.Database.Session(t)
			s.Exec(t, "XA START 'x9'; INSERT /* mc: {a} */ INTO t VALUES (4, 'x'); XA END 'x9'; XA PREPARE 'x9'")
			other.Exec(t, "XA START 'x10'; INSERT /* mc: {b} */ INTO t VALUES (5, 'x'); XA END 'x10'; XA PREPARE 'x10'")
			s.Exec(t, "XA ROLLBACK 'x9'")
			other.Exec(t, "XA COMMIT 'x10'")
		},
	},
}

// The rows of an XA transaction are in the log when it is prepared; it may be rolled
// back yet. On servers of their own: a daemon that starts beside a transaction that is
// prepared finds a gap.
func TestKeysOfXATransactionsLeaveAtTheDecision(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		daemon := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr())).Daemon(t)
		hold(t, db, m, distributed)

		s, branch := db.Session(t), db.Session(t)
		keys := db.Keys("a", "b")
		m.Fill(t, keys...)
		branch.Exec(t, "XA START 'y'; INSERT /* mc: {a} {b} */ INTO t VALUES (9, 'x'); XA END 'y'; XA PREPARE 'y'")
		for range 3 {
			s.Settle(t, m)
			m.MustHave(t, keys...)
		}
		branch.Exec(t, "XA COMMIT 'y'")
		m.AwaitGone(t, keys...)
		daemon.Stop(t)
	})
}

// formats are what the log can hold beside rows with text.
var formats = []write{
	{
		name: "statement", gone: []string{"a", "b"}, kept: []string{"c", "d"},
		do: statements("SET SESSION binlog_format = STATEMENT", "UPDATE /* mc: {a} */ t SET name = 'x /* mc: {c} */'",
			"BEGIN", "DELETE /* mc: {b} */ FROM t", "COMMIT", "BEGIN", "INSERT /* mc: {d} */ INTO t VALUES (1, 'x')", "ROLLBACK"),
	},
	{
		name: "minimal images", gone: []string{"a"},
		do: statements("SET SESSION binlog_row_image = MINIMAL", "UPDATE /* mc: {a} */ t SET name = 'x'"),
	},
	{
		name: "compressed", only: servers.KindMySQL, gone: []string{"a", "b", "c"}, kept: []string{"d"},
		do: func(t *testing.T, s *harness.Session) {
			s.Exec(t, "SET SESSION binlog_transaction_compression = ON")
			file, offset := s.Place(t)
			s.Exec(t, "UPDATE /* mc: {a} */ t SET name = REPEAT('x', 1000)")
			s.Exec(t, "BEGIN")
			s.Exec(t, "UPDATE /* mc: {b} */ t SET name = REPEAT('y', 1000)")
			s.Exec(t, "UPDATE /* mc: {c} */ t SET name = '/* mc: {d} */'")
			s.Exec(t, "COMMIT")
			s.MustHaveLogged(t, file, offset, "Transaction_payload")
		},
	},
}

func TestKeysOfCompressedWritesAreDeletedFromMariaDB(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMariaDB, servers.Config{Args: []string{"--log-bin-compress=ON", "--log-bin-compress-min-len=10"}})
	m := harness.NewCache(t)
	daemon := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr())).Daemon(t)
	s := db.Session(t)
	file, offset := s.Place(t)
	hold(t, db, m, []write{
		{name: "rows", do: statements("UPDATE /* mc: {a} */ t SET name = REPEAT('x', 1000)"), gone: []string{"a"}},
		{
			name: "transaction", gone: []string{"a", "b"}, kept: []string{"c"},
			do: statements("BEGIN", "INSERT /* mc: {a} */ INTO t VALUES (4, REPEAT('x', 1000))", "UPDATE t SET name = '/* mc: {c} */' /* mc: {b} */", "COMMIT"),
		},
		{name: "DDL", do: statements("ALTER /* mc: {a} */ TABLE t COMMENT '" + strings.Repeat("x", 300) + "'"), gone: []string{"a"}},
		{
			name: "statement", gone: []string{"a"},
			do: statements("SET SESSION binlog_format = STATEMENT", "UPDATE t SET name = '"+strings.Repeat("x", 300)+"' /* mc: {a} */"),
		},
	})
	s.MustHaveLogged(t, file, offset, "Write_rows_compressed_v1")
	s.MustHaveLogged(t, file, offset, "Query_compressed")
	daemon.Stop(t)
}
