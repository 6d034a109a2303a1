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

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestStoppedDaemonGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		s := db.Session(t)
		before, missed := db.Numbered("before", 50), db.Numbered("missed", 50)
		m.Fill(t, append(before, missed...)...)

		daemon := cfg.Daemon(t)
		for i := range before {
			s.Commit(t, before[i])
		}
		done := s.Executed(t)
		s.Settle(t, m)
		file, _ := s.Place(t)
		daemon.Stop(t)
		m.MustLack(t, before...)

		c, ok := cfg.Checkpoint(t)
		at := c.Clusters["east"]
		if !ok || c.Version != 1 || len(c.Clusters) != 1 || time.Since(c.Saved) > harness.Patience {
			t.Errorf("the checkpoint is %+v", c)
		}
		server := s.Text(t, "SELECT @@server_id")
		if db.IsMySQL() {
			server = s.Text(t, "SELECT @@server_uuid")
		}
		if at.Flavor != db.Kind().Name() || at.Server != server || at.File != file || at.Offset < 4 ||
			time.Until(at.Created).Abs() > time.Hour || at.GTID == nil || !s.Contains(t, *at.GTID, done) {
			t.Errorf("the checkpoint's position is %+v; want one of %s in %s that has %s", at, server, file, done)
		}

		// What the cache has now was delivered already, and is no more asked for.
		m.Fill(t, before...)
		for i := range missed {
			s.Commit(t, missed[i])
		}
		daemon = cfg.Daemon(t)
		s.Settle(t, m)
		m.MustLack(t, missed...)
		m.MustHave(t, before...)
		daemon.Stop(t)
	})
}

func TestKilledDaemonLosesNothing(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		keys := db.Numbered("k", 1200)
		m.Fill(t, keys...)
		// While it is killed and started again, transactions of one to three keys go on.
		daemon := cfg.Daemon(t)
		written := make(chan struct{})
		s := db.Session(t)
		go func() {
			defer close(written)
			for n, i := 1, 0; i < len(keys) && !t.Failed(); n, i = n%3+1, i+n {
				s.Commit(t, keys[i:min(i+n, len(keys))]...)
			}
		}()
		for _, until := range []string{keys[100], keys[400], keys[800]} {
			m.AwaitGone(t, until)
			daemon.Kill(t)
			daemon = cfg.Daemon(t)
		}
		<-written
		s.Settle(t, m)
		m.MustLack(t, keys...)
		daemon.Stop(t)
	})
}

// A position stands at a transaction's end only: one that was half delivered comes
// again, whole.
func TestDaemonStoppedWithinATransactionDeliversItWhole(t *testing.T) {
	t.Parallel()
	// Its own, so that nobody else's transactions come through the narrow wire.
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		w := harness.NewWire(t, db.Addr())
		cfg := harness.Configure(t, strings.Replace(db.SourceURL(), db.Addr(), w.Addr(), 1), "clusters:", cluster("east", "servers", m.Addr()))
		s := db.Session(t)
		for name, signal := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
			daemon := cfg.Daemon(t)
			s.Settle(t, m)
			keys := db.Numbered(name, 10_000)
			m.Fill(t, keys...)
			w.Spoil(t, "downstream", "bandwidth", "rate", 15) // KB a second, of some 200
			s.Exec(t, "BEGIN")
			for i := 0; i < len(keys); i += 100 {
				s.Commit(t, keys[i:i+100]...)
			}
			s.Exec(t, "COMMIT")
			m.AwaitGone(t, keys[0])
			daemon.Signal(t, signal)
			daemon.Wait(t)
			m.MustHave(t, keys[len(keys)-1]) // or this is no test
			w.Restore(t, "bandwidth")
			daemon = cfg.Daemon(t)
			m.AwaitGone(t, keys...)
			daemon.Stop(t)
		}
	})
}

// A daemon that is killed before its first checkpoint's time has come has a place all
// the same: where it began.
func TestKilledDaemonLosesNothingFromItsFirstMomentOn(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "start: now", "clusters:", cluster("east", "servers", m.Addr()))
		keys := db.Numbered("k", 10)
		m.Fill(t, keys...)
		cfg.Daemon(t).Kill(t)
		s := db.Session(t)
		s.Commit(t, keys...)
		daemon := cfg.Daemon(t)
		s.Settle(t, m)
		m.MustLack(t, keys...)
		daemon.Stop(t)
	})
}

func TestFirstRunBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		s := db.Session(t)
		// What others have in the log is not printed; where it would go is not asked.
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, servers: ['127.0.0.1:1'], match: '^%s:'}", db.Schema))
		keys := db.Keys("a", "b", "c")
		s.Commit(t, keys[0])
		m := markIn(t, s)
		s.Commit(t, keys[1])
		for _, c := range []struct {
			start string
			want  []string // up to the last key, which is committed for each
		}{
			{"oldest", keys}, {"gtid:", keys}, {m.at(), keys[1:]}, {m.gtid(), keys[1:]}, {m.when(), keys[1:]}, {"now", keys[2:]},
		} {
			t.Run(strings.ReplaceAll(c.start, "/", "_"), func(t *testing.T) {
				daemon := cfg.Daemon(t, "--dry-run", "--start", c.start)
				s.Commit(t, keys[2])
				var got []string
				harness.Await(t, "the last key is printed", func() bool {
					got = keysOf(t, lines(t, daemon))
					return slices.Contains(got, keys[2])
				})
				daemon.Stop(t)
				if got = got[:slices.Index(got, keys[2])+1]; !slices.Equal(got, c.want) {
					t.Errorf("printed %v, want %v", got, c.want)
				}
			})
		}
	})
}

func TestStoppingDaemonWaitsForAnswers(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		w := harness.NewWire(t, m.Addr())
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", w.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Settle(t, m)
		// The cache's answers wait: what it has deleted is not yet acknowledged.
		w.Spoil(t, "downstream", "latency", "latency", 60_000)
		key := db.Key("k")
		m.Fill(t, key)
		s.Commit(t, key)
		done := s.Executed(t)
		m.AwaitGone(t, key)
		daemon.Signal(t, syscall.SIGTERM)
		daemon.Says(t, "stopping: what is in the Log is delivered first")
		if daemon.Ended() {
			t.Error("it has ended, and the answer is on its way")
		}
		w.Restore(t, "latency") // and lets through what it has kept
		daemon.MustEnd(t, 0)
		if c, _ := cfg.Checkpoint(t); c.Clusters["east"].GTID == nil || !s.Contains(t, *c.Clusters["east"].GTID, done) {
			t.Errorf("the checkpoint is %+v; want one that has %s", c, done)
		}
		m.Fill(t, key)
		daemon = cfg.Daemon(t)
		s.Settle(t, m)
		m.MustHave(t, key)
		daemon.Stop(t)
	})
}

// A cache that has gone keeps nobody from stopping, after the ten seconds that it has
// to come back: what it lacks it gets at the next start.
func TestStoppingDaemonLeavesTheRestToTheNext(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
	daemon := cfg.Daemon(t)
	s := db.Session(t)
	s.Settle(t, m)
	keys := db.Numbered("k", 100)
	m.Fill(t, keys...)
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		s.Commit(t, key)
	}
	daemon.Stop(t)
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	daemon = cfg.Daemon(t)
	s.Settle(t, m)
	m.MustLack(t, keys...)
	daemon.Stop(t)
}

// Whoever writes no keys for long must not find the log purged behind a checkpoint
// that stood still.
func TestCheckpointMovesOnWithoutKeys(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Exec(t, "INSERT INTO settled VALUES ()")
		done := s.Executed(t)
		s.Exec(t, "FLUSH BINARY LOGS")
		file, _ := s.Place(t)
		harness.Await(t, "the checkpoint has passed transactions without keys, and a rotation", func() bool {
			c, _ := cfg.Checkpoint(t)
			at := c.Clusters["east"]
			return at.GTID != nil && s.Contains(t, *at.GTID, done) && at.File >= file
		})
		daemon.Stop(t)
	})
}

func TestDamagedCheckpointIsNotMistakenForNone(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
	daemon := cfg.Daemon(t)
	db.Session(t).Settle(t, m)
	daemon.Stop(t)
	path := filepath.Join(cfg.StateDir, "checkpoint.json")
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
				harness.Mcsqueal(t, append(command, "--config", cfg.Path)...).MustEnd(t, 1, path)
			})
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, damaged) {
			t.Errorf("the %s checkpoint is now %q, %v", name, left, err)
		}
	}
}

func TestSecondDaemonOnOneStateDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 1, cfg.StateDir, "locked by another mcsqueal", fmt.Sprintf("process %d", daemon.Pid()), "stop it first")
		// The first one has not noticed.
		s := db.Session(t)
		s.Settle(t, m)
		if lost := daemon.Said("source is lost"); len(lost) > 0 {
			t.Errorf("the second has ended the first one's dump: %s", lost)
		}
		daemon.Stop(t)
		// The lock goes with its holder, killed or not.
		cfg.Daemon(t).Kill(t)
		cfg.Daemon(t).Stop(t)
	})
}

func TestTwoDaemonsMayTailOneSource(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		first := harness.Configure(t, db.SourceURL(), "clusters:", cluster("c", "servers", east.Addr())).Daemon(t)
		second := harness.Configure(t, db.SourceURL(), "clusters:", cluster("c", "servers", west.Addr())).Daemon(t)
		s := db.Session(t)
		for range 3 {
			key := db.Key("k")
			east.Fill(t, key)
			west.Fill(t, key)
			s.Commit(t, key)
			east.AwaitGone(t, key)
			west.AwaitGone(t, key)
		}
		for _, running := range []*harness.Process{first, second} {
			if lost := running.Said("source is lost"); len(lost) > 0 {
				t.Errorf("one has ended the other's dump: %s", lost)
			}
			running.Signal(t, syscall.SIGINT) // as ^C does
			if status := running.Wait(t); status != 0 {
				t.Errorf("exit status %d after SIGINT, want 0", status)
			}
		}
	})
}

func TestCheckpointIsShownSetAndDropped(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		clusters := []string{"clusters:", cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr())}
		cfg := harness.Configure(t, db.SourceURL(), clusters...)
		checkpoint := func(args ...string) *harness.Process {
			t.Helper()
			return harness.Mcsqueal(t, append([]string{"checkpoint", args[0], "--config", cfg.Path}, args[1:]...)...)
		}
		s := db.Session(t)
		if p := checkpoint("show"); p.Status() != 0 || !strings.Contains(p.Stdout.String(), "no checkpoint in "+cfg.StateDir) {
			t.Errorf("status %d, %q before there is a checkpoint", p.Status(), p.Stdout.String())
		}
		daemon := cfg.Daemon(t)
		keys := db.Keys("a", "b", "c")
		east.Fill(t, keys...)
		west.Fill(t, keys...)
		before := s.Executed(t)
		s.Commit(t, keys...)
		s.Settle(t, east)
		s.Settle(t, west)

		// While a daemon runs, it may be looked at and not changed.
		harness.Await(t, "there is a checkpoint", func() bool { c, _ := cfg.Checkpoint(t); return len(c.Clusters) == 2 })
		if p := checkpoint("show"); p.Status() != 0 || !strings.Contains(p.Stdout.String(), "east") || !strings.Contains(p.Stdout.String(), "west") {
			t.Errorf("status %d, %q while a daemon runs", p.Status(), p.Stdout.String())
		}
		checkpoint("set", "--cluster", "east", "--to", "oldest").MustEnd(t, 1, "locked by another mcsqueal", fmt.Sprint(daemon.Pid()))
		checkpoint("drop", "--cluster", "east").MustEnd(t, 1, "locked by another mcsqueal", fmt.Sprint(daemon.Pid()))
		daemon.Stop(t)

		// One goes back; the other stays where it is.
		east.Fill(t, keys...)
		west.Fill(t, keys...)
		if p := checkpoint("set", "--cluster", "east", "--to", "gtid:"+before); p.Status() != 0 {
			t.Fatalf("checkpoint set: status %d: %s", p.Status(), p.Stderr.String())
		}
		show := checkpoint("show").Stdout.String()
		if !strings.Contains(show, before) {
			t.Errorf("%q, want %s in it", show, before)
		}
		daemon = cfg.Daemon(t)
		s.Settle(t, east)
		s.Settle(t, west)
		east.MustLack(t, keys...)
		west.MustHave(t, keys...)
		daemon.Stop(t)

		// Forms that have to be looked up on the source.
		file, offset := s.Place(t)
		for _, to := range []string{"oldest", "now", fmt.Sprintf("file:%s:%d", file, offset), "time:" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)} {
			if p := checkpoint("set", "--cluster", "west", "--to", to); p.Status() != 0 {
				t.Errorf("checkpoint set --to %s: status %d: %s", to, p.Status(), p.Stderr.String())
			}
			c, _ := cfg.Checkpoint(t)
			if has := s.Contains(t, *c.Clusters["west"].GTID, before); has != (to != "oldest") {
				t.Errorf("--to %s is %s: it has %s: %v", to, *c.Clusters["west"].GTID, before, has)
			}
		}
		checkpoint("set", "--cluster", "west", "--to", "file:bin.999999:4").MustEnd(t, 1, "bin.999999")
		checkpoint("set", "--cluster", "west", "--to", "yesterday").MustEnd(t, 2, "yesterday", "time:2006-01-02T15:04:05Z")
		checkpoint("set", "--cluster", "west").MustEnd(t, 2, "--to")
		checkpoint("set", "--to", "now").MustEnd(t, 2, "--cluster")

		// A cluster that the configuration lacks may have been renamed.
		cfg.Write(t, db.SourceURL(), clusters[:2]...)
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 2, `"west"`, "mcsqueal checkpoint drop --cluster west")
		checkpoint("drop", "--cluster", "north").MustEnd(t, 1, "north", "checkpoint show")
		if p := checkpoint("drop", "--cluster", "west"); p.Status() != 0 {
			t.Fatalf("checkpoint drop: status %d: %s", p.Status(), p.Stderr.String())
		}
		daemon = cfg.Daemon(t)
		s.Settle(t, east)
		daemon.Stop(t)
	})
}
