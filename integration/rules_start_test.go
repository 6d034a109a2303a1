package integration

import (
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A log without rows is said where there are rules, and what tags lose by it only where
// there are tags.
func TestALogWithoutRowsIsSaidAtStart(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		db.exec(t, users)
		set := "SET PERSIST binlog_format = ROW"
		if !db.mysql() {
			set = "SET GLOBAL binlog_format = ROW"
		}
		const forTags = "statements in statement format carry tags too"
		ruled := []string{"rules:", db.rules("users", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr())}
		db.exec(t, "SET GLOBAL binlog_format = STATEMENT")
		mcsqueal(t, "run", "--config", configure(t, db.url(), ruled...).path).failed(t, 1, "binlog_format is STATEMENT", set, "already connected")
		if p := configure(t, db.url(), ruled...).replay(t, "--dry-run", "--from", "now"); p.status != 0 || len(p.said("binlog_format is STATEMENT")) != 1 {
			t.Errorf("replay: exit status %d: %s", p.status, p.stderr.String())
		}
		tagged := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr())).daemon(t)
		tagged.says(t, forTags)
		tagged.stop(t)
		db.exec(t, "SET GLOBAL binlog_format = MIXED")
		daemon := configure(t, db.url(), append([]string{"tags: []"}, ruled...)...).daemon(t)
		if said := daemon.said("binlog_format is MIXED"); len(said) != 1 || !strings.Contains(said[0], db.schema+".users") || !strings.Contains(said[0], set) {
			t.Errorf("MIXED is not said: %s", daemon.stderr.String())
		}
		if len(daemon.said(forTags)) != 0 {
			t.Errorf("there are no tags: %s", daemon.stderr.String())
		}
		daemon.stop(t)
	})
}

// A rule's table that the log can never name so is said at start.
func TestNamesThatTheLogNeverHasAreSaidAtStart(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		m := newCache(t)
		s := db.session(t)
		s.exec(t, users)
		s.exec(t, "CREATE VIEW v AS SELECT id FROM users")
		s.exec(t, "CREATE TABLE `with.dot` (id INT PRIMARY KEY)")
		with := func(rules ...string) *settings {
			return configure(t, db.url(), append(append([]string{"rules:"}, rules...), "clusters:", cluster("east", "servers", m.Addr()))...)
		}
		mcsqueal(t, "run", "--config", with(db.rules("v", "v:{id}")).path).failed(t, 2, "rule "+db.schema+".v", "is a view", "tables behind it")
		daemon := with(db.rules("Users", "u:{id}"), db.rules("with?dot", "d:{id}")).daemon(t)
		daemon.says(t, "differs in case, which counts.*there_is="+db.schema+".users")
		fill(t, m, db.key("d:1"))
		s.exec(t, "INSERT INTO `with.dot` VALUES (1)")
		awaitGone(t, m, db.key("d:1"))
		daemon.stop(t)
	})
	// A MySQL would have to be made so from the beginning.
	t.Run("in lower case", func(t *testing.T) {
		t.Parallel()
		db := own(t, servers.KindMariaDB, servers.Config{Args: []string{"--lower-case-table-names=1"}})
		db.grant(t)
		m := newCache(t)
		db.exec(t, "CREATE TABLE Users (id INT PRIMARY KEY)")
		for _, table := range []string{"Users", "U*"} {
			cfg := configure(t, db.url(), "rules:", db.rules(table, "u:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
			mcsqueal(t, "run", "--config", cfg.path).failed(t, 2, "lower_case_table_names = 1", "write "+db.schema+"."+strings.ToLower(table))
		}
	})
}
