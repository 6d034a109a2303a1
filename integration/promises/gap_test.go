package promises

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// What happens to the log while the daemon is down must be found at its start: going
// on would skip, in silence, what was written meanwhile.
func TestWhatIsGoneFromTheLogIsNeverSkippedInSilence(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		pick := func(mysql, mariadb string) string {
			if db.mysql() {
				return mysql
			}
			return mariadb
		}
		for _, c := range []struct {
			name string
			// lose does something to the log that holds a few transactions behind the
			// daemon's position, which is not in its first file.
			lose func(t *testing.T, db *source)
			says string
		}{
			{
				"purged", func(t *testing.T, db *source) { db.rotate(t); db.purge(t) },
				pick("it has purged log files that are still needed", "the server refuses to go on from there"),
			},
			{
				"reset", func(t *testing.T, db *source) { db.reset(t) },
				"it has not executed all that has been delivered already",
			},
			{
				// Only the file's time of creation tells: name, offset and GTIDs are there.
				"reset, and written as far again", func(t *testing.T, db *source) {
					far := db.executed(t)
					files := len(db.logs(t))
					db.reset(t)
					hold(t, nextSecond)
					for len(db.logs(t)) < files {
						db.rotate(t)
					}
					writePast(t, db, func() bool { return db.executed(t).Covers(far) })
				},
				"its log was reset",
			},
			{
				// Not even the file is there any more.
				"reset, written as far again, and purged", func(t *testing.T, db *source) {
					far := db.executed(t)
					files := len(db.logs(t))
					db.reset(t)
					hold(t, nextSecond)
					for len(db.logs(t)) <= files {
						db.rotate(t)
					}
					first := db.logs(t)[files]
					writePast(t, db, func() bool { return db.executed(t).Covers(far) })
					db.exec(t, "PURGE BINARY LOGS TO '"+first+"'")
				},
				"its log was reset",
			},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := newCache(t)
				cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
				db.rotate(t)
				daemon := cfg.daemon(t)
				db.settle(t, m)
				daemon.stop(t)
				at := cfg.position(t, "east")

				keys := db.keys("missed", 20)
				fill(t, m, keys...)
				for _, key := range keys {
					db.commit(t, key)
				}
				c.lose(t, db)
				daemon = cfg.run(t)
				daemon.fails(t, 3, "every cluster waits for a decision about a gap", "cluster east: gap: "+db.Addr(), at.String(), c.says)
				daemon.says(t, "this cluster stops until somebody decides.*ways_on=.*checkpoint set --cluster east --to now.*--on-gap flush")
				mustBeThere(t, m, keys...)
				if now := cfg.position(t, "east"); !now.Equal(at) {
					t.Errorf("the position has moved from %s to %s", at, now)
				}

				// The way on that it names: the keys are lost, the flush is theirs who decide.
				cfg.setCheckpoint(t, "east", "now")
				daemon = cfg.daemon(t)
				db.settle(t, m)
				daemon.stop(t)
			})
		}
	})
}

// nextSecond is how long it takes until a file is made in another second.
const nextSecond = 1100e6

// writePast writes until the log has come far enough.
func writePast(t *testing.T, db *source, far func() bool) {
	t.Helper()
	for !far() {
		for range 20 {
			db.commit(t, db.key("other"))
		}
	}
	for range 20 {
		db.commit(t, db.key("other"))
	}
}

// A backup that takes the server's place brings an older end of the log with it, and
// then writes what was never read under the same file names and GTIDs.
func TestRestoredBackupIsAGap(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
		db.commit(t, db.key("backed-up"))
		kill(t, db)
		backup := filepath.Join(t.TempDir(), "backup")
		if err := os.CopyFS(backup, os.DirFS(db.DataDir())); err != nil {
			t.Fatal(err)
		}
		restart(t, db)
		daemon := cfg.daemon(t)
		for range 30 {
			db.settle(t, m)
		}
		daemon.stop(t)
		at, far := cfg.position(t, "east"), db.executed(t)

		kill(t, db)
		if err := os.RemoveAll(db.DataDir()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(db.DataDir(), os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		// Files of one name are told apart by the second in which they were made.
		await(t, "the next second", func() bool { return time.Now().Unix() > at.File.Created.Unix() })
		restart(t, db)
		missed := db.key("missed")
		fill(t, m, missed)
		cfg.run(t).fails(t, 3, "gap", at.String())
		db.commit(t, missed)
		writePast(t, db, func() bool { return db.executed(t).Covers(far) })
		cfg.run(t).fails(t, 3, "gap", at.String(), "its log was reset")
		mustBeThere(t, m, missed)
	})
}

// The position of one server says nothing on another, which has never seen the
// transactions.
func TestAnotherServerIsAGap(t *testing.T) {
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		one, other := own(t, kind, servers.Config{}), own(t, kind, servers.Config{})
		m := newCache(t)
		cfg := configure(t, from(one.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		one.settle(t, m)
		daemon.stop(t)
		at := cfg.position(t, "east")
		writePast(t, other, func() bool { return true })
		cfg.write(t, from(other.url()), to(cluster("east", "servers", m.Addr())))
		cfg.run(t).fails(t, 3, "gap", other.Addr(), at.String())
	})
}

// One cluster's gap parks that one alone.
func TestGapParksItsClusterAlone(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		east, west := newCache(t), newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, east, west)
		daemon.stop(t)
		missed := db.key("missed")
		fill(t, east, missed)
		fill(t, west, missed)
		db.commit(t, missed)
		db.rotate(t)
		db.purge(t)
		cfg.setCheckpoint(t, "west", "now")
		at := cfg.position(t, "east")

		daemon = cfg.daemon(t)
		daemon.says(t, "this cluster stops until somebody decides; the others go on.* cluster=east")
		for range 3 {
			db.settle(t, west)
		}
		done := db.executed(t)
		cfg.awaitPosition(t, "west", done)
		mustBeThere(t, east, missed)
		if now := cfg.position(t, "east"); !now.Equal(at) {
			t.Errorf("the parked cluster's position has moved from %s to %s", at, now)
		}
		daemon.stop(t)

		// Now neither is left.
		db.commit(t, missed)
		db.rotate(t)
		db.purge(t)
		daemon = cfg.run(t)
		daemon.fails(t, 3, "cluster east: gap:", "cluster west: gap:")
	})
}

// With on_gap: flush everything goes that may be stale, and nothing that comes later.
func TestGapFlushesEveryServerTwiceAndGoesOn(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		backends := []*servers.Memcached{newCache(t), newCache(t)}
		router := servers.Proxy(t, servers.ProxyConfig{Backends: []string{backends[0].Addr(), backends[1].Addr()}})
		whole := newCache(t)
		cfg := configure(t, from(db.url()), "on_gap: flush", to(
			cluster("routed", "routers", router.Addr(), fmt.Sprintf("flush: [%s, %s]", backends[0].Addr(), backends[1].Addr())),
			cluster("plain", "servers", whole.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, whole)
		daemon.stop(t)
		missed := db.keys("missed", 50)
		for _, m := range append(backends, whole) {
			fill(t, m, missed...)
		}
		for _, key := range missed {
			db.commit(t, key)
		}
		db.rotate(t)
		db.purge(t)
		done := db.executed(t)

		// Nothing more is written: an idle source, too, must tell that now is visible.
		daemon = cfg.daemon(t)
		daemon.saysTimes(t, 2, "flushed; going on")
		for _, m := range append(backends, whole) {
			mustBeGone(t, m, missed...)
			if n := number(t, m, "cmd_flush"); n != 2 {
				t.Errorf("%s was flushed %d times, want twice", m, n)
			}
		}
		// The position is on disk before anything is delivered from it.
		for _, name := range []string{"routed", "plain"} {
			if !cfg.has(t, name, done) {
				t.Errorf("cluster %s goes on from %s, which is not on disk", name, cfg.position(t, name))
			}
		}
		daemon.kill(t)

		// What comes later is deleted, and nothing else: there is no gap any more.
		kept, later := db.keys("kept", 20), db.keys("later", 20)
		fill(t, router, append(kept, later...)...)
		fill(t, whole, append(kept, later...)...)
		for _, key := range later {
			db.commit(t, key)
		}
		daemon = cfg.daemon(t)
		awaitGone(t, router, later...)
		awaitGone(t, whole, later...)
		mustBeThere(t, router, kept...)
		mustBeThere(t, whole, kept...)
		daemon.mustNotHaveSaid(t, `msg="a gap`)
		daemon.stop(t)
	})
}

// Caches that cannot be flushed are waited for, and nobody else waits with them.
func TestFlushForAGapWaitsForTheCaches(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		east, west := newCache(t), newCache(t)
		way := newWire(t, east.Addr())
		cfg := configure(t, from(db.url()), "on_gap: flush", to(
			cluster("east", "servers", east.Addr(), "flush: ["+way.addr()+"]"), cluster("west", "servers", west.Addr())))
		for _, name := range []string{"east", "west"} {
			cfg.setCheckpoint(t, name, "now")
			// Without a source that could be asked whether there is such a place.
			if p := mcsqueal(t, "checkpoint", "set", "--state-dir", cfg.stateDir, "--cluster", name, "--to", noSuchPlace(db)); p.wait(t) != 0 {
				t.Fatalf("checkpoint set: exit status %d", p.wait(t))
			}
		}
		stale := db.key("stale")
		fill(t, east, stale)
		fill(t, west, stale)
		way.cut()
		daemon := cfg.daemon(t)
		daemon.says(t, "the flush for a gap has failed; the cluster waits for it.* cluster=east")
		daemon.says(t, "flushed; going on.* cluster=west")
		mustBeGone(t, west, stale)
		mustBeThere(t, east, stale)
		for range 3 {
			db.settle(t, west)
		}
		way.mend(t)
		daemon.saysTimes(t, 2, "flushed; going on")
		mustBeGone(t, east, stale)
		db.settle(t, east, west)
		daemon.stop(t)
	})
}

// noSuchPlace is a position with what the server has never executed.
func noSuchPlace(db *source) string {
	if db.mysql() {
		return "gtid:00000000-0000-0000-0000-0000000000ff:1-7"
	}
	return "gtid:0-4294967295-7000000000"
}

// A dump does not hear of it when somebody resets the log: it stays at the end of a
// file that is gone, or goes on in one that has begun since.
func TestLogResetUnderARunningDaemonIsAGap(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		for _, c := range []struct {
			name  string
			after func(t *testing.T)
		}{
			{"and left so", func(*testing.T) {}},
			{"and written to", func(t *testing.T) { writePast(t, db, func() bool { return true }) }},
			{"and rotated", func(t *testing.T) { db.commit(t, db.key("other")); db.rotate(t) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := newCache(t)
				cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
				daemon := cfg.daemon(t)
				for range 5 {
					db.settle(t, m)
				}
				db.reset(t)
				c.after(t)
				daemon.fails(t, 3, "cluster east: gap")
			})
		}
	})
}

func TestResetLogIsGoneOnWithAfterAFlush(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		east, west := newCache(t), newCache(t)
		cfg := configure(t, from(db.url()), "on_gap: flush", to(cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr())))
		daemon := cfg.daemon(t)
		for range 10 {
			db.settle(t, east, west)
		}
		db.reset(t)
		db.commit(t, db.key("first"))
		db.rotate(t)
		daemon.saysTimes(t, 2, "flushed; going on")
		for range 3 {
			db.settle(t, east, west)
		}
		done := db.executed(t)
		for _, name := range []string{"east", "west"} {
			await(t, name+" stands where the new log does", func() bool { return done.Covers(cfg.position(t, name).GTIDs) && cfg.has(t, name, done) })
		}
		daemon.kill(t)
		daemon = cfg.daemon(t)
		db.settle(t, east, west)
		daemon.mustNotHaveSaid(t, `msg="a gap`)
		daemon.stop(t)
	})
}

// A cluster that takes nothing lets the Log fill up, and the dump is closed. What is
// purged meanwhile is missed when it is to be resumed.
func TestLogPurgedUnderAPausedDumpIsAGap(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), "log_bytes: 64KiB", to(cluster("east", "servers", m.Addr(), "timeout: 1s")))
		daemon := cfg.daemon(t)
		db.settle(t, m)
		thaw := freeze(t, m.Instance)
		keys := db.keys("k", 4000)
		for len(daemon.said("the dump is closed until half of it is free")) == 0 {
			for i := 0; i < len(keys); i += 200 {
				db.commit(t, keys[i:i+200]...)
			}
		}
		db.commit(t, db.key("missed"))
		db.rotate(t)
		db.purge(t)
		thaw()
		what := "it has purged log files that are still needed: missing "
		if !db.mysql() {
			what = "the server refuses to go on from there: ERROR 1236"
		}
		daemon.fails(t, 3, "cluster east: gap", what)
	})
}

// Two daemons whose dumps are called the same end each other's, for which MySQL has the
// error of a log that is gone. The log is there: nobody's caches are flushed for it, and
// everything comes, between one end and the next.
func TestADumpOfTheSameNameIsNoGap(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		east, west := newCache(t), newCache(t)
		start := func(name string, m *servers.Memcached) *process {
			return configure(t, from(db.url()), "on_gap: flush", to(cluster(name, "servers", m.Addr()))).daemon(t, "--server-id", fmt.Sprint(4711+db.ServerID()))
		}
		stays := db.key("stays")
		fill(t, east, stays)
		fill(t, west, stays)
		one := start("east", east)
		db.settle(t, east)
		other := start("west", west)
		for range 3 {
			db.settle(t, east, west)
		}
		for _, daemon := range []*process{one, other} {
			daemon.says(t, `the source is lost; connecting again.*another one from \S+ has server_id \d+, too; give one of the daemons another source.server_id`)
			daemon.mustNotHaveSaid(t, `msg="a gap|flush`)
			if !daemon.running() {
				t.Errorf("it has ended, with status %d", daemon.status)
			}
		}
		mustBeThere(t, east, stays)
		mustBeThere(t, west, stays)
		// Alone, it is in peace.
		other.stop(t)
		one.says(t, "the source's log is read again")
		db.settle(t, east)
		one.stop(t)
	})
}

func kill(t *testing.T, db *source) {
	t.Helper()
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
}

func restart(t *testing.T, db *source) {
	t.Helper()
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
