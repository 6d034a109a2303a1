package integration

import (
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A log without rows is said where there are rules, and what tags lose by it only where
// there are tags.
func TestALogWithoutRowsIsSaidAtStart(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		db.Exec(t, users)
		set := "SET PERSIST binlog_format = ROW"
		if !db.IsMySQL() {
			set = "SET GLOBAL binlog_format = ROW"
		}
		const forTags = "statements in statement format carry tags too"
		ruled := []string{"rules:", rule(db, "users", "user:{id}"), "clusters:", cluster("east", "servers", m.Addr())}
		db.Exec(t, "SET GLOBAL binlog_format = STATEMENT")
		harness.Mcsqueal(t, "run", "--config", harness.Configure(t, db.SourceURL(), ruled...).Path).MustEnd(t, 1, "binlog_format is STATEMENT", set, "already connected")
		if p := harness.Configure(t, db.SourceURL(), ruled...).Replay(t, "--dry-run", "--from", "now"); p.Status() != 0 || len(p.Said("binlog_format is STATEMENT")) != 1 {
			t.Errorf("replay: exit status %d: %s", p.Status(), p.Stderr.String())
		}
		tagged := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr())).Daemon(t)
		tagged.Says(t, forTags)
		tagged.Stop(t)
		db.Exec(t, "SET GLOBAL binlog_format = MIXED")
		daemon := harness.Configure(t, db.SourceURL(), append([]string{"tags: []"}, ruled...)...).Daemon(t)
		if said := daemon.Said("binlog_format is MIXED"); len(said) != 1 || !strings.Contains(said[0], db.Schema+".users") || !strings.Contains(said[0], set) {
			t.Errorf("MIXED is not said: %s", daemon.Stderr.String())
		}
		if len(daemon.Said(forTags)) != 0 {
			t.Errorf("there are no tags: %s", daemon.Stderr.String())
		}
		daemon.Stop(t)
	})
}

// A rule's table that the log can never name so is said at start.
func TestNamesThatTheLogNeverHasAreSaidAtStart(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		m := harness.NewCache(t)
		s := db.Session(t)
		s.Exec(t, users)
		s.Exec(t, "CREATE VIEW v AS SELECT id FROM users")
		s.Exec(t, "CREATE TABLE `with.dot` (id INT PRIMARY KEY)")
		with := func(rules ...string) *harness.Settings {
			return harness.Configure(t, db.SourceURL(), append(append([]string{"rules:"}, rules...), "clusters:", cluster("east", "servers", m.Addr()))...)
		}
		harness.Mcsqueal(t, "run", "--config", with(rule(db, "v", "v:{id}")).Path).MustEnd(t, 2, "rule "+db.Schema+".v", "is a view", "tables behind it")
		daemon := with(rule(db, "Users", "u:{id}"), rule(db, "with?dot", "d:{id}")).Daemon(t)
		daemon.Says(t, "differs in case, which counts.*there_is="+db.Schema+".users")
		m.Fill(t, db.Key("d:1"))
		s.Exec(t, "INSERT INTO `with.dot` VALUES (1)")
		m.AwaitGone(t, db.Key("d:1"))
		daemon.Stop(t)
	})
	// A MySQL would have to be made so from the beginning.
	t.Run("in lower case", func(t *testing.T) {
		t.Parallel()
		db := harness.Own(t, servers.KindMariaDB, servers.Config{Args: []string{"--lower-case-table-names=1"}})
		grantSelect(t, db)
		m := harness.NewCache(t)
		db.Exec(t, "CREATE TABLE Users (id INT PRIMARY KEY)")
		for _, table := range []string{"Users", "U*"} {
			cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, table, "u:{id}"), "clusters:", cluster("east", "servers", m.Addr()))
			harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 2, "lower_case_table_names = 1", "write "+db.Schema+"."+strings.ToLower(table))
		}
	})
}
