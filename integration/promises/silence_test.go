package promises

import (
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// An idle source says every five seconds that it is alive. A source that says nothing
// for longer than two of those is taken for dead, and connected to again; that is
// silent for less is not.

func TestFrozenSourceIsNoticed(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		thaw := freeze(t, db.Instance)
		daemon.Says(t, "the source is lost; connecting again.*sent nothing for 11s, not even a heartbeat")
		thaw()
		for range 3 {
			db.Settle(t, m)
		}
		daemon.Stop(t)
	})
}

// A router on the way that forgets its connections drops what comes, without a word.
func TestSwallowedConnectionToTheSourceIsNoticed(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		way := harness.NewWire(t, db.Addr())
		cfg := harness.Configure(t, db.Through(way), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		way.Swallow(t, "downstream")
		missed := db.Numbered("missed", 20)
		m.Fill(t, missed...)
		for _, key := range missed {
			db.Commit(t, key)
		}
		daemon.Says(t, "the source is lost; connecting again.*sent nothing for 11s, not even a heartbeat")
		m.MustHave(t, missed...)
		way.Restore(t, "timeout")
		m.AwaitGone(t, missed...)
		db.Settle(t, m)
		daemon.Stop(t)
	})
}

// A source that merely has nothing to say is not lost.
func TestIdleSourceIsNotLost(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		hold(t, 2*5*time.Second+4*time.Second)
		daemon.MustNotHaveSaid(t, "the source is lost")
		db.Settle(t, m)
		daemon.Stop(t)
	})
}

// textSetting is what puts statements' text into the log.
func textSetting(db *harness.Database) string {
	if db.IsMySQL() {
		return "binlog_rows_query_log_events"
	}
	return "binlog_annotate_row_events"
}

// A session, or somebody for all that come, turns the text of statements off: their
// tags are not in the log any more, and nothing else would say so.
func TestMissingStatementTextIsSaid(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		setting := textSetting(db)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		daemon.MustNotHaveSaid(t, "rows without their statement's text")

		c := db.Session(t)
		c.Exec(t, "SET SESSION "+setting+" = OFF")
		key := db.Key("unnamed")
		m.Fill(t, key)
		c.Commit(t, key)
		daemon.Says(t, "rows without their statement's text: tags in it are not seen.*log=bin.* mend=\"SET (PERSIST|GLOBAL) "+setting+" = ON")
		db.Settle(t, m)
		m.MustHave(t, key)

		// Off for everybody: found when the daemon connects again, and at a start.
		db.Exec(t, "SET GLOBAL "+setting+" = OFF")
		restartReplica(t, db)
		daemon.Says(t, "statement text is off: tags do not arrive.*"+setting)
		daemon.Stop(t)
		cfg.Run(t).MustEnd(t, 1, setting+" is OFF", "mend it with: SET ", setting+" = ON")
	})
}

// restartReplica ends mcsqueal's dump, so that it connects again.
func restartReplica(t *testing.T, db *harness.Database) {
	t.Helper()
	// It may be about to connect just now, or to end by itself.
	harness.Await(t, "mcsqueal has a dump, which is ended", func() bool {
		for row := range db.Rows(t, "SHOW PROCESSLIST") {
			if row["User"] == harness.User && strings.HasPrefix(row["Command"], "Binlog Dump") {
				_, err := db.Pool.ExecContext(t.Context(), "KILL "+row["Id"])
				return err == nil
			}
		}
		return false
	})
}

// A replica that does not log what it replicates has nothing to be tailed for.
func TestReplicaThatDoesNotLogIsSaid(t *testing.T) {
	for kind, arg := range map[servers.Kind]string{
		servers.KindMySQL:   "--log-replica-updates=OFF",
		servers.KindMariaDB: "--log-slave-updates=OFF",
	} {
		t.Run(kind.Name(), func(t *testing.T) {
			t.Parallel()
			first := harness.Own(t, kind, servers.Config{})
			replica := servers.Start(t, kind, servers.Config{Args: []string{arg}})
			if err := replica.ReplicateFrom(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			// The schema and the user come with what is replicated, a little later.
			harness.Await(t, "the user is replicated", func() bool {
				var users int
				query := "SELECT COUNT(*) FROM mysql.user WHERE user = '" + harness.User + "'"
				if err := replica.DB().QueryRowContext(t.Context(), query).Scan(&users); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				return users == 1
			})
			second := first.On(t, replica)
			cfg := harness.Configure(t, second.SourceURL(), to(cluster("east", "servers", harness.NewCache(t).Addr())))
			daemon := cfg.Daemon(t)
			daemon.Says(t, "the source is a replica that does not log what it replicates.*log_replica_updates = ON")
			daemon.Stop(t)
		})
	}
}

// MariaDB's log does not say how a session reads its statements: the server's defaults
// hold, as they are when the dump begins, and not as they were when the daemon did.
func TestServersDefaultsAreLearntWithEachDump(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMariaDB, servers.Config{})
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
	db.Exec(t, "CREATE TABLE texts (v TEXT, w TEXT)")
	daemon := cfg.Daemon(t)
	db.Settle(t, m)
	db.Exec(t, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
	restartReplica(t, db)
	daemon.Says(t, "the source is lost; connecting again")
	c := db.Session(t)
	c.Exec(t, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'") // as a session has it that begins now
	key, forged := db.Key("real"), db.Key("forged")
	m.Fill(t, key, forged)
	c.Exec(t, `INSERT `+harness.Tag(key)+` INTO texts VALUES ('a\', '/* mc: `+forged+` */')`)
	m.AwaitGone(t, key)
	db.Settle(t, m)
	m.MustHave(t, forged)
	daemon.Stop(t)
}
