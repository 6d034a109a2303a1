package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// The procedure of docs/rules.md: a rule serves what was logged before its column got
// another name, and stops at the first row that has it. Changed then, nothing is lost.
func TestRenamingAColumnLosesNothing(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		with := func(column string) []string {
			return []string{"rules:", db.rules("users", "email:{"+column+"}"), "clusters:", cluster("east", "servers", m.Addr())}
		}
		cfg := configure(t, db.url(), with("nope")...)
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 2, "column nope", "no such column") // nothing is to be read
		cfg.write(t, db.url(), with("email")...)
		rename := func(from, to string) {
			t.Helper()
			s.exec(t, fmt.Sprintf("INSERT INTO users VALUES (1, '%s', 'x')", from))
			s.exec(t, fmt.Sprintf("ALTER TABLE users RENAME COLUMN %s TO %s", from, to))
			s.exec(t, fmt.Sprintf("INSERT INTO users VALUES (2, '%s', 'x')", to))
			s.exec(t, "DELETE FROM users")
		}
		// While it runs.
		daemon := cfg.daemon(t)
		s.settle(t, m)
		fill(t, m, db.keys("email:email", "email:mail")...)
		rename("email", "mail")
		daemon.failed(t, 3, "column email", "no such column", "a rule that fits the table")
		if len(daemon.said("change the rule, or remove it, and start again")) == 0 {
			t.Errorf("it does not say how to go on: %s", daemon.stderr.String())
		}
		awaitGone(t, m, db.key("email:email"))
		mustBeThere(t, m, db.key("email:mail"))
		cfg.write(t, db.url(), with("mail")...)
		daemon = cfg.daemon(t)
		awaitGone(t, m, db.key("email:mail"))
		s.settle(t, m)
		daemon.stop(t)
		// While it does not.
		fill(t, m, db.keys("email:mail", "email:post")...)
		rename("mail", "post")
		p := mcsqueal(t, "run", "--config", cfg.path)
		p.failed(t, 3, "column mail", "no such column")
		if len(p.said("does not fit its table as it is now")) != 1 {
			t.Errorf("it does not warn: %s", p.stderr.String())
		}
		awaitGone(t, m, db.key("email:mail"))
		cfg.write(t, db.url(), with("post")...)
		daemon = cfg.daemon(t)
		awaitGone(t, m, db.key("email:post"))
		s.settle(t, m)
		daemon.stop(t)
	})
}

// Both names in rules with a wildcard serve the table before and after, without a stop.
func TestBothNamesOfAColumnUnderAWildcard(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		cfg := configure(t, db.url(), "rules:", db.rules("user[s]", "email:{email}"), db.rules("user[s]", "email:{mail}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s.settle(t, m)
		fill(t, m, db.keys("email:old", "email:new", "email:moved")...)
		s.exec(t, "INSERT INTO users VALUES (1, 'old', 'x')")
		s.exec(t, "ALTER TABLE users RENAME COLUMN email TO mail")
		s.exec(t, "INSERT INTO users VALUES (2, 'new', 'x')")
		// As the tools for changes without locks do it.
		s.exec(t, "CREATE TABLE _users_new (mail VARCHAR(50), id INT PRIMARY KEY)")
		s.exec(t, "INSERT INTO _users_new SELECT mail, id FROM users")
		s.exec(t, "RENAME TABLE users TO _users_old, _users_new TO users")
		s.exec(t, "INSERT INTO users VALUES ('moved', 3)")
		awaitGone(t, m, db.keys("email:old", "email:new", "email:moved")...)
		if !db.mysql() {
			// A sequence is a table, too.
			s.exec(t, "CREATE SEQUENCE users_seq")
			s.text(t, "SELECT NEXTVAL(users_seq)")
		}
		s.settle(t, m)
		if n := len(daemon.said("lacks the rule's column")); n != 1 {
			t.Errorf("said %d times that a column lacks, want once: %s", n, daemon.stderr.String())
		}
		daemon.stop(t)
	})
}

// A table that was gone before anybody could ask for its columns' names.
func TestAShortLivedTableNeedsNamesInTheLog(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		cfg := configure(t, db.url(), "rules:", db.rules("*", "{table}:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s.settle(t, m)
		daemon.stop(t)
		live := func() {
			t.Helper()
			s.exec(t, "CREATE TABLE passing (id INT PRIMARY KEY)")
			s.exec(t, "INSERT INTO passing VALUES (1)")
			s.exec(t, "DROP TABLE passing")
		}
		live()
		p := mcsqueal(t, "run", "--config", cfg.path)
		p.failed(t, 3, "it has been removed since (then the names of its columns cannot be had any more)", "binlog_row_metadata = FULL")
		if said := strings.Join(p.said("ways_on"), "\n"); !strings.Contains(said, "set binlog_row_metadata = FULL for what comes, then") || !strings.Contains(said, "--to now") {
			t.Errorf("it does not say how to go on: %s", p.stderr.String())
		}
		db.exec(t, "SET GLOBAL binlog_row_metadata = FULL")
		if p := mcsqueal(t, "checkpoint", "set", "--config", cfg.path, "--cluster", "east", "--to", "now"); p.status != 0 {
			t.Fatalf("exit status %d: %s", p.status, p.stderr.String())
		}
		daemon = cfg.daemon(t)
		s.close()
		s = db.session(t)
		fill(t, m, db.key("passing:1"))
		live()
		awaitGone(t, m, db.key("passing:1"))
		daemon.stop(t)
	})
}

// Without names in the log a server is asked for each table, on one connection, and the
// rest of its log is looked through once.
func TestAskingForManyTablesTakesFewConnections(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		db.grant(t)
		s := db.session(t)
		const tables = 60
		for i := range tables {
			s.exec(t, fmt.Sprintf("CREATE TABLE t%d (id INT PRIMARY KEY)", i))
		}
		before := s.executed(t)
		for i := range tables {
			s.exec(t, fmt.Sprintf("INSERT INTO t%d VALUES (%[1]d)", i))
		}
		connections := func() (n int) {
			t.Helper()
			for row := range s.rows(t, "SHOW GLOBAL STATUS LIKE 'Connections'") {
				if _, err := fmt.Sscan(row["Value"], &n); err != nil {
					t.Fatal(err)
				}
			}
			return n
		}
		n := connections()
		p := configure(t, db.url(), "rules:", db.rules("t*", "{table}:{id}")).replay(t, "--dry-run", "--from", "gtid:"+before)
		n = connections() - n
		if got := lines(t, p); p.status != 0 || len(got) != tables {
			t.Fatalf("exit status %d, %d keys: %s", p.status, len(got), p.stderr.String())
		}
		if n > 20 {
			t.Errorf("%d connections for %d tables", n, tables)
		}
	})
}

// An XA transaction whose rows could not be served is a gap when it is committed, after
// a restart too, and nothing if it is rolled back.
func TestUnservedXATransactionsAreAGapAtTheCommit(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		if db.mysql() {
			db.exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+user+"'@'%'")
		}
		m := newCache(t)
		db.exec(t, users)
		db.exec(t, "INSERT INTO users VALUES (1, 'a', 'x'), (2, 'b', 'x')")
		cfg := configure(t, db.url(), "rules:", db.rules("users", "email:{email}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		db.session(t).settle(t, m)
		for i, xid := range []string{"one", "two"} {
			s := db.session(t)
			s.exec(t, "SET SESSION binlog_row_image = MINIMAL")
			s.exec(t, "XA START '"+xid+"'")
			s.exec(t, fmt.Sprintf("UPDATE users SET email = 'c' WHERE id = %d", i+1))
			s.exec(t, "XA END '"+xid+"'")
			s.exec(t, "XA PREPARE '"+xid+"'")
			s.close()
		}
		db.session(t).settle(t, m)
		daemon.stop(t)
		daemon = cfg.daemon(t)
		db.decides(t, "XA ROLLBACK 'one'")
		db.session(t).settle(t, m)
		db.decides(t, "XA COMMIT 'two'")
		daemon.failed(t, 3, "XA COMMIT", "when the transaction was prepared, a rule's keys could not be had for certain", "column email")
		daemon = cfg.daemon(t, "--on-gap", "flush")
		daemon.says(t, "flushed; going on")
		db.session(t).settle(t, m)
		daemon.stop(t)
	})
}
