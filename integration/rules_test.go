package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// rule is a line of YAML: a rule for tables of the test's schema, whose keys {schema} tells apart.
func rule(d *harness.Database, table string, keys ...string) string {
	quoted := make([]string, len(keys))
	for i, key := range keys {
		quoted[i] = fmt.Sprintf("'{schema}:%s'", key)
	}
	return fmt.Sprintf("  - {table: '%s.%s', keys: [%s]}", d.Schema, table, strings.Join(quoted, ", "))
}

// grantSelect lets mcsqueal see the test's tables.
func grantSelect(t *testing.T, d *harness.Database) {
	t.Helper()
	d.Exec(t, fmt.Sprintf("GRANT SELECT ON %s.* TO '%s'@'%%'", d.Schema, harness.User))
}

const users = "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(100) CHARACTER SET latin1, name VARCHAR(100))"

// Rules need no tag, see both images of an update, and leave the rest alone.
func TestRulesDeleteWhatRowsName(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		s := db.Session(t)
		s.Exec(t, users)
		s.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY)")
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "tags: []", "rules:",
			rule(db, "users", "user:{id}", "email:{Email}"), rule(db, "use*", "{table}:list"),
			"clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		one := db.Keys("user:1", "email:grün@example.org", "users:list")
		kept := db.Keys("user:2", "orders:list")
		change := func(statement string, gone ...string) {
			t.Helper()
			m.Fill(t, append(gone, kept...)...)
			s.Exec(t, statement)
			m.AwaitGone(t, gone...)
			m.MustHave(t, kept...)
		}
		change("INSERT INTO users VALUES (1, 'grün@example.org', 'x')", one...)
		change("UPDATE users SET name = 'y'", one...)
		change("UPDATE users SET id = 3, email = 'new@example.org'", append(one, db.Keys("user:3", "email:new@example.org")...)...)
		change("UPDATE users SET email = NULL", db.Keys("user:3", "email:new@example.org", "users:list")...)
		change("DELETE FROM users", db.Keys("user:3", "users:list")...)
		change("INSERT INTO users VALUES (4, '', 'x'), (5, 'five', NULL)", db.Keys("user:4", "user:5", "email:five", "email:", "users:list")...)

		// What is rolled back has no keys, and what is not theirs neither.
		m.Fill(t, db.Keys("user:9", "orders:list", "user:10")...)
		s.Exec(t, "START TRANSACTION")
		s.Exec(t, "INSERT INTO users VALUES (9, 'nine', 'x')")
		s.Exec(t, "ROLLBACK")
		s.Exec(t, "INSERT INTO orders VALUES (1)")
		s.Exec(t, "INSERT INTO users VALUES (10, 'ten', 'x')")
		m.AwaitGone(t, db.Key("user:10"))
		m.MustHave(t, db.Keys("user:9", "orders:list")...)
		daemon.Stop(t)
	})
}

// Rules and tags go together; a key that cannot be one is refused, and said.
func TestRulesGoTogetherWithTags(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		s := db.Session(t)
		s.Exec(t, users)
		before := s.Executed(t)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}", "name:{name}"))
		s.Exec(t, "START TRANSACTION")
		s.Exec(t, "INSERT /* mc: {tagged} {user:1} */ INTO users VALUES (1, 'a', 'Ann'), (2, 'b', 'two words')")
		s.Exec(t, "UPDATE users SET name = 'Bob' WHERE id = 1")
		s.Exec(t, "COMMIT")
		p := cfg.Replay(t, "--dry-run", "--from", "gtid:"+before, "--match", "^"+db.Schema+":")
		if p.Status() != 0 {
			t.Fatalf("exit status %d: %s", p.Status(), p.Stderr.String())
		}
		var got []string
		for _, l := range lines(t, p) {
			if l.Schema != db.Schema || l.Table != "users" {
				t.Errorf("%+v is not about users", l)
			}
			got = append(got, strings.TrimPrefix(l.Key, db.Schema+":")+" "+l.Cause)
		}
		want := []string{"tagged tag", "user:1 tag", "name:Ann rule", "user:2 rule", "name:Bob rule"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if len(p.Said("a rule's key was refused.*control_byte.*two words")) != 1 {
			t.Errorf("the refused key is not said: %s", p.Stderr.String())
		}
	})
}

// Files alone do, where they have the names.
func TestRulesAreTriedOnLogFiles(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		s := db.Session(t)
		s.Exec(t, users)
		s.Exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}:{email}"))
		if db.IsMySQL() {
			db.Exec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
		} else {
			db.Exec(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
		}
		files := func() []string {
			t.Helper()
			db.Exec(t, "FLUSH BINARY LOGS")
			all, err := db.LogFiles()
			if err != nil {
				t.Fatal(err)
			}
			return all[len(all)-2 : len(all)-1]
		}
		named := files()
		p := harness.Mcsqueal(t, append([]string{"replay", "--dry-run", "--config", cfg.Path, "--files"}, named...)...)
		if all := lines(t, p); p.Status() != 0 || len(all) != 1 || all[0].Cause != "rule" || all[0].Key != db.Key("user:1:a") {
			t.Errorf("exit status %d, %+v: %s", p.Status(), all, p.Stderr.String())
		}
		s.Close()
		db.Exec(t, "INSERT INTO "+db.Schema+".users VALUES (2, 'b', 'Bob')")
		p = harness.Mcsqueal(t, append([]string{"replay", "--dry-run", "--config", cfg.Path, "--files"}, files()...)...)
		p.MustEnd(t, 1, "could not be had for certain", db.Schema+".users: 1, the first: rule ")
		if len(p.Said("keys are missing.*rule "+db.Schema+`\.users.*no server to ask.*binlog_row_metadata = FULL`)) != 1 {
			t.Errorf("it does not say why: %s", p.Stderr.String())
		}
	})
}

// Without names in the log information_schema is asked, and believed only while
// nothing in the log contradicts it.
func TestRenamedColumnsAreRefusedNotGuessed(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, "CREATE TABLE pairs (id INT PRIMARY KEY, a INT, b INT)")
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "pairs", "pair:{a}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s.Settle(t, m)
		m.Fill(t, db.Keys("pair:10", "pair:20", "pair:30", "pair:31", "pair:40")...)
		s.Exec(t, "INSERT INTO pairs VALUES (1, 10, 20)")
		m.AwaitGone(t, db.Key("pair:10"))
		// Seen while it is running, a rename is nothing to be afraid of.
		s.Exec(t, "ALTER TABLE pairs RENAME COLUMN a TO c, RENAME COLUMN b TO a")
		s.Exec(t, "INSERT INTO pairs VALUES (2, 30, 31)")
		m.AwaitGone(t, db.Key("pair:31"))
		m.MustHave(t, db.Keys("pair:20", "pair:30")...)
		daemon.Stop(t)
		// Rows from before one that is not known yet are.
		s.Exec(t, "INSERT INTO pairs VALUES (3, 40, 41)")
		s.Exec(t, "ALTER TABLE pairs RENAME COLUMN a TO b, RENAME COLUMN c TO a")
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 3, "rule "+db.Schema+".pairs", "has been changed since", "binlog_row_metadata = FULL")
		m.MustHave(t, db.Key("pair:40"))
		p := cfg.Replay(t, "--dry-run", "--from", "oldest")
		p.MustEnd(t, 1, "of 3 row events")
		if len(p.Said("keys are missing.*changed since")) == 0 {
			t.Errorf("it does not say why: %s", p.Stderr.String())
		}
	})
}

// A table that took another's name is another, however old it is.
func TestSwappedTablesAreRefusedNotGuessed(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		s := db.Session(t)
		s.Exec(t, "CREATE TABLE ghost (id INT PRIMARY KEY, b INT, a INT)")
		s.Exec(t, "CREATE TABLE pairs (id INT PRIMARY KEY, a INT, b INT)")
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "pairs", "pair:{a}"))
		before := s.Executed(t)
		s.Exec(t, "INSERT INTO pairs VALUES (1, 10, 20)")
		between := s.Executed(t)
		s.Exec(t, "RENAME TABLE pairs TO old, ghost TO pairs")
		s.Exec(t, "INSERT INTO pairs VALUES (2, 30, 40)")
		p := cfg.Replay(t, "--dry-run", "--from", "gtid:"+before)
		p.MustEnd(t, 1, "of 1 row events")
		for _, p := range []*harness.Process{p, cfg.Replay(t, "--dry-run", "--from", "gtid:"+between)} {
			if got := lines(t, p); len(got) != 1 || got[0].Key != db.Key("pair:40") {
				t.Errorf("got %+v, want pair:40 alone: %s", got, p.Stderr.String())
			}
		}
	})
}

// The CREATE of a CREATE TABLE … SELECT makes the shape of the rows behind it.
func TestRowsOfCreateTableSelectAreServed(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		s := db.Session(t)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "copies", "copy:{id}"))
		before := s.Executed(t)
		s.Exec(t, "CREATE TABLE copies SELECT 1 AS id, 2 AS n")
		s.Exec(t, "INSERT INTO copies VALUES (3, 4)")
		p := cfg.Replay(t, "--dry-run", "--from", "gtid:"+before)
		var got []string
		for _, l := range lines(t, p) {
			got = append(got, l.Key)
		}
		if want := db.Keys("copy:1", "copy:3"); p.Status() != 0 || !slices.Equal(got, want) {
			t.Errorf("exit status %d, got %q, want %q: %s", p.Status(), got, want, p.Stderr.String())
		}
		// What changes it later makes it uncertain again.
		s.Exec(t, "ALTER TABLE copies RENAME COLUMN id TO m, RENAME COLUMN n TO id")
		s.Exec(t, "INSERT INTO copies VALUES (5, 6)")
		p = cfg.Replay(t, "--dry-run", "--from", "gtid:"+before)
		p.MustEnd(t, 1, "of 2 row events")
		if l := lines(t, p); len(l) != 1 || l[0].Key != db.Key("copy:6") {
			t.Errorf("got %+v, want copy:6 alone: %s", l, p.Stderr.String())
		}
	})
}

// A gap that a privilege mends loses nothing.
func TestMissingPrivilegeIsAGapThatAGrantMends(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		s := db.Session(t)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "u*", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t) // the pattern may match something later
		daemon.Says(t, "a rule matches no table that can be seen")
		s.Settle(t, m)
		key := db.Key("user:1")
		m.Fill(t, key)
		s.Exec(t, users)
		s.Exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		grant := fmt.Sprintf("GRANT SELECT ON `%s`.`users` TO '%s'@'%%'", db.Schema, harness.User)
		daemon.MustEnd(t, 3, grant)
		m.MustHave(t, key)
		db.Exec(t, grant)
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, key)
		daemon.Stop(t)
	})
}

// A column that may not be seen is not one that is missing.
func TestColumnsThatMayNotBeSeenAreSaid(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		db.Exec(t, fmt.Sprintf("GRANT SELECT (id) ON %s.users TO '%s'@'%%'", db.Schema, harness.User))
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}", "email:{email}"), "clusters:", cluster("east", "servers", m.Addr()))
		grant := fmt.Sprintf("GRANT SELECT ON `%s`.`users` TO '%s'@'%%'", db.Schema, harness.User)
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 1, "some columns of the table "+db.Schema+".users, and not all", grant)
		before := s.Executed(t)
		s.Exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		p := cfg.Replay(t, "--dry-run", "--from", "gtid:"+before)
		p.MustEnd(t, 1, "of 1 row events")
		if len(p.Said("keys are missing.*some of the table's columns, and not all.*GRANT SELECT ON")) == 0 {
			t.Errorf("it does not say why: %s", p.Stderr.String())
		}
		// With names in the log nothing is missing.
		db.Exec(t, "SET GLOBAL binlog_row_metadata = FULL")
		daemon := cfg.Daemon(t)
		daemon.Says(t, "not all of a rule's table can be seen")
		m.Fill(t, db.Keys("user:2", "email:b")...)
		db.Exec(t, "INSERT INTO "+db.Schema+".users VALUES (2, 'b', 'Bob')")
		m.AwaitGone(t, db.Keys("user:2", "email:b")...)
		daemon.Stop(t)
	})
}

// Schemas and tables may have names that are none without quotes.
func TestRulesForNamesThatNeedQuotes(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		db.Exec(t, "CREATE DATABASE `1e5`")
		db.Exec(t, fmt.Sprintf("GRANT SELECT ON `1e5`.* TO '%s'@'%%'", harness.User))
		s := db.Session(t)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", "  - {table: 1e5.order, keys: ['order:{id}']}", "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		daemon.Says(t, "a rule's table does not exist yet")
		m.Fill(t, "order:7")
		s.Exec(t, "CREATE TABLE `1e5`.`order` (id INT PRIMARY KEY)")
		s.Exec(t, "INSERT INTO `1e5`.`order` VALUES (7)")
		m.AwaitGone(t, "order:7")
		daemon.Stop(t)
	})
}

// What certainly cannot be served is said at start.
func TestRulesThatCannotBeServedAreErrorsAtStart(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		s.Exec(t, "CREATE TABLE events (at DATETIME, z INT(5) ZEROFILL, t TEXT, id INT PRIMARY KEY)")
		set := "SET PERSIST "
		if !db.IsMySQL() {
			set = "SET GLOBAL "
		}
		start := func(status int, rules []string, parts ...string) {
			t.Helper()
			lines := append([]string{"rules:"}, rules...)
			cfg := harness.Configure(t, db.SourceURL(), append(lines, "clusters:", cluster("east", "servers", m.Addr()))...)
			harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, status, parts...)
			if p := cfg.Replay(t, "--dry-run", "--from", "now"); p.Status() != 0 || len(p.Said("cannot be served")) == 0 {
				t.Errorf("replay: exit status %d: %s", p.Status(), p.Stderr.String())
			}
		}
		one := func(table string, keys ...string) []string { return []string{rule(db, table, keys...)} }
		name := "'" + harness.User + "'@'%'"
		db.Exec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
		start(1, one("users", "u:{id}"), "rule "+db.Schema+".users", "GRANT SELECT ON `"+db.Schema+"`.`users` TO "+name, set+"binlog_row_metadata = FULL")
		db.Exec(t, "SET GLOBAL binlog_row_metadata = FULL")
		grantSelect(t, db)
		start(2, one("users", "u:{nope}", "v:{id}"), "rule "+db.Schema+".users", "u:{nope}", "column nope", "no such column")
		start(2, one("events", "e:{at}"), "column at", "space")
		db.Exec(t, "SET GLOBAL binlog_row_image = MINIMAL")
		start(1, one("users", "u:{id}", "m:{email}"), "m:{email}", "column email", "MINIMAL", set+"binlog_row_image = FULL")
		db.Exec(t, "SET GLOBAL binlog_row_image = NOBLOB")
		start(1, one("events", "t:{t}"), "t:{t}", "NOBLOB", set+"binlog_row_image = FULL")

		// What can be served under these is.
		for _, image := range []string{"MINIMAL", "NOBLOB"} {
			db.Exec(t, "SET GLOBAL binlog_row_image = "+image)
			cfg := harness.Configure(t, db.SourceURL(), "tags: []", "rules:", rule(db, "users", "user:{id}"), rule(db, "events", "z:{id}"), rule(db, "later", "l:{id}"),
				"clusters:", cluster("east", "servers", m.Addr()))
			daemon := cfg.Daemon(t)
			daemon.Says(t, "a rule's table does not exist yet.*later")
			m.Fill(t, db.Key("user:7"))
			db.Exec(t, "REPLACE INTO "+db.Schema+".users VALUES (7, 'a', 'x')")
			m.AwaitGone(t, db.Key("user:7"))
			m.Fill(t, db.Key("user:7"))
			db.Exec(t, "UPDATE "+db.Schema+".users SET name = '"+image+"' WHERE id = 7")
			m.AwaitGone(t, db.Key("user:7"))
			m.Fill(t, db.Keys("user:7", "user:8")...)
			db.Exec(t, "UPDATE "+db.Schema+".users SET id = 8 WHERE id = 7")
			m.AwaitGone(t, db.Keys("user:7", "user:8")...)
			m.Fill(t, db.Key("user:8"))
			db.Exec(t, "DELETE FROM "+db.Schema+".users")
			m.AwaitGone(t, db.Key("user:8"))
			daemon.Stop(t)
		}
	})
}

// A value that no image has is a gap, with what mends it for the future.
func TestValueThatNoImageHasIsAGap(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		s.Exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}", "email:{email}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s.Settle(t, m)
		m.Fill(t, db.Keys("email:a", "email:b")...)
		s.Exec(t, "SET SESSION binlog_row_image = MINIMAL")
		s.Exec(t, "UPDATE users SET email = 'b'")
		daemon.MustEnd(t, 3, "email:{email}", "column email", "the row's images lack its value", "binlog_row_image = FULL")
		// What was logged stays as it was: only a flush gets past it.
		daemon = cfg.Daemon(t, "--on-gap", "flush")
		m.AwaitGone(t, db.Keys("email:a", "email:b")...)
		daemon.Says(t, "flushed; going on")
		s.Exec(t, "SET SESSION binlog_row_image = FULL")
		m.Fill(t, db.Keys("email:b", "email:c")...)
		s.Exec(t, "UPDATE users SET email = 'c'")
		m.AwaitGone(t, db.Keys("email:b", "email:c")...)
		daemon.Stop(t)
	})
}

// Changes that no row tells of are said, with the table.
func TestChangesWithoutRowsAreSaid(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s.Exec(t, "TRUNCATE users")
		daemon.Says(t, "changed without row images.*table="+db.Schema+".users")
		s.Settle(t, m)
		daemon.Stop(t)
	})
}

// Rules' keys of an XA transaction leave when it is committed, and not when it is
// rolled back.
func TestRulesSeeXATransactions(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		if db.IsMySQL() {
			db.Exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+harness.User+"'@'%'")
		}
		m := harness.NewCache(t)
		db.Exec(t, users)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		keys := db.Keys("user:1", "user:2")
		m.Fill(t, keys...)
		for i, xid := range []string{"one", "two"} {
			s := db.Session(t)
			s.Exec(t, "XA START '"+xid+"'")
			s.Exec(t, fmt.Sprintf("INSERT INTO users VALUES (%d, 'a', 'x')", i+1))
			s.Exec(t, "XA END '"+xid+"'")
			s.Exec(t, "XA PREPARE '"+xid+"'")
			s.Close()
		}
		db.Session(t).Settle(t, m)
		m.MustHave(t, keys...)
		db.Decides(t, "XA ROLLBACK 'two'")
		db.Decides(t, "XA COMMIT 'one'")
		m.AwaitGone(t, keys[0])
		db.Session(t).Settle(t, m)
		m.MustHave(t, keys[1])
		daemon.Stop(t)
	})
}

// The log cannot tell MariaDB's UUID from BINARY(16): a server is asked, and where
// there is none nothing is guessed.
func TestUUIDIsAskedForOrRefused(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMariaDB, servers.Config{})
	s := db.Session(t)
	s.Exec(t, "CREATE TABLE devices (id UUID PRIMARY KEY, at INET6, n INT)")
	before := s.Executed(t)
	s.Exec(t, "INSERT INTO devices VALUES ('f47ac10b-58cc-4372-a567-0e02b2c3d479', '2001:db8::1', 7)")
	cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "devices", "d:{id}", "at:{at}", "n:{n}"))
	replay := func(status int, want []string, args ...string) *harness.Process {
		t.Helper()
		p := harness.Mcsqueal(t, append([]string{"replay", "--dry-run", "--config", cfg.Path}, args...)...)
		var got []string
		for _, l := range lines(t, p) {
			got = append(got, l.Key)
		}
		if p.Status() != status || !slices.Equal(got, want) {
			t.Errorf("exit status %d, got %q, want %d and %q: %s", p.Status(), got, status, want, p.Stderr.String())
		}
		return p
	}
	grant := "GRANT SELECT ON `" + db.Schema + "`.`devices`"
	p := replay(1, db.Keys("n:7"), "--from", "gtid:"+before)
	if len(p.Said("keys are missing.*BINARY.*"+grant)) == 0 {
		t.Errorf("it does not say what mends it: %s", p.Stderr.String())
	}
	files, err := db.LogFiles()
	if err != nil {
		t.Fatal(err)
	}
	p = replay(1, db.Keys("n:7"), append([]string{"--files"}, files...)...)
	if len(p.Said("keys are missing.*BINARY.*no server to ask")) == 0 {
		t.Errorf("it does not say why: %s", p.Stderr.String())
	}
	grantSelect(t, db)
	replay(0, db.Keys("d:f47ac10b-58cc-4372-a567-0e02b2c3d479", "at:2001:db8::1", "n:7"), "--from", "gtid:"+before)
}

// Without tags nobody needs the statements' text.
func TestRulesAloneNeedNoText(t *testing.T) {
	t.Parallel()
	for kind, variable := range map[servers.Kind]string{
		servers.KindMySQL:   "binlog_rows_query_log_events",
		servers.KindMariaDB: "binlog_annotate_row_events",
	} {
		t.Run(kind.Name(), func(t *testing.T) {
			t.Parallel()
			db := harness.Own(t, kind, servers.Config{Args: []string{"--" + variable + "=OFF"}})
			db.Exec(t, users)
			grantSelect(t, db)
			m := harness.NewCache(t)
			clusters := []string{"clusters:", cluster("east", "servers", m.Addr())}
			rules := []string{"rules:", rule(db, "users", "user:{id}")}
			both := harness.Configure(t, db.SourceURL(), slices.Concat(rules, clusters)...)
			harness.Mcsqueal(t, "run", "--config", both.Path).MustEnd(t, 1, variable+" is OFF")
			cfg := harness.Configure(t, db.SourceURL(), slices.Concat([]string{"tags: []"}, rules, clusters)...)
			daemon := cfg.Daemon(t)
			m.Fill(t, db.Key("user:1"))
			db.Exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
			m.AwaitGone(t, db.Key("user:1"))
			if said := daemon.Said("statement text|without their statement's text"); len(said) > 0 {
				t.Errorf("it says %q", said)
			}
			daemon.Stop(t)
		})
	}
}
