package integration

import (
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestSourceIsReadThroughItsSocket(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SocketURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Settle(t, m)
		daemon.Stop(t)
		missed := db.Key("missed")
		m.Fill(t, missed)
		s.Commit(t, missed)
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, missed)
		daemon.Stop(t)
		m.Fill(t, missed)
		if p := cfg.Replay(t, "--from", "oldest", "--match", "^"+missed+"$"); p.Status() != 0 {
			t.Errorf("exit status %d:\n%s", p.Status(), p.Stderr.String())
		}
		m.MustLack(t, missed)
	})
}

// A server that dies, or is stopped, and comes back is waited for; the dump goes on
// where it was.
func TestServerThatGoesIsWaitedFor(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		db.Session(t).Settle(t, m)
		key := db.Key("k")
		m.Fill(t, key)
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.Session(t).Commit(t, key)
		m.AwaitGone(t, key)
		survivesRestarts(t, db, m, cfg, daemon)
	})
}

// Without GTIDs the file and the offset are all there is.
func TestSourceWithoutGTIDsIsReadByFileAndOffset(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMySQL, servers.Config{Args: []string{"--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"}})
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
	daemon := cfg.Daemon(t)
	s := db.Session(t)
	s.Settle(t, m)
	daemon.Stop(t)
	c, _ := cfg.Checkpoint(t)
	file, offset := s.Place(t)
	uuid := s.Text(t, "SELECT @@server_uuid")
	if at := c.Clusters["east"]; at.GTID != nil || at.File != file || at.Offset != offset || at.Server != uuid {
		t.Errorf("the checkpoint's position is %+v, want %s:%d without GTIDs", at, file, offset)
	}
	before, missed := db.Key("settled"), db.Numbered("missed", 20)
	first := file
	m.Fill(t, append(missed, before)...)
	for i, key := range missed {
		if i == len(missed)/2 {
			s.Exec(t, "FLUSH BINARY LOGS")
		}
		s.Commit(t, key)
	}
	daemon = cfg.Daemon(t)
	m.AwaitGone(t, missed...)
	m.MustHave(t, before)
	s.Exec(t, "FLUSH BINARY LOGS")
	file, _ = s.Place(t)
	harness.Await(t, "the checkpoint is in the new file, in which nothing has been committed", func() bool {
		c, _ := cfg.Checkpoint(t)
		return c.Clusters["east"].File == file
	})
	survivesRestarts(t, db, m, cfg, daemon)

	p := cfg.Replay(t, "--dry-run", "--from", "oldest", "--match", "missed")
	if all := lines(t, p); p.Status() != 0 || len(all) != len(missed) || all[0].GTID != "" || all[0].Log != first {
		t.Errorf("exit status %d, %d lines, %+v …; want %d lines without GTIDs from %s", p.Status(), len(all), all[:min(1, len(all))], len(missed), first)
	}
	harness.Mcsqueal(t, "replay", "--dry-run", "--source", db.SourceURL(), "--from", "gtid:"+uuid+":1-5").MustEnd(t, 1, "gtid_mode", "file:NAME:OFFSET")
}

// survivesRestarts kills the server under a daemon and starts it again, and then the
// daemon.
func survivesRestarts(t *testing.T, db *harness.Database, m *harness.Cache, cfg *harness.Settings, daemon *harness.Process) {
	t.Helper()
	before, after, away := db.Numbered("before", 100), db.Numbered("after", 100), db.Numbered("away", 100)
	m.Fill(t, append(append(before, after...), away...)...)
	s := db.Session(t)
	for _, key := range before {
		s.Commit(t, key)
	}
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = db.Session(t)
	for _, key := range after {
		s.Commit(t, key)
	}
	m.AwaitGone(t, append(before, after...)...)
	daemon.Says(t, "source is lost")

	daemon.Kill(t)
	for _, key := range away {
		s.Commit(t, key)
	}
	daemon = cfg.Daemon(t)
	m.AwaitGone(t, away...)
	daemon.Stop(t)
}

func TestCutInALargeTransactionLosesNothing(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		source, router := harness.NewWire(t, db.Addr()), harness.NewWire(t, m.Addr())
		cfg := harness.Configure(t, strings.Replace(db.SourceURL(), db.Addr(), source.Addr(), 1), "clusters:", cluster("east", "routers", router.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Settle(t, m)
		keys := db.Numbered("k", 10_000)
		m.Fill(t, keys...)
		// Each connection to the source ends after so much of the transaction, and each
		// to the router after so many of its deletes.
		source.Spoil(t, "downstream", "limit_data", "bytes", 100<<10)
		router.Spoil(t, "upstream", "limit_data", "bytes", 30<<10)
		s.Exec(t, "BEGIN")
		for i := 0; i < len(keys); i += 100 {
			s.Commit(t, keys[i:i+100]...)
		}
		s.Exec(t, "COMMIT")
		daemon.SaysTimes(t, 2, "source is lost")
		source.Restore(t, "limit_data")
		daemon.Says(t, "router lost")
		router.Restore(t, "limit_data")
		m.AwaitGone(t, keys...)

		// And from both sides at once, while small ones are committed.
		keys = db.Numbered("small", 300)
		m.Fill(t, keys...)
		for i, key := range keys {
			switch i {
			case 100:
				source.Cut()
				router.Cut()
			case 200:
				source.Mend(t)
				router.Mend(t)
			}
			s.Commit(t, key)
		}
		m.AwaitGone(t, keys...)
		s.Settle(t, m)
		daemon.Stop(t)
	})
}
