package promises

import (
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// An idle source says every five seconds that it is alive. A source that says nothing
// for longer than two of those is taken for dead, and connected to again; that is
// silent for less is not.

// noticed is how soon silence must be noticed, on a busy machine.
const noticed = 11*time.Second + 10*time.Second

func TestFrozenSourceIsNoticed(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, m)
		thaw := freeze(t, db.Instance)
		began := time.Now()
		daemon.says(t, "the source is lost; connecting again.*sent nothing for 11s, not even a heartbeat")
		if took := time.Since(began); took > noticed {
			t.Errorf("it took %v to notice that the source is frozen, want at most %v", took, noticed)
		}
		thaw()
		for range 3 {
			db.settle(t, m)
		}
		daemon.stop(t)
	})
}

// A router on the way that forgets its connections drops what comes, without a word.
func TestSwallowedConnectionToTheSourceIsNoticed(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		m := newCache(t)
		way := newWire(t, db.Addr())
		cfg := configure(t, from(db.through(way)), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, m)
		way.swallow(t, "downstream")
		began := time.Now()
		missed := db.keys("missed", 20)
		fill(t, m, missed...)
		for _, key := range missed {
			db.commit(t, key)
		}
		daemon.says(t, "the source is lost; connecting again.*sent nothing for 11s, not even a heartbeat")
		if took := time.Since(began); took > noticed {
			t.Errorf("it took %v to notice that nothing comes through, want at most %v", took, noticed)
		}
		mustBeThere(t, m, missed...)
		way.restore(t, "timeout")
		awaitGone(t, m, missed...)
		db.settle(t, m)
		daemon.stop(t)
	})
}

// A source that merely has nothing to say is not lost.
func TestIdleSourceIsNotLost(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, m)
		hold(t, 2*5*time.Second+4*time.Second)
		daemon.mustNotHaveSaid(t, "the source is lost")
		db.settle(t, m)
		daemon.stop(t)
	})
}

// textSetting is what puts statements' text into the log.
func textSetting(db *source) string {
	if db.mysql() {
		return "binlog_rows_query_log_events"
	}
	return "binlog_annotate_row_events"
}

// A session, or somebody for all that come, turns the text of statements off: their
// tags are not in the log any more, and nothing else would say so.
func TestMissingStatementTextIsSaid(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		setting := textSetting(db)
		m := newCache(t)
		lines := []string{from(db.url()), to(cluster("east", "servers", m.Addr()))}
		cfg := configure(t, lines...)
		daemon := cfg.daemon(t)
		db.settle(t, m)
		daemon.mustNotHaveSaid(t, "rows without their statement's text")

		c := db.session(t)
		c.exec(t, "SET SESSION "+setting+" = OFF")
		key := db.key("unnamed")
		fill(t, m, key)
		c.commit(t, key)
		daemon.says(t, "rows without their statement's text: tags in it are not seen.*log=bin.* mend=\"SET (PERSIST|GLOBAL) "+setting+" = ON")
		db.settle(t, m)
		mustBeThere(t, m, key)

		// Off for everybody: found when the daemon connects again, and at a start.
		db.exec(t, "SET GLOBAL "+setting+" = OFF")
		restartReplica(t, db)
		daemon.says(t, "statement text is off: tags do not arrive.*"+setting)
		daemon.stop(t)
		cfg.run(t).fails(t, 1, setting+" is OFF", "mend it with: SET ", setting+" = ON")
	})
}

// restartReplica ends mcsqueal's dump, so that it connects again.
func restartReplica(t *testing.T, db *source) {
	t.Helper()
	for _, row := range db.rows(t, "SHOW PROCESSLIST") {
		if row[1] == user && strings.HasPrefix(row[4], "Binlog Dump") {
			db.exec(t, "KILL "+row[0])
			return
		}
	}
	t.Fatalf("%s: mcsqueal has no dump", db)
}

// A replica that does not log what it replicates has nothing to be tailed for.
func TestReplicaThatDoesNotLogIsSaid(t *testing.T) {
	for kind, arg := range map[servers.Kind]string{
		servers.KindMySQL:   "--log-replica-updates=OFF",
		servers.KindMariaDB: "--log-slave-updates=OFF",
	} {
		t.Run(nameOf(kind), func(t *testing.T) {
			t.Parallel()
			first := own(t, kind, servers.Config{})
			replica := start(t, kind, servers.Config{Args: []string{arg}})
			if err := replica.ReplicateFrom(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			// The schema and the user come with what is replicated, a little later.
			await(t, "the user is replicated", func() bool {
				var users int
				query := "SELECT COUNT(*) FROM mysql.user WHERE user = '" + user + "'"
				if err := replica.DB().QueryRowContext(t.Context(), query).Scan(&users); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				return users == 1
			})
			second := first.on(t, replica)
			cfg := configure(t, from(second.url()), to(cluster("east", "servers", newCache(t).Addr())))
			daemon := cfg.daemon(t)
			daemon.says(t, "the source is a replica that does not log what it replicates.*log_replica_updates = ON")
			daemon.stop(t)
		})
	}
}

// MariaDB's log does not say how a session reads its statements: the server's defaults
// hold, as they are when the dump begins, and not as they were when the daemon did.
func TestServersDefaultsAreLearntWithEachDump(t *testing.T) {
	t.Parallel()
	db := own(t, servers.KindMariaDB, servers.Config{})
	m := newCache(t)
	cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
	db.exec(t, "CREATE TABLE texts (v TEXT, w TEXT)")
	daemon := cfg.daemon(t)
	db.settle(t, m)
	db.exec(t, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
	restartReplica(t, db)
	daemon.says(t, "the source is lost; connecting again")
	c := db.session(t)
	c.exec(t, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'") // as a session has it that begins now
	key, forged := db.key("real"), db.key("forged")
	fill(t, m, key, forged)
	c.exec(t, `INSERT `+tag(key)+` INTO texts VALUES ('a\', '/* mc: `+forged+` */')`)
	awaitGone(t, m, key)
	db.settle(t, m)
	mustBeThere(t, m, forged)
	daemon.stop(t)
}
