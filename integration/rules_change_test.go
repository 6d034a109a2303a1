package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// The procedure of docs/rules.md: a rule serves what was logged before its column got
// another name, and stops at the first row that has it. Changed then, nothing is lost.
func TestRenamingAColumnLosesNothing(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		with := func(column string) []string {
			return []string{"rules:", rule(db, "users", "email:{"+column+"}"), "clusters:", cluster("east", "servers", m.Addr())}
		}
		cfg := harness.Configure(t, db.SourceURL(), with("nope")...)
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 2, "column nope", "no such column") // nothing is to be read
		cfg.Write(t, db.SourceURL(), with("email")...)
		rename := func(from, to string) {
			t.Helper()
			s.Exec(t, fmt.Sprintf("INSERT INTO users VALUES (1, '%s', 'x')", from))
			s.Exec(t, fmt.Sprintf("ALTER TABLE users RENAME COLUMN %s TO %s", from, to))
			s.Exec(t, fmt.Sprintf("INSERT INTO users VALUES (2, '%s', 'x')", to))
			s.Exec(t, "DELETE FROM users")
		}
		// While it runs.
		daemon := cfg.Daemon(t)
		s.Settle(t, m)
		m.Fill(t, db.Keys("email:email", "email:mail")...)
		rename("email", "mail")
		daemon.MustEnd(t, 3, "column email", "no such column", "a rule that fits the table")
		if len(daemon.Said("change the rule, or remove it, and start again")) == 0 {
			t.Errorf("it does not say how to go on: %s", daemon.Stderr.String())
		}
		m.AwaitGone(t, db.Key("email:email"))
		m.MustHave(t, db.Key("email:mail"))
		cfg.Write(t, db.SourceURL(), with("mail")...)
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, db.Key("email:mail"))
		s.Settle(t, m)
		daemon.Stop(t)
		// While it does not.
		m.Fill(t, db.Keys("email:mail", "email:post")...)
		rename("mail", "post")
		p := harness.Mcsqueal(t, "run", "--config", cfg.Path)
		p.MustEnd(t, 3, "column mail", "no such column")
		if len(p.Said("does not fit its table as it is now")) != 1 {
			t.Errorf("it does not warn: %s", p.Stderr.String())
		}
		m.AwaitGone(t, db.Key("email:mail"))
		cfg.Write(t, db.SourceURL(), with("post")...)
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, db.Key("email:post"))
		s.Settle(t, m)
		daemon.Stop(t)
	})
}

// Both names in rules with a wildcard serve the table before and after, without a stop.
func TestBothNamesOfAColumnUnderAWildcard(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "user[s]", "email:{email}"), rule(db, "user[s]", "email:{mail}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s.Settle(t, m)
		m.Fill(t, db.Keys("email:old", "email:new", "email:moved")...)
		s.Exec(t, "INSERT INTO users VALUES (1, 'old', 'x')")
		s.Exec(t, "ALTER TABLE users RENAME COLUMN email TO mail")
		s.Exec(t, "INSERT INTO users VALUES (2, 'new', 'x')")
		// As the tools for changes without locks do it.
		s.Exec(t, "CREATE TABLE _users_new (mail VARCHAR(50), id INT PRIMARY KEY)")
		s.Exec(t, "INSERT INTO _users_new SELECT mail, id FROM users")
		s.Exec(t, "RENAME TABLE users TO _users_old, _users_new TO users")
		s.Exec(t, "INSERT INTO users VALUES ('moved', 3)")
		m.AwaitGone(t, db.Keys("email:old", "email:new", "email:moved")...)
		if !db.IsMySQL() {
			// A sequence is a table, too.
			s.Exec(t, "CREATE SEQUENCE users_seq")
			s.Text(t, "SELECT NEXTVAL(users_seq)")
		}
		s.Settle(t, m)
		if n := len(daemon.Said("lacks the rule's column")); n != 1 {
			t.Errorf("said %d times that a column lacks, want once: %s", n, daemon.Stderr.String())
		}
		daemon.Stop(t)
	})
}

// A table that was gone before anybody could ask for its columns' names.
func TestAShortLivedTableNeedsNamesInTheLog(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "*", "{table}:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s.Settle(t, m)
		daemon.Stop(t)
		live := func() {
			t.Helper()
			s.Exec(t, "CREATE TABLE passing (id INT PRIMARY KEY)")
			s.Exec(t, "INSERT INTO passing VALUES (1)")
			s.Exec(t, "DROP TABLE passing")
		}
		live()
		p := harness.Mcsqueal(t, "run", "--config", cfg.Path)
		p.MustEnd(t, 3, "it has been removed since (then the names of its columns cannot be had any more)", "binlog_row_metadata = FULL")
		if said := strings.Join(p.Said("ways_on"), "\n"); !strings.Contains(said, "set binlog_row_metadata = FULL for what comes, then") || !strings.Contains(said, "--to now") {
			t.Errorf("it does not say how to go on: %s", p.Stderr.String())
		}
		db.Exec(t, "SET GLOBAL binlog_row_metadata = FULL")
		if p := harness.Mcsqueal(t, "checkpoint", "set", "--config", cfg.Path, "--cluster", "east", "--to", "now"); p.Status() != 0 {
			t.Fatalf("exit status %d: %s", p.Status(), p.Stderr.String())
		}
		daemon = cfg.Daemon(t)
		s.Close()
		s = db.Session(t)
		m.Fill(t, db.Key("passing:1"))
		live()
		m.AwaitGone(t, db.Key("passing:1"))
		daemon.Stop(t)
	})
}

// Without names in the log a server is asked for each table, on one connection, and the
// rest of its log is looked through once.
func TestAskingForManyTablesTakesFewConnections(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		s := db.Session(t)
		const tables = 60
		for i := range tables {
			s.Exec(t, fmt.Sprintf("CREATE TABLE t%d (id INT PRIMARY KEY)", i))
		}
		before := s.Executed(t)
		for i := range tables {
			s.Exec(t, fmt.Sprintf("INSERT INTO t%d VALUES (%[1]d)", i))
		}
		connections := func() (n int) {
			t.Helper()
			for row := range s.Rows(t, "SHOW GLOBAL STATUS LIKE 'Connections'") {
				if _, err := fmt.Sscan(row["Value"], &n); err != nil {
					t.Fatal(err)
				}
			}
			return n
		}
		n := connections()
		p := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "t*", "{table}:{id}")).Replay(t, "--dry-run", "--from", "gtid:"+before)
		n = connections() - n
		if got := lines(t, p); p.Status() != 0 || len(got) != tables {
			t.Fatalf("exit status %d, %d keys: %s", p.Status(), len(got), p.Stderr.String())
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
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		if db.IsMySQL() {
			db.Exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+harness.User+"'@'%'")
		}
		m := harness.NewCache(t)
		db.Exec(t, users)
		db.Exec(t, "INSERT INTO users VALUES (1, 'a', 'x'), (2, 'b', 'x')")
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "email:{email}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		db.Session(t).Settle(t, m)
		for i, xid := range []string{"one", "two"} {
			s := db.Session(t)
			s.Exec(t, "SET SESSION binlog_row_image = MINIMAL")
			s.Exec(t, "XA START '"+xid+"'")
			s.Exec(t, fmt.Sprintf("UPDATE users SET email = 'c' WHERE id = %d", i+1))
			s.Exec(t, "XA END '"+xid+"'")
			s.Exec(t, "XA PREPARE '"+xid+"'")
			s.Close()
		}
		db.Session(t).Settle(t, m)
		daemon.Stop(t)
		daemon = cfg.Daemon(t)
		db.Decides(t, "XA ROLLBACK 'one'")
		db.Session(t).Settle(t, m)
		db.Decides(t, "XA COMMIT 'two'")
		daemon.MustEnd(t, 3, "XA COMMIT", "when the transaction was prepared, a rule's keys could not be had for certain", "column email")
		daemon = cfg.Daemon(t, "--on-gap", "flush")
		daemon.Says(t, "flushed; going on")
		db.Session(t).Settle(t, m)
		daemon.Stop(t)
	})
}
