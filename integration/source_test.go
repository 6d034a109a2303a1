package integration

import (
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestSourceIsReadThroughItsSocket(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.socketURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.settle(t, m)
		daemon.stop(t)
		missed := db.key("missed")
		fill(t, m, missed)
		s.commit(t, missed)
		daemon = cfg.daemon(t)
		awaitGone(t, m, missed)
		daemon.stop(t)
		fill(t, m, missed)
		if p := cfg.replay(t, "--from", "oldest", "--match", "^"+missed+"$"); p.status != 0 {
			t.Errorf("exit status %d:\n%s", p.status, p.stderr.String())
		}
		mustBeGone(t, m, missed)
	})
}

// A server that dies, or is stopped, and comes back is waited for; the dump goes on
// where it was.
func TestServerThatGoesIsWaitedFor(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		db.session(t).settle(t, m)
		key := db.key("k")
		fill(t, m, key)
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.session(t).commit(t, key)
		awaitGone(t, m, key)
		survivesRestarts(t, db, m, cfg, daemon)
	})
}

// Without GTIDs the file and the offset are all there is.
func TestSourceWithoutGTIDsIsReadByFileAndOffset(t *testing.T) {
	t.Parallel()
	db := own(t, servers.KindMySQL, servers.Config{Args: []string{"--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"}})
	m := newCache(t)
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
	daemon := cfg.daemon(t)
	s := db.session(t)
	s.settle(t, m)
	daemon.stop(t)
	c, _ := cfg.checkpoint(t)
	file, offset := s.place(t)
	uuid := s.text(t, "SELECT @@server_uuid")
	if at := c.Clusters["east"]; at.GTID != nil || at.File != file || at.Offset != offset || at.Server != uuid {
		t.Errorf("the checkpoint's position is %+v, want %s:%d without GTIDs", at, file, offset)
	}
	before, missed := db.key("settled"), db.numbered("missed", 20)
	first := file
	fill(t, m, append(missed, before)...)
	for i, key := range missed {
		if i == len(missed)/2 {
			s.exec(t, "FLUSH BINARY LOGS")
		}
		s.commit(t, key)
	}
	daemon = cfg.daemon(t)
	awaitGone(t, m, missed...)
	mustBeThere(t, m, before)
	s.exec(t, "FLUSH BINARY LOGS")
	file, _ = s.place(t)
	await(t, "the checkpoint is in the new file, in which nothing has been committed", func() bool {
		c, _ := cfg.checkpoint(t)
		return c.Clusters["east"].File == file
	})
	survivesRestarts(t, db, m, cfg, daemon)

	p := cfg.replay(t, "--dry-run", "--from", "oldest", "--match", "missed")
	if all := lines(t, p); p.status != 0 || len(all) != len(missed) || all[0].GTID != "" || all[0].Log != first {
		t.Errorf("exit status %d, %d lines, %+v …; want %d lines without GTIDs from %s", p.status, len(all), all[:min(1, len(all))], len(missed), first)
	}
	mcsqueal(t, "replay", "--dry-run", "--source", db.url(), "--from", "gtid:"+uuid+":1-5").failed(t, 1, "gtid_mode", "file:NAME:OFFSET")
}

// survivesRestarts kills the server under a daemon and starts it again, and then the
// daemon.
func survivesRestarts(t *testing.T, db *database, m *servers.Memcached, cfg *settings, daemon *process) {
	t.Helper()
	before, after, away := db.numbered("before", 100), db.numbered("after", 100), db.numbered("away", 100)
	fill(t, m, append(append(before, after...), away...)...)
	s := db.session(t)
	for _, key := range before {
		s.commit(t, key)
	}
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = db.session(t)
	for _, key := range after {
		s.commit(t, key)
	}
	awaitGone(t, m, append(before, after...)...)
	daemon.says(t, "source is lost")

	daemon.kill(t)
	for _, key := range away {
		s.commit(t, key)
	}
	daemon = cfg.daemon(t)
	awaitGone(t, m, away...)
	daemon.stop(t)
}

func TestCutInALargeTransactionLosesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		source, router := newWire(t, db.Addr()), newWire(t, m.Addr())
		cfg := configure(t, strings.Replace(db.url(), db.Addr(), source.addr(), 1), "clusters:", cluster("east", "routers", router.addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.settle(t, m)
		keys := db.numbered("k", 10_000)
		fill(t, m, keys...)
		// Each connection to the source ends after so much of the transaction, and each
		// to the router after so many of its deletes.
		source.spoil(t, "downstream", "limit_data", "bytes", 100<<10)
		router.spoil(t, "upstream", "limit_data", "bytes", 30<<10)
		s.exec(t, "BEGIN")
		for i := 0; i < len(keys); i += 100 {
			s.commit(t, keys[i:i+100]...)
		}
		s.exec(t, "COMMIT")
		daemon.saysTimes(t, 2, "source is lost")
		source.restore(t, "limit_data")
		daemon.says(t, "router lost")
		router.restore(t, "limit_data")
		awaitGone(t, m, keys...)

		// And from both sides at once, while small ones are committed.
		keys = db.numbered("small", 300)
		fill(t, m, keys...)
		for i, key := range keys {
			switch i {
			case 100:
				source.cut()
				router.cut()
			case 200:
				source.mend(t)
				router.mend(t)
			}
			s.commit(t, key)
		}
		awaitGone(t, m, keys...)
		s.settle(t, m)
		daemon.stop(t)
	})
}
