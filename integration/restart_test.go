package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStoppedDaemonGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		s := db.session(t)
		before, missed := db.numbered("before", 50), db.numbered("missed", 50)
		fill(t, m, append(before, missed...)...)

		daemon := cfg.daemon(t)
		for i := range before {
			s.commit(t, before[i])
		}
		done := s.executed(t)
		s.settle(t, m)
		file, _ := s.place(t)
		daemon.stop(t)
		mustBeGone(t, m, before...)

		c, ok := cfg.checkpoint(t)
		at := c.Clusters["east"]
		if !ok || c.Version != 1 || len(c.Clusters) != 1 || time.Since(c.Saved) > patience {
			t.Errorf("the checkpoint is %+v", c)
		}
		server := s.text(t, "SELECT @@server_id")
		if db.mysql() {
			server = s.text(t, "SELECT @@server_uuid")
		}
		if at.Flavor != nameOf(db.Kind()) || at.Server != server || at.File != file || at.Offset < 4 ||
			time.Until(at.Created).Abs() > time.Hour || at.GTID == nil || !s.contains(t, *at.GTID, done) {
			t.Errorf("the checkpoint's position is %+v; want one of %s in %s that has %s", at, server, file, done)
		}

		// What the cache has now was delivered already, and is no more asked for.
		fill(t, m, before...)
		for i := range missed {
			s.commit(t, missed[i])
		}
		daemon = cfg.daemon(t)
		s.settle(t, m)
		mustBeGone(t, m, missed...)
		mustBeThere(t, m, before...)
		daemon.stop(t)
	})
}

func TestKilledDaemonLosesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		keys := db.numbered("k", 1200)
		fill(t, m, keys...)
		// While it is killed and started again, transactions of one to three keys go on.
		daemon := cfg.daemon(t)
		written := make(chan struct{})
		s := db.session(t)
		go func() {
			defer close(written)
			for n, i := 1, 0; i < len(keys) && !t.Failed(); n, i = n%3+1, i+n {
				s.commit(t, keys[i:min(i+n, len(keys))]...)
			}
		}()
		for _, until := range []string{keys[100], keys[400], keys[800]} {
			awaitGone(t, m, until)
			daemon.kill(t)
			daemon = cfg.daemon(t)
		}
		<-written
		s.settle(t, m)
		mustBeGone(t, m, keys...)
		daemon.stop(t)
	})
}

// A position stands at a transaction's end only: one that was half delivered comes
// again, whole.
func TestDaemonStoppedWithinATransactionDeliversItWhole(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		w := newWire(t, db.Addr())
		cfg := configure(t, strings.Replace(db.url(), db.Addr(), w.addr(), 1), "clusters:", cluster("east", "servers", m.Addr()))
		s := db.session(t)
		for name, signal := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
			daemon := cfg.daemon(t)
			s.settle(t, m)
			keys := db.numbered(name, 10_000)
			fill(t, m, keys...)
			w.spoil(t, "downstream", "bandwidth", "rate", 100) // KB a second, of some 200
			s.exec(t, "BEGIN")
			for i := 0; i < len(keys); i += 100 {
				s.commit(t, keys[i:i+100]...)
			}
			s.exec(t, "COMMIT")
			awaitGone(t, m, keys[0])
			daemon.signal(t, signal)
			daemon.wait(t)
			mustBeThere(t, m, keys[len(keys)-1]) // or this is no test
			w.restore(t, "bandwidth")
			daemon = cfg.daemon(t)
			awaitGone(t, m, keys...)
			daemon.stop(t)
		}
	})
}

// A daemon that is killed before its first checkpoint's time has come has a place all
// the same: where it began.
func TestKilledDaemonLosesNothingFromItsFirstMomentOn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "start: now", "clusters:", cluster("east", "servers", m.Addr()))
		keys := db.numbered("k", 10)
		fill(t, m, keys...)
		cfg.daemon(t).kill(t)
		s := db.session(t)
		s.commit(t, keys...)
		daemon := cfg.daemon(t)
		s.settle(t, m)
		mustBeGone(t, m, keys...)
		daemon.stop(t)
	})
}

func TestFirstRunBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		s := db.session(t)
		// What others have in the log is not printed; where it would go is not asked.
		cfg := configure(t, db.url(), "clusters:", fmt.Sprintf("  - {name: east, servers: ['127.0.0.1:1'], match: '^%s:'}", db.schema))
		keys := db.keys("a", "b", "c")
		s.commit(t, keys[0])
		m := s.mark(t)
		s.commit(t, keys[1])
		for _, c := range []struct {
			start string
			want  []string // up to the last key, which is committed for each
		}{
			{"oldest", keys}, {"gtid:", keys}, {m.at(), keys[1:]}, {m.gtid(), keys[1:]}, {m.when(), keys[1:]}, {"now", keys[2:]},
		} {
			t.Run(strings.ReplaceAll(c.start, "/", "_"), func(t *testing.T) {
				daemon := cfg.daemon(t, "--dry-run", "--start", c.start)
				s.commit(t, keys[2])
				var got []string
				await(t, "the last key is printed", func() bool {
					got = keysOf(t, lines(t, daemon))
					return slices.Contains(got, keys[2])
				})
				daemon.stop(t)
				if got = got[:slices.Index(got, keys[2])+1]; !slices.Equal(got, c.want) {
					t.Errorf("printed %v, want %v", got, c.want)
				}
			})
		}
	})
}

func TestStoppingDaemonWaitsForAnswers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		w := newWire(t, m.Addr())
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", w.addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.settle(t, m)
		// The cache's answers come late: what it has deleted is not yet acknowledged.
		w.spoil(t, "downstream", "latency", "latency", 700)
		key := db.key("k")
		fill(t, m, key)
		s.commit(t, key)
		done := s.executed(t)
		awaitGone(t, m, key)
		daemon.stop(t)
		if c, _ := cfg.checkpoint(t); c.Clusters["east"].GTID == nil || !s.contains(t, *c.Clusters["east"].GTID, done) {
			t.Errorf("the checkpoint is %+v; want one that has %s", c, done)
		}
		daemon.says(t, "stopping: what is in the Log is delivered first")
		fill(t, m, key)
		w.restore(t, "latency")
		daemon = cfg.daemon(t)
		s.settle(t, m)
		mustBeThere(t, m, key)
		daemon.stop(t)
	})
}

// A cache that has gone keeps nobody from stopping, after the ten seconds that it has
// to come back: what it lacks it gets at the next start.
func TestStoppingDaemonLeavesTheRestToTheNext(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t) // the source has no part in it
	m := newCache(t)
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
	daemon := cfg.daemon(t)
	s := db.session(t)
	s.settle(t, m)
	keys := db.numbered("k", 100)
	fill(t, m, keys...)
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		s.commit(t, key)
	}
	daemon.stop(t)
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	daemon = cfg.daemon(t)
	s.settle(t, m)
	mustBeGone(t, m, keys...)
	daemon.stop(t)
}

// Whoever writes no keys for long must not find the log purged behind a checkpoint
// that stood still.
func TestCheckpointMovesOnWithoutKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.exec(t, "INSERT INTO settled VALUES ()")
		done := s.executed(t)
		s.exec(t, "FLUSH BINARY LOGS")
		file, _ := s.place(t)
		await(t, "the checkpoint has passed transactions without keys, and a rotation", func() bool {
			c, _ := cfg.checkpoint(t)
			at := c.Clusters["east"]
			return at.GTID != nil && s.contains(t, *at.GTID, done) && at.File >= file
		})
		daemon.stop(t)
	})
}

func TestDamagedCheckpointIsNotMistakenForNone(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t) // the source has no part in it
	m := newCache(t)
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
	daemon := cfg.daemon(t)
	db.session(t).settle(t, m)
	daemon.stop(t)
	path := filepath.Join(cfg.stateDir, "checkpoint.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"truncated": data[:len(data)/2], "empty": {}, "of another release": bytes.Replace(data, []byte(`"version": 1`), []byte(`"version": 2`), 1),
	} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"run"}, {"run", "--dry-run"}, {"checkpoint", "show"}, {"checkpoint", "drop", "--cluster", "east"}} {
			t.Run(name+", "+strings.Join(command, " "), func(t *testing.T) {
				mcsqueal(t, append(command, "--config", cfg.path)...).failed(t, 1, path)
			})
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, damaged) {
			t.Errorf("the %s checkpoint is now %q, %v", name, left, err)
		}
	}
}

func TestSecondDaemonOnOneStateDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 1, cfg.stateDir, "locked by another mcsqueal", fmt.Sprintf("process %d", daemon.pid), "stop it first")
		// The first one has not noticed.
		s := db.session(t)
		s.settle(t, m)
		if lost := daemon.said("source is lost"); len(lost) > 0 {
			t.Errorf("the second has ended the first one's dump: %s", lost)
		}
		daemon.stop(t)
		// The lock goes with its holder, killed or not.
		cfg.daemon(t).kill(t)
		cfg.daemon(t).stop(t)
	})
}

func TestTwoDaemonsMayTailOneSource(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		east, west := newCache(t), newCache(t)
		first := configure(t, db.url(), "clusters:", cluster("c", "servers", east.Addr())).daemon(t)
		second := configure(t, db.url(), "clusters:", cluster("c", "servers", west.Addr())).daemon(t)
		s := db.session(t)
		for range 3 {
			key := db.key("k")
			fill(t, east, key)
			fill(t, west, key)
			s.commit(t, key)
			awaitGone(t, east, key)
			awaitGone(t, west, key)
		}
		for _, running := range []*process{first, second} {
			if lost := running.said("source is lost"); len(lost) > 0 {
				t.Errorf("one has ended the other's dump: %s", lost)
			}
			running.signal(t, syscall.SIGINT) // as ^C does
			if status := running.wait(t); status != 0 {
				t.Errorf("exit status %d after SIGINT, want 0", status)
			}
		}
	})
}

func TestCheckpointIsShownSetAndDropped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		east, west := newCache(t), newCache(t)
		clusters := []string{"clusters:", cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr())}
		cfg := configure(t, db.url(), clusters...)
		checkpoint := func(args ...string) *process {
			t.Helper()
			return mcsqueal(t, append([]string{"checkpoint", args[0], "--config", cfg.path}, args[1:]...)...)
		}
		s := db.session(t)
		if p := checkpoint("show"); p.status != 0 || !strings.Contains(p.stdout.String(), "no checkpoint in "+cfg.stateDir) {
			t.Errorf("status %d, %q before there is a checkpoint", p.status, p.stdout.String())
		}
		daemon := cfg.daemon(t)
		keys := db.keys("a", "b", "c")
		fill(t, east, keys...)
		fill(t, west, keys...)
		before := s.executed(t)
		s.commit(t, keys...)
		s.settle(t, east)
		s.settle(t, west)

		// While a daemon runs, it may be looked at and not changed.
		await(t, "there is a checkpoint", func() bool { c, _ := cfg.checkpoint(t); return len(c.Clusters) == 2 })
		if p := checkpoint("show"); p.status != 0 || !strings.Contains(p.stdout.String(), "east") || !strings.Contains(p.stdout.String(), "west") {
			t.Errorf("status %d, %q while a daemon runs", p.status, p.stdout.String())
		}
		checkpoint("set", "--cluster", "east", "--to", "oldest").failed(t, 1, "locked by another mcsqueal", fmt.Sprint(daemon.pid))
		checkpoint("drop", "--cluster", "east").failed(t, 1, "locked by another mcsqueal", fmt.Sprint(daemon.pid))
		daemon.stop(t)

		// One goes back; the other stays where it is.
		fill(t, east, keys...)
		fill(t, west, keys...)
		if p := checkpoint("set", "--cluster", "east", "--to", "gtid:"+before); p.status != 0 {
			t.Fatalf("checkpoint set: status %d: %s", p.status, p.stderr.String())
		}
		show := checkpoint("show").stdout.String()
		if !strings.Contains(show, before) {
			t.Errorf("%q, want %s in it", show, before)
		}
		daemon = cfg.daemon(t)
		s.settle(t, east)
		s.settle(t, west)
		mustBeGone(t, east, keys...)
		mustBeThere(t, west, keys...)
		daemon.stop(t)

		// Forms that have to be looked up on the source.
		file, offset := s.place(t)
		for _, to := range []string{"oldest", "now", fmt.Sprintf("file:%s:%d", file, offset), "time:" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)} {
			if p := checkpoint("set", "--cluster", "west", "--to", to); p.status != 0 {
				t.Errorf("checkpoint set --to %s: status %d: %s", to, p.status, p.stderr.String())
			}
			c, _ := cfg.checkpoint(t)
			if has := s.contains(t, *c.Clusters["west"].GTID, before); has != (to != "oldest") {
				t.Errorf("--to %s is %s: it has %s: %v", to, *c.Clusters["west"].GTID, before, has)
			}
		}
		checkpoint("set", "--cluster", "west", "--to", "file:bin.999999:4").failed(t, 1, "bin.999999")
		checkpoint("set", "--cluster", "west", "--to", "yesterday").failed(t, 2, "yesterday", "time:2006-01-02T15:04:05Z")
		checkpoint("set", "--cluster", "west").failed(t, 2, "--to")
		checkpoint("set", "--to", "now").failed(t, 2, "--cluster")

		// A cluster that the configuration lacks may have been renamed.
		cfg.write(t, db.url(), clusters[:2]...)
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 2, `"west"`, "mcsqueal checkpoint drop --cluster west")
		checkpoint("drop", "--cluster", "north").failed(t, 1, "north", "checkpoint show")
		if p := checkpoint("drop", "--cluster", "west"); p.status != 0 {
			t.Fatalf("checkpoint drop: status %d: %s", p.status, p.stderr.String())
		}
		daemon = cfg.daemon(t)
		s.settle(t, east)
		daemon.stop(t)
	})
}
