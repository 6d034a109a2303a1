package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// rules writes rules for tables of the test's schema, whose keys {schema} tells apart.
func (d *database) rules(table string, keys ...string) string {
	quoted := make([]string, len(keys))
	for i, key := range keys {
		quoted[i] = fmt.Sprintf("'{schema}:%s'", key)
	}
	return fmt.Sprintf("  - {table: '%s.%s', keys: [%s]}", d.schema, table, strings.Join(quoted, ", "))
}

// grant lets mcsqueal see the test's tables.
func (d *database) grant(t *testing.T) {
	t.Helper()
	d.exec(t, fmt.Sprintf("GRANT SELECT ON %s.* TO '%s'@'%%'", d.schema, user))
}

const users = "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(100) CHARACTER SET latin1, name VARCHAR(100))"

// Rules need no tag, see both images of an update, and leave the rest alone.
func TestRulesDeleteWhatRowsName(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		db.grant(t)
		s := db.session(t)
		s.exec(t, users)
		s.exec(t, "CREATE TABLE orders (id INT PRIMARY KEY)")
		m := newCache(t)
		cfg := configure(t, db.url(), "tags: []", "rules:",
			db.rules("users", "user:{id}", "email:{Email}"), db.rules("use*", "{table}:list"),
			"clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		one := db.keys("user:1", "email:grün@example.org", "users:list")
		kept := db.keys("user:2", "orders:list")
		change := func(statement string, gone ...string) {
			t.Helper()
			fill(t, m, append(gone, kept...)...)
			s.exec(t, statement)
			awaitGone(t, m, gone...)
			mustBeThere(t, m, kept...)
		}
		change("INSERT INTO users VALUES (1, 'grün@example.org', 'x')", one...)
		change("UPDATE users SET name = 'y'", one...)
		change("UPDATE users SET id = 3, email = 'new@example.org'", append(one, db.keys("user:3", "email:new@example.org")...)...)
		change("UPDATE users SET email = NULL", db.keys("user:3", "email:new@example.org", "users:list")...)
		change("DELETE FROM users", db.keys("user:3", "users:list")...)
		change("INSERT INTO users VALUES (4, '', 'x'), (5, 'five', NULL)", db.keys("user:4", "user:5", "email:five", "email:", "users:list")...)

		// What is rolled back has no keys, and what is not theirs neither.
		fill(t, m, db.keys("user:9", "orders:list", "user:10")...)
		s.exec(t, "START TRANSACTION")
		s.exec(t, "INSERT INTO users VALUES (9, 'nine', 'x')")
		s.exec(t, "ROLLBACK")
		s.exec(t, "INSERT INTO orders VALUES (1)")
		s.exec(t, "INSERT INTO users VALUES (10, 'ten', 'x')")
		awaitGone(t, m, db.key("user:10"))
		mustBeThere(t, m, db.keys("user:9", "orders:list")...)
		daemon.stop(t)
	})
}

// Rules and tags go together; a key that cannot be one is refused, and said.
func TestRulesGoTogetherWithTags(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		db.grant(t)
		s := db.session(t)
		s.exec(t, users)
		before := s.executed(t)
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}", "name:{name}"))
		s.exec(t, "START TRANSACTION")
		s.exec(t, "INSERT /* mc: {tagged} {user:1} */ INTO users VALUES (1, 'a', 'Ann'), (2, 'b', 'two words')")
		s.exec(t, "UPDATE users SET name = 'Bob' WHERE id = 1")
		s.exec(t, "COMMIT")
		p := cfg.replay(t, "--dry-run", "--from", "gtid:"+before, "--match", "^"+db.schema+":")
		if p.status != 0 {
			t.Fatalf("exit status %d: %s", p.status, p.stderr.String())
		}
		var got []string
		for _, l := range lines(t, p) {
			if l.Schema != db.schema || l.Table != "users" {
				t.Errorf("%+v is not about users", l)
			}
			got = append(got, strings.TrimPrefix(l.Key, db.schema+":")+" "+l.Cause)
		}
		want := []string{"tagged tag", "user:1 tag", "name:Ann rule", "user:2 rule", "name:Bob rule"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if len(p.said("a rule's key was refused.*control_byte.*two words")) != 1 {
			t.Errorf("the refused key is not said: %s", p.stderr.String())
		}
	})
}

// Files alone do, where they have the names.
func TestRulesAreTriedOnLogFiles(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		s := db.session(t)
		s.exec(t, users)
		s.exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}:{email}"))
		if db.mysql() {
			db.exec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
		} else {
			db.exec(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
		}
		files := func() []string {
			t.Helper()
			db.exec(t, "FLUSH BINARY LOGS")
			all, err := db.LogFiles()
			if err != nil {
				t.Fatal(err)
			}
			return all[len(all)-2 : len(all)-1]
		}
		named := files()
		p := mcsqueal(t, append([]string{"replay", "--dry-run", "--config", cfg.path, "--files"}, named...)...)
		if all := lines(t, p); p.status != 0 || len(all) != 1 || all[0].Cause != "rule" || all[0].Key != db.key("user:1:a") {
			t.Errorf("exit status %d, %+v: %s", p.status, all, p.stderr.String())
		}
		s.close()
		db.exec(t, "INSERT INTO "+db.schema+".users VALUES (2, 'b', 'Bob')")
		p = mcsqueal(t, append([]string{"replay", "--dry-run", "--config", cfg.path, "--files"}, files()...)...)
		p.failed(t, 1, "could not be had for certain", db.schema+".users: 1, the first: rule ")
		if len(p.said("keys are missing.*rule "+db.schema+`\.users.*no server to ask.*binlog_row_metadata = FULL`)) != 1 {
			t.Errorf("it does not say why: %s", p.stderr.String())
		}
	})
}

// Without names in the log information_schema is asked, and believed only while
// nothing in the log contradicts it.
func TestRenamedColumnsAreRefusedNotGuessed(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		s.exec(t, "CREATE TABLE pairs (id INT PRIMARY KEY, a INT, b INT)")
		cfg := configure(t, db.url(), "rules:", db.rules("pairs", "pair:{a}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s.settle(t, m)
		fill(t, m, db.keys("pair:10", "pair:20", "pair:30", "pair:31", "pair:40")...)
		s.exec(t, "INSERT INTO pairs VALUES (1, 10, 20)")
		awaitGone(t, m, db.key("pair:10"))
		// Seen while it is running, a rename is nothing to be afraid of.
		s.exec(t, "ALTER TABLE pairs RENAME COLUMN a TO c, RENAME COLUMN b TO a")
		s.exec(t, "INSERT INTO pairs VALUES (2, 30, 31)")
		awaitGone(t, m, db.key("pair:31"))
		mustBeThere(t, m, db.keys("pair:20", "pair:30")...)
		daemon.stop(t)
		// Rows from before one that is not known yet are.
		s.exec(t, "INSERT INTO pairs VALUES (3, 40, 41)")
		s.exec(t, "ALTER TABLE pairs RENAME COLUMN a TO b, RENAME COLUMN c TO a")
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 3, "rule "+db.schema+".pairs", "has been changed since", "binlog_row_metadata = FULL")
		mustBeThere(t, m, db.key("pair:40"))
		p := cfg.replay(t, "--dry-run", "--from", "oldest")
		p.failed(t, 1, "of 3 row events")
		if len(p.said("keys are missing.*changed since")) == 0 {
			t.Errorf("it does not say why: %s", p.stderr.String())
		}
	})
}

// A table that took another's name is another, however old it is.
func TestSwappedTablesAreRefusedNotGuessed(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		db.grant(t)
		s := db.session(t)
		s.exec(t, "CREATE TABLE ghost (id INT PRIMARY KEY, b INT, a INT)")
		s.exec(t, "CREATE TABLE pairs (id INT PRIMARY KEY, a INT, b INT)")
		cfg := configure(t, db.url(), "rules:", db.rules("pairs", "pair:{a}"))
		before := s.executed(t)
		s.exec(t, "INSERT INTO pairs VALUES (1, 10, 20)")
		between := s.executed(t)
		s.exec(t, "RENAME TABLE pairs TO old, ghost TO pairs")
		s.exec(t, "INSERT INTO pairs VALUES (2, 30, 40)")
		p := cfg.replay(t, "--dry-run", "--from", "gtid:"+before)
		p.failed(t, 1, "of 1 row events")
		for _, p := range []*process{p, cfg.replay(t, "--dry-run", "--from", "gtid:"+between)} {
			if got := lines(t, p); len(got) != 1 || got[0].Key != db.key("pair:40") {
				t.Errorf("got %+v, want pair:40 alone: %s", got, p.stderr.String())
			}
		}
	})
}

// The CREATE of a CREATE TABLE … SELECT makes the shape of the rows behind it.
func TestRowsOfCreateTableSelectAreServed(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		db.grant(t)
		s := db.session(t)
		cfg := configure(t, db.url(), "rules:", db.rules("copies", "copy:{id}"))
		before := s.executed(t)
		s.exec(t, "CREATE TABLE copies SELECT 1 AS id, 2 AS n")
		s.exec(t, "INSERT INTO copies VALUES (3, 4)")
		p := cfg.replay(t, "--dry-run", "--from", "gtid:"+before)
		var got []string
		for _, l := range lines(t, p) {
			got = append(got, l.Key)
		}
		if want := db.keys("copy:1", "copy:3"); p.status != 0 || !slices.Equal(got, want) {
			t.Errorf("exit status %d, got %q, want %q: %s", p.status, got, want, p.stderr.String())
		}
		// What changes it later makes it uncertain again.
		s.exec(t, "ALTER TABLE copies RENAME COLUMN id TO m, RENAME COLUMN n TO id")
		s.exec(t, "INSERT INTO copies VALUES (5, 6)")
		p = cfg.replay(t, "--dry-run", "--from", "gtid:"+before)
		p.failed(t, 1, "of 2 row events")
		if l := lines(t, p); len(l) != 1 || l[0].Key != db.key("copy:6") {
			t.Errorf("got %+v, want copy:6 alone: %s", l, p.stderr.String())
		}
	})
}

// A gap that a privilege mends loses nothing.
func TestMissingPrivilegeIsAGapThatAGrantMends(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		m := newCache(t)
		s := db.session(t)
		cfg := configure(t, db.url(), "rules:", db.rules("u*", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t) // the pattern may match something later
		daemon.says(t, "a rule matches no table that can be seen")
		s.settle(t, m)
		key := db.key("user:1")
		fill(t, m, key)
		s.exec(t, users)
		s.exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		grant := fmt.Sprintf("GRANT SELECT ON `%s`.`users` TO '%s'@'%%'", db.schema, user)
		daemon.failed(t, 3, grant)
		mustBeThere(t, m, key)
		db.exec(t, grant)
		daemon = cfg.daemon(t)
		awaitGone(t, m, key)
		daemon.stop(t)
	})
}

// A column that may not be seen is not one that is missing.
func TestColumnsThatMayNotBeSeenAreSaid(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		db.exec(t, fmt.Sprintf("GRANT SELECT (id) ON %s.users TO '%s'@'%%'", db.schema, user))
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}", "email:{email}"), "clusters:", cluster("east", "servers", m.Addr()))
		grant := fmt.Sprintf("GRANT SELECT ON `%s`.`users` TO '%s'@'%%'", db.schema, user)
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 1, "some columns of the table "+db.schema+".users, and not all", grant)
		before := s.executed(t)
		s.exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		p := cfg.replay(t, "--dry-run", "--from", "gtid:"+before)
		p.failed(t, 1, "of 1 row events")
		if len(p.said("keys are missing.*some of the table's columns, and not all.*GRANT SELECT ON")) == 0 {
			t.Errorf("it does not say why: %s", p.stderr.String())
		}
		// With names in the log nothing is missing.
		db.exec(t, "SET GLOBAL binlog_row_metadata = FULL")
		daemon := cfg.daemon(t)
		daemon.says(t, "not all of a rule's table can be seen")
		fill(t, m, db.keys("user:2", "email:b")...)
		db.exec(t, "INSERT INTO "+db.schema+".users VALUES (2, 'b', 'Bob')")
		awaitGone(t, m, db.keys("user:2", "email:b")...)
		daemon.stop(t)
	})
}

// Schemas and tables may have names that are none without quotes.
func TestRulesForNamesThatNeedQuotes(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, db *database) {
		m := newCache(t)
		db.exec(t, "CREATE DATABASE `1e5`")
		db.exec(t, fmt.Sprintf("GRANT SELECT ON `1e5`.* TO '%s'@'%%'", user))
		s := db.session(t)
		cfg := configure(t, db.url(), "rules:", "  - {table: 1e5.order, keys: ['order:{id}']}", "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		daemon.says(t, "a rule's table does not exist yet")
		fill(t, m, "order:7")
		s.exec(t, "CREATE TABLE `1e5`.`order` (id INT PRIMARY KEY)")
		s.exec(t, "INSERT INTO `1e5`.`order` VALUES (7)")
		awaitGone(t, m, "order:7")
		daemon.stop(t)
	})
}

// What certainly cannot be served is said at start.
func TestRulesThatCannotBeServedAreErrorsAtStart(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		s.exec(t, "CREATE TABLE events (at DATETIME, z INT(5) ZEROFILL, t TEXT, id INT PRIMARY KEY)")
		set := "SET PERSIST "
		if !db.mysql() {
			set = "SET GLOBAL "
		}
		start := func(status int, rules []string, parts ...string) {
			t.Helper()
			lines := append([]string{"rules:"}, rules...)
			cfg := configure(t, db.url(), append(lines, "clusters:", cluster("east", "servers", m.Addr()))...)
			mcsqueal(t, "run", "--config", cfg.path).failed(t, status, parts...)
			if p := cfg.replay(t, "--dry-run", "--from", "now"); p.status != 0 || len(p.said("cannot be served")) == 0 {
				t.Errorf("replay: exit status %d: %s", p.status, p.stderr.String())
			}
		}
		one := func(table string, keys ...string) []string { return []string{db.rules(table, keys...)} }
		name := "'" + user + "'@'%'"
		db.exec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
		start(1, one("users", "u:{id}"), "rule "+db.schema+".users", "GRANT SELECT ON `"+db.schema+"`.`users` TO "+name, set+"binlog_row_metadata = FULL")
		db.exec(t, "SET GLOBAL binlog_row_metadata = FULL")
		db.grant(t)
		start(2, one("users", "u:{nope}", "v:{id}"), "rule "+db.schema+".users", "u:{nope}", "column nope", "no such column")
		start(2, one("events", "e:{at}"), "column at", "space")
		db.exec(t, "SET GLOBAL binlog_row_image = MINIMAL")
		start(1, one("users", "u:{id}", "m:{email}"), "m:{email}", "column email", "MINIMAL", set+"binlog_row_image = FULL")
		db.exec(t, "SET GLOBAL binlog_row_image = NOBLOB")
		start(1, one("events", "t:{t}"), "t:{t}", "NOBLOB", set+"binlog_row_image = FULL")

		// What can be served under these is.
		for _, image := range []string{"MINIMAL", "NOBLOB"} {
			db.exec(t, "SET GLOBAL binlog_row_image = "+image)
			cfg := configure(t, db.url(), "tags: []", "rules:", db.rules("users", "user:{id}"), db.rules("events", "z:{id}"), db.rules("later", "l:{id}"),
				"clusters:", cluster("east", "servers", m.Addr()))
			daemon := cfg.daemon(t)
			daemon.says(t, "a rule's table does not exist yet.*later")
			fill(t, m, db.key("user:7"))
			db.exec(t, "REPLACE INTO "+db.schema+".users VALUES (7, 'a', 'x')")
			awaitGone(t, m, db.key("user:7"))
			fill(t, m, db.key("user:7"))
			db.exec(t, "UPDATE "+db.schema+".users SET name = '"+image+"' WHERE id = 7")
			awaitGone(t, m, db.key("user:7"))
			fill(t, m, db.keys("user:7", "user:8")...)
			db.exec(t, "UPDATE "+db.schema+".users SET id = 8 WHERE id = 7")
			awaitGone(t, m, db.keys("user:7", "user:8")...)
			fill(t, m, db.key("user:8"))
			db.exec(t, "DELETE FROM "+db.schema+".users")
			awaitGone(t, m, db.key("user:8"))
			daemon.stop(t)
		}
	})
}

// A value that no image has is a gap, with what mends it for the future.
func TestValueThatNoImageHasIsAGap(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		s.exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}", "email:{email}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s.settle(t, m)
		fill(t, m, db.keys("email:a", "email:b")...)
		s.exec(t, "SET SESSION binlog_row_image = MINIMAL")
		s.exec(t, "UPDATE users SET email = 'b'")
		daemon.failed(t, 3, "email:{email}", "column email", "the row's images lack its value", "binlog_row_image = FULL")
		// What was logged stays as it was: only a flush gets past it.
		daemon = cfg.daemon(t, "--on-gap", "flush")
		awaitGone(t, m, db.keys("email:a", "email:b")...)
		daemon.says(t, "flushed; going on")
		s.exec(t, "SET SESSION binlog_row_image = FULL")
		fill(t, m, db.keys("email:b", "email:c")...)
		s.exec(t, "UPDATE users SET email = 'c'")
		awaitGone(t, m, db.keys("email:b", "email:c")...)
		daemon.stop(t)
	})
}

// Changes that no row tells of are said, with the table.
func TestChangesWithoutRowsAreSaid(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s.exec(t, "TRUNCATE users")
		daemon.says(t, "changed without row images.*table="+db.schema+".users")
		s.settle(t, m)
		daemon.stop(t)
	})
}

// Rules' keys of an XA transaction leave when it is committed, and not when it is
// rolled back.
func TestRulesSeeXATransactions(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		if db.mysql() {
			db.exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+user+"'@'%'")
		}
		m := newCache(t)
		db.exec(t, users)
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		keys := db.keys("user:1", "user:2")
		fill(t, m, keys...)
		for i, xid := range []string{"one", "two"} {
			s := db.session(t)
			s.exec(t, "XA START '"+xid+"'")
			s.exec(t, fmt.Sprintf("INSERT INTO users VALUES (%d, 'a', 'x')", i+1))
			s.exec(t, "XA END '"+xid+"'")
			s.exec(t, "XA PREPARE '"+xid+"'")
			s.close()
		}
		db.session(t).settle(t, m)
		mustBeThere(t, m, keys...)
		db.decides(t, "XA ROLLBACK 'two'")
		db.decides(t, "XA COMMIT 'one'")
		awaitGone(t, m, keys[0])
		db.session(t).settle(t, m)
		mustBeThere(t, m, keys[1])
		daemon.stop(t)
	})
}

// The log cannot tell MariaDB's UUID from BINARY(16): a server is asked, and where
// there is none nothing is guessed.
func TestUUIDIsAskedForOrRefused(t *testing.T) {
	t.Parallel()
	db := own(t, servers.KindMariaDB, servers.Config{})
	s := db.session(t)
	s.exec(t, "CREATE TABLE devices (id UUID PRIMARY KEY, at INET6, n INT)")
	before := s.executed(t)
	s.exec(t, "INSERT INTO devices VALUES ('f47ac10b-58cc-4372-a567-0e02b2c3d479', '2001:db8::1', 7)")
	cfg := configure(t, db.url(), "rules:", db.rules("devices", "d:{id}", "at:{at}", "n:{n}"))
	replay := func(status int, want []string, args ...string) *process {
		t.Helper()
		p := mcsqueal(t, append([]string{"replay", "--dry-run", "--config", cfg.path}, args...)...)
		var got []string
		for _, l := range lines(t, p) {
			got = append(got, l.Key)
		}
		if p.status != status || !slices.Equal(got, want) {
			t.Errorf("exit status %d, got %q, want %d and %q: %s", p.status, got, status, want, p.stderr.String())
		}
		return p
	}
	grant := "GRANT SELECT ON `" + db.schema + "`.`devices`"
	p := replay(1, db.keys("n:7"), "--from", "gtid:"+before)
	if len(p.said("keys are missing.*BINARY.*"+grant)) == 0 {
		t.Errorf("it does not say what mends it: %s", p.stderr.String())
	}
	files, err := db.LogFiles()
	if err != nil {
		t.Fatal(err)
	}
	p = replay(1, db.keys("n:7"), append([]string{"--files"}, files...)...)
	if len(p.said("keys are missing.*BINARY.*no server to ask")) == 0 {
		t.Errorf("it does not say why: %s", p.stderr.String())
	}
	db.grant(t)
	replay(0, db.keys("d:f47ac10b-58cc-4372-a567-0e02b2c3d479", "at:2001:db8::1", "n:7"), "--from", "gtid:"+before)
}

// Without tags nobody needs the statements' text.
func TestRulesAloneNeedNoText(t *testing.T) {
	t.Parallel()
	for kind, variable := range map[servers.Kind]string{
		servers.KindMySQL:   "binlog_rows_query_log_events",
		servers.KindMariaDB: "binlog_annotate_row_events",
	} {
		t.Run(nameOf(kind), func(t *testing.T) {
			t.Parallel()
			db := own(t, kind, servers.Config{Args: []string{"--" + variable + "=OFF"}})
			db.exec(t, users)
			db.grant(t)
			m := newCache(t)
			clusters := []string{"clusters:", cluster("east", "servers", m.Addr())}
			rules := []string{"rules:", db.rules("users", "user:{id}")}
			both := configure(t, db.url(), slices.Concat(rules, clusters)...)
			mcsqueal(t, "run", "--config", both.path).failed(t, 1, variable+" is OFF")
			cfg := configure(t, db.url(), slices.Concat([]string{"tags: []"}, rules, clusters)...)
			daemon := cfg.daemon(t)
			fill(t, m, db.key("user:1"))
			db.exec(t, "INSERT INTO users VALUES (1, 'a', 'Ann')")
			awaitGone(t, m, db.key("user:1"))
			if said := daemon.said("statement text|without their statement's text"); len(said) > 0 {
				t.Errorf("it says %q", said)
			}
			daemon.stop(t)
		})
	}
}
