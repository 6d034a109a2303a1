package promises

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// What happens to the log while the daemon is down must be found at its start: going
// on would skip, in silence, what was written meanwhile.
func TestWhatIsGoneFromTheLogIsNeverSkippedInSilence(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		pick := func(mysql, mariadb string) string {
			if db.IsMySQL() {
				return mysql
			}
			return mariadb
		}
		for _, c := range []struct {
			name string
			// lose does something to the log that holds a few transactions behind the
			// daemon's position, which is not in its first file.
			lose func(t *testing.T, db *harness.Database)
			says string
		}{
			{
				"purged", func(t *testing.T, db *harness.Database) { db.Rotate(t); db.Purge(t) },
				pick("it has purged log files that are still needed", "the server refuses to go on from there"),
			},
			{
				"reset", func(t *testing.T, db *harness.Database) { db.Reset(t) },
				"it has not executed all that has been delivered already",
			},
			{
				// Only the file's time of creation tells: name, offset and GTIDs are there.
				"reset, and written as far again", func(t *testing.T, db *harness.Database) {
					far := db.GTIDs(t)
					files := len(db.Logs(t))
					db.Reset(t)
					hold(t, nextSecond)
					for len(db.Logs(t)) < files {
						db.Rotate(t)
					}
					writePast(t, db, func() bool { return db.GTIDs(t).Covers(far) })
				},
				"its log was reset",
			},
			{
				// Not even the file is there any more.
				"reset, written as far again, and purged", func(t *testing.T, db *harness.Database) {
					far := db.GTIDs(t)
					files := len(db.Logs(t))
					db.Reset(t)
					hold(t, nextSecond)
					for len(db.Logs(t)) <= files {
						db.Rotate(t)
					}
					first := db.Logs(t)[files]
					writePast(t, db, func() bool { return db.GTIDs(t).Covers(far) })
					db.Exec(t, "PURGE BINARY LOGS TO '"+first+"'")
				},
				"its log was reset",
			},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := harness.NewCache(t)
				cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
				db.Rotate(t)
				daemon := cfg.Daemon(t)
				db.Settle(t, m)
				daemon.Stop(t)
				at := cfg.Position(t, "east")

				keys := db.Numbered("missed", 20)
				m.Fill(t, keys...)
				for _, key := range keys {
					db.Commit(t, key)
				}
				c.lose(t, db)
				daemon = cfg.Run(t)
				daemon.MustEnd(t, 3, "every cluster waits for a decision about a gap", "cluster east: gap: "+db.Addr(), at.String(), c.says)
				daemon.Says(t, "this cluster stops until somebody decides.*ways_on=.*checkpoint set --cluster east --to now.*--on-gap flush")
				m.MustHave(t, keys...)
				if now := cfg.Position(t, "east"); !now.Equal(at) {
					t.Errorf("the position has moved from %s to %s", at, now)
				}

				// The way on that it names: the keys are lost, the flush is theirs who decide.
				cfg.SetCheckpoint(t, "east", "now")
				daemon = cfg.Daemon(t)
				db.Settle(t, m)
				daemon.Stop(t)
			})
		}
	})
}

// nextSecond is how long it takes until a file is made in another second.
const nextSecond = 1100e6

// writePast writes until the log has come far enough.
func writePast(t *testing.T, db *harness.Database, far func() bool) {
	t.Helper()
	for !far() {
		for range 20 {
			db.Commit(t, db.Key("other"))
		}
	}
	for range 20 {
		db.Commit(t, db.Key("other"))
	}
}

// A backup that takes the server's place brings an older end of the log with it, and
// then writes what was never read under the same file names and GTIDs.
func TestRestoredBackupIsAGap(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		db.Commit(t, db.Key("backed-up"))
		kill(t, db)
		backup := filepath.Join(t.TempDir(), "backup")
		if err := os.CopyFS(backup, os.DirFS(db.DataDir())); err != nil {
			t.Fatal(err)
		}
		restart(t, db)
		daemon := cfg.Daemon(t)
		for range 30 {
			db.Settle(t, m)
		}
		daemon.Stop(t)
		at, far := cfg.Position(t, "east"), db.GTIDs(t)

		kill(t, db)
		if err := os.RemoveAll(db.DataDir()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(db.DataDir(), os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		// Files of one name are told apart by the second in which they were made.
		harness.Await(t, "the next second", func() bool { return time.Now().Unix() > at.File.Created.Unix() })
		restart(t, db)
		missed := db.Key("missed")
		m.Fill(t, missed)
		cfg.Run(t).MustEnd(t, 3, "gap", at.String())
		db.Commit(t, missed)
		writePast(t, db, func() bool { return db.GTIDs(t).Covers(far) })
		cfg.Run(t).MustEnd(t, 3, "gap", at.String(), "its log was reset")
		m.MustHave(t, missed)
	})
}

// The position of one server says nothing on another, which has never seen the
// transactions.
func TestAnotherServerIsAGap(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		one, other := harness.Own(t, kind, servers.Config{}), harness.Own(t, kind, servers.Config{})
		m := harness.NewCache(t)
		cfg := harness.Configure(t, one.SourceURL(), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		one.Settle(t, m)
		daemon.Stop(t)
		at := cfg.Position(t, "east")
		writePast(t, other, func() bool { return true })
		cfg.Write(t, other.SourceURL(), to(cluster("east", "servers", m.Addr())))
		cfg.Run(t).MustEnd(t, 3, "gap", other.Addr(), at.String())
	})
}

// One cluster's gap parks that one alone.
func TestGapParksItsClusterAlone(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, east, west)
		daemon.Stop(t)
		missed := db.Key("missed")
		east.Fill(t, missed)
		west.Fill(t, missed)
		db.Commit(t, missed)
		db.Rotate(t)
		db.Purge(t)
		cfg.SetCheckpoint(t, "west", "now")
		at := cfg.Position(t, "east")

		daemon = cfg.Daemon(t)
		daemon.Says(t, "this cluster stops until somebody decides; the others go on.* cluster=east")
		for range 3 {
			db.Settle(t, west)
		}
		done := db.GTIDs(t)
		cfg.AwaitPosition(t, "west", done)
		east.MustHave(t, missed)
		if now := cfg.Position(t, "east"); !now.Equal(at) {
			t.Errorf("the parked cluster's position has moved from %s to %s", at, now)
		}
		daemon.Stop(t)

		// Now neither is left.
		db.Commit(t, missed)
		db.Rotate(t)
		db.Purge(t)
		daemon = cfg.Run(t)
		daemon.MustEnd(t, 3, "cluster east: gap:", "cluster west: gap:")
	})
}

// With on_gap: flush everything goes that may be stale, and nothing that comes later.
func TestGapFlushesEveryServerTwiceAndGoesOn(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		backends := []*harness.Cache{harness.NewCache(t), harness.NewCache(t)}
		router := harness.AsCache(servers.Proxy(t, servers.ProxyConfig{Backends: []string{backends[0].Addr(), backends[1].Addr()}}))
		whole := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "on_gap: flush", to(
			cluster("routed", "routers", router.Addr(), fmt.Sprintf("flush: [%s, %s]", backends[0].Addr(), backends[1].Addr()), patient),
			cluster("plain", "servers", whole.Addr(), patient)))
		daemon := cfg.Daemon(t)
		db.Settle(t, whole)
		daemon.Stop(t)
		missed := db.Numbered("missed", 50)
		for _, m := range append(backends, whole) {
			m.Fill(t, missed...)
		}
		for _, key := range missed {
			db.Commit(t, key)
		}
		db.Rotate(t)
		db.Purge(t)
		done := db.GTIDs(t)

		// Nothing more is written: an idle source, too, must tell that now is visible.
		daemon = cfg.Daemon(t)
		daemon.SaysTimes(t, 2, "flushed; going on")
		for _, m := range append(backends, whole) {
			m.MustLack(t, missed...)
			if n := m.Stat(t, "cmd_flush"); n != 2 {
				t.Errorf("%s was flushed %d times, want twice", m, n)
			}
		}
		// The position is on disk before anything is delivered from it.
		for _, name := range []string{"routed", "plain"} {
			if !cfg.Has(t, name, done) {
				t.Errorf("cluster %s goes on from %s, which is not on disk", name, cfg.Position(t, name))
			}
		}
		daemon.Kill(t)

		// What comes later is deleted, and nothing else: there is no gap any more.
		kept, later := db.Numbered("kept", 20), db.Numbered("later", 20)
		router.Fill(t, append(kept, later...)...)
		whole.Fill(t, append(kept, later...)...)
		for _, key := range later {
			db.Commit(t, key)
		}
		daemon = cfg.Daemon(t)
		router.AwaitGone(t, later...)
		whole.AwaitGone(t, later...)
		router.MustHave(t, kept...)
		whole.MustHave(t, kept...)
		daemon.MustNotHaveSaid(t, `msg="a gap`)
		daemon.Stop(t)
	})
}

// Caches that cannot be flushed are waited for, and nobody else waits with them.
func TestFlushForAGapWaitsForTheCaches(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		way := harness.NewWire(t, east.Addr())
		cfg := harness.Configure(t, db.SourceURL(), "on_gap: flush", to(
			cluster("east", "servers", east.Addr(), "flush: ["+way.Addr()+"]"), cluster("west", "servers", west.Addr())))
		for _, name := range []string{"east", "west"} {
			cfg.SetCheckpoint(t, name, "now")
			// Without a source that could be asked whether there is such a place.
			if p := harness.Mcsqueal(t, "checkpoint", "set", "--state-dir", cfg.StateDir, "--cluster", name, "--to", noSuchPlace(db)); p.Wait(t) != 0 {
				t.Fatalf("checkpoint set: exit status %d", p.Wait(t))
			}
		}
		stale := db.Key("stale")
		east.Fill(t, stale)
		west.Fill(t, stale)
		way.Cut()
		daemon := cfg.Daemon(t)
		daemon.Says(t, "the flush for a gap has failed; the cluster waits for it.* cluster=east")
		daemon.Says(t, "flushed; going on.* cluster=west")
		west.MustLack(t, stale)
		east.MustHave(t, stale)
		for range 3 {
			db.Settle(t, west)
		}
		way.Mend(t)
		daemon.SaysTimes(t, 2, "flushed; going on")
		east.MustLack(t, stale)
		db.Settle(t, east, west)
		daemon.Stop(t)
	})
}

// noSuchPlace is a position with what the server has never executed.
func noSuchPlace(db *harness.Database) string {
	if db.IsMySQL() {
		return "gtid:00000000-0000-0000-0000-0000000000ff:1-7"
	}
	return "gtid:0-4294967295-7000000000"
}

// A dump does not hear of it when somebody resets the log: it stays at the end of a
// file that is gone, or goes on in one that has begun since.
func TestLogResetUnderARunningDaemonIsAGap(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		for _, c := range []struct {
			name  string
			after func(t *testing.T)
		}{
			{"and left so", func(*testing.T) {}},
			{"and written to", func(t *testing.T) { writePast(t, db, func() bool { return true }) }},
			{"and rotated", func(t *testing.T) { db.Commit(t, db.Key("other")); db.Rotate(t) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := harness.NewCache(t)
				cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
				daemon := cfg.Daemon(t)
				for range 5 {
					db.Settle(t, m)
				}
				db.Reset(t)
				c.after(t)
				daemon.MustEnd(t, 3, "cluster east: gap")
			})
		}
	})
}

func TestResetLogIsGoneOnWithAfterAFlush(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "on_gap: flush", to(cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr())))
		daemon := cfg.Daemon(t)
		for range 10 {
			db.Settle(t, east, west)
		}
		db.Reset(t)
		db.Commit(t, db.Key("first"))
		db.Rotate(t)
		daemon.SaysTimes(t, 2, "flushed; going on")
		for range 3 {
			db.Settle(t, east, west)
		}
		done := db.GTIDs(t)
		for _, name := range []string{"east", "west"} {
			harness.Await(t, name+" stands where the new log does", func() bool { return done.Covers(cfg.Position(t, name).GTIDs) && cfg.Has(t, name, done) })
		}
		daemon.Kill(t)
		daemon = cfg.Daemon(t)
		db.Settle(t, east, west)
		daemon.MustNotHaveSaid(t, `msg="a gap`)
		daemon.Stop(t)
	})
}

// A cluster that takes nothing lets the Log fill up, and the dump is closed. What is
// purged meanwhile is missed when it is to be resumed.
func TestLogPurgedUnderAPausedDumpIsAGap(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "log_bytes: 64KiB", to(cluster("east", "servers", m.Addr(), "timeout: 1s")))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		thaw := freeze(t, m.Instance)
		keys := db.Numbered("k", 4000)
		for len(daemon.Said("the dump is closed until half of it is free")) == 0 {
			for i := 0; i < len(keys); i += 200 {
				db.Commit(t, keys[i:i+200]...)
			}
		}
		db.Commit(t, db.Key("missed"))
		db.Rotate(t)
		db.Purge(t)
		thaw()
		what := "it has purged log files that are still needed: missing "
		if !db.IsMySQL() {
			what = "the server refuses to go on from there: ERROR 1236"
		}
		daemon.MustEnd(t, 3, "cluster east: gap", what)
	})
}

// Two daemons whose dumps are called the same end each other's, for which MySQL has the
// error of a log that is gone. The log is there: nobody's caches are flushed for it, and
// everything comes, between one end and the next.
func TestADumpOfTheSameNameIsNoGap(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		start := func(name string, m *harness.Cache) *harness.Process {
			return harness.Configure(t, db.SourceURL(), "on_gap: flush", to(cluster(name, "servers", m.Addr()))).Daemon(t, "--server-id", fmt.Sprint(4711+db.ServerID()))
		}
		stays := db.Key("stays")
		east.Fill(t, stays)
		west.Fill(t, stays)
		one := start("east", east)
		db.Settle(t, east)
		other := start("west", west)
		for range 3 {
			db.Settle(t, east, west)
		}
		for _, daemon := range []*harness.Process{one, other} {
			daemon.Says(t, `the source is lost; connecting again.*another one from \S+ has server_id \d+, too; give one of the daemons another source.server_id`)
			daemon.MustNotHaveSaid(t, `msg="a gap|flush`)
			if daemon.Ended() {
				t.Errorf("it has ended, with status %d", daemon.Status())
			}
		}
		east.MustHave(t, stays)
		west.MustHave(t, stays)
		// Alone, it is in peace.
		other.Stop(t)
		one.Says(t, "the source's log is read again")
		db.Settle(t, east)
		one.Stop(t)
	})
}

func kill(t *testing.T, db *harness.Database) {
	t.Helper()
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
}

func restart(t *testing.T, db *harness.Database) {
	t.Helper()
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
