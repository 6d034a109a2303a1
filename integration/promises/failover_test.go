package promises

import (
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// pair is a server and its replica, by GTID, with the test's schema on both.
type pair struct {
	first, second *harness.Database
}

func newPair(t *testing.T, kind servers.Kind) *pair {
	t.Helper()
	p := &pair{first: harness.Own(t, kind, servers.Config{})}
	replica := servers.Start(t, kind, servers.Config{})
	if err := replica.ReplicateFrom(t.Context(), p.first.Database); err != nil {
		t.Fatal(err)
	}
	p.second = p.first.On(t, replica)
	p.catchUp(t)
	return p
}

// catchUp waits until the second has all that the first has.
func (p *pair) catchUp(t *testing.T) {
	t.Helper()
	if err := p.second.CatchUp(t.Context(), p.first.Database); err != nil {
		t.Fatal(err)
	}
}

// replication starts or stops the second's replication, or one thread of it.
func (p *pair) replication(t *testing.T, verb, thread string) {
	t.Helper()
	what := " REPLICA "
	if !p.second.IsMySQL() {
		what = " SLAVE "
	}
	p.second.Exec(t, verb+what+thread)
}

// promote ends the replication for good: the second is the source from here on.
func (p *pair) promote(t *testing.T) {
	t.Helper()
	p.replication(t, "STOP", "")
	if p.second.IsMySQL() {
		p.second.Exec(t, "RESET REPLICA ALL")
	} else {
		p.second.Exec(t, "RESET SLAVE ALL")
	}
}

func TestFailoverGoesOnAtTheNextServer(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		east, west := harness.NewCache(t), harness.NewCache(t)
		way := harness.NewWire(t, west.Addr())
		cfg := harness.Configure(t, "", from(p.first.SourceURL(), p.second.SourceURL()), to(
			cluster("east", "servers", east.Addr()), cluster("west", "servers", way.Addr(), "timeout: 1s")))
		daemon := cfg.Daemon(t)
		p.first.Settle(t, east, west)

		// West has not got what the first server logged last, when that dies.
		way.Cut()
		late := p.first.Numbered("late", 50)
		west.Fill(t, late...)
		for _, key := range late {
			p.first.Commit(t, key)
		}
		p.first.Settle(t, east)
		p.catchUp(t)
		kill(t, p.first)
		p.promote(t)
		later := p.first.Numbered("later", 50)
		east.Fill(t, later...)
		west.Fill(t, later...)
		for _, key := range later {
			p.second.Commit(t, key)
		}
		east.AwaitGone(t, later...)
		daemon.Says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		way.Mend(t)
		west.AwaitGone(t, late...)
		west.AwaitGone(t, later...)
		p.second.Settle(t, east, west)
		done := p.second.GTIDs(t)
		daemon.Stop(t)
		for _, name := range []string{"east", "west"} {
			if !cfg.Has(t, name, done) {
				t.Errorf("%s stands at %s after all of %s was delivered", name, cfg.Position(t, name), done)
			}
		}

		// It starts there, too, with the first one dead.
		missed := p.first.Key("missed")
		east.Fill(t, append(later, missed)...)
		p.second.Commit(t, missed)
		daemon = cfg.Daemon(t)
		east.AwaitGone(t, missed)
		east.MustHave(t, later...)
		daemon.Stop(t)
	})
}

// What the dead server had in its log, and no reader ever saw, may never come to be.
// It must not count as executed: on MariaDB the next server gives the same numbers to
// other transactions.
func TestFailoverForgetsWhatWasNeverVisible(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		// The second one's log has the same files and is further on in them: as a place, it
		// would say that all is visible.
		own := p.second.Session(t)
		if !p.second.IsMySQL() {
			own.Exec(t, "SET gtid_domain_id = 9")
		}
		own.Exec(t, "CREATE TABLE only_here (id INT AUTO_INCREMENT PRIMARY KEY, filler TEXT)")
		own.Exec(t, "INSERT INTO only_here (filler) VALUES (REPEAT('x', 60000))")
		stall := newStall(t, p.first)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, "", from(p.first.SourceURL(), p.second.SourceURL()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		p.first.Settle(t, m)

		p.catchUp(t) // with what has been delivered
		p.replication(t, "STOP", "")
		visible := p.first.GTIDs(t)
		s := newPhantoms(t, p.first, 10)
		m.Fill(t, s.keys...)
		stall.group(t, len(s.keys))
		stall.begin(t)
		s.commit(t)
		daemon.Says(t, "cannot be read on the source yet; their keys wait")
		kill(t, p.first)
		s.wait(t)
		daemon.Says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		m.MustHave(t, s.keys...)

		p.promote(t)
		others := p.first.Numbered("other", 30)
		m.Fill(t, others...)
		for _, key := range others {
			p.second.Commit(t, key)
		}
		m.AwaitGone(t, others...)
		p.second.Settle(t, m)
		m.MustHave(t, s.keys...)
		done := p.second.GTIDs(t)
		daemon.Stop(t)
		at := cfg.Position(t, "east").GTIDs
		if !at.Covers(done) || !done.Covers(at) || !at.Covers(visible) {
			t.Errorf("the position is %s, want %s: what the second server has executed, and nothing else", at, done)
		}
	})
}

// phantoms are transactions that stall, and die with their server.
type phantoms struct {
	keys     []string
	sessions []*harness.Session
	ended    chan struct{}
}

func newPhantoms(t *testing.T, db *harness.Database, n int) *phantoms {
	t.Helper()
	p := &phantoms{keys: db.Numbered("phantom", n), ended: make(chan struct{}, n)}
	for _, key := range p.keys {
		c := db.Session(t)
		c.Exec(t, "BEGIN")
		c.Commit(t, key)
		p.sessions = append(p.sessions, c)
	}
	return p
}

// commit begins to commit all of them; wait waits until all have failed.
func (p *phantoms) commit(t *testing.T) {
	t.Helper()
	for _, c := range p.sessions {
		go func() {
			_, _ = c.Conn.ExecContext(t.Context(), "COMMIT") // the server dies over it
			p.ended <- struct{}{}
		}()
	}
}

func (p *phantoms) wait(t *testing.T) {
	t.Helper()
	for range p.sessions {
		<-p.ended
	}
}

// A replica that is behind gets failover_wait to come to the position.
func TestFailoverWaitsForAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		m := harness.NewCache(t)
		// Time enough for a machine that takes its time.
		sources := strings.Replace(from(p.first.SourceURL(), p.second.SourceURL()), failoverWait.String(), harness.Patience.String(), 1)
		cfg := harness.Configure(t, "", sources, to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		p.first.Settle(t, m)
		p.catchUp(t)
		thread := "SQL_THREAD"
		p.replication(t, "STOP", thread)
		p.first.Settle(t, m)
		received(t, p)
		kill(t, p.first)
		daemon.Says(t, "the source is lost; connecting again.*gap: "+p.second.Addr())
		p.replication(t, "START", thread)
		daemon.Says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		p.second.Settle(t, m)
		daemon.Stop(t)
	})
}

// received waits until the replica has the first one's whole log, applied or not.
func received(t *testing.T, p *pair) {
	t.Helper()
	query, file, offset := "SHOW REPLICA STATUS", "Source_Log_File", "Read_Source_Log_Pos"
	end := "SHOW BINARY LOG STATUS"
	if !p.first.IsMySQL() {
		query, file, offset, end = "SHOW SLAVE STATUS", "Master_Log_File", "Read_Master_Log_Pos", "SHOW MASTER STATUS"
	}
	want := p.first.Row(t, end)
	harness.Await(t, "the replica has received the whole log", func() bool {
		status := p.second.Row(t, query)
		return status[file] == want["File"] && status[offset] == want["Position"]
	})
}

// When nobody has what was delivered already, that is a gap, and it says what is
// missing: the caches may lack deletes of what comes instead.
func TestFailoverToAServerThatLacksThePositionIsAGap(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, "", from(p.first.SourceURL(), p.second.SourceURL()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		p.first.Settle(t, m)
		p.catchUp(t)
		p.replication(t, "STOP", "")
		has := p.second.GTIDs(t)
		for range 5 {
			p.first.Settle(t, m)
		}
		missing := has.Missing(p.first.GTIDs(t))
		cfg.AwaitPosition(t, "east", missing)
		kill(t, p.first)
		parts := []string{"cluster east: gap: " + p.second.Addr(), missing.String()}
		daemon.MustEnd(t, 3, parts...)
		// And so it is at a start.
		cfg.Run(t).MustEnd(t, 3, parts...)
		if at := cfg.Position(t, "east").GTIDs; !at.Covers(missing) {
			t.Errorf("the position has gone back to %s", at)
		}
	})
}

// What is prepared on the first server may be decided on the second.
func TestFailoverKeepsWhatIsPrepared(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		allowXARecover(t, p.first)
		p.catchUp(t)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, "", from(p.first.SourceURL(), p.second.SourceURL()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		p.first.Settle(t, m)
		kept, undone := p.first.Numbered("kept", 20), p.first.Numbered("undone", 20)
		m.Fill(t, kept...)
		m.Fill(t, undone...)
		prepare(t, p.first, "kept", kept...)
		prepare(t, p.first, "undone", undone...)
		p.first.Settle(t, m)
		p.catchUp(t)
		kill(t, p.first)
		p.promote(t)
		p.second.Settle(t, m)
		m.MustHave(t, append(kept, undone...)...)
		decide(t, p.second, "ROLLBACK", "undone")
		decide(t, p.second, "COMMIT", "kept")
		m.AwaitGone(t, kept...)
		p.second.Settle(t, m)
		m.MustHave(t, undone...)
		daemon.MustNotHaveSaid(t, `msg="a gap`)
		daemon.Stop(t)
	})
}

// The first server has rolled back what it had prepared, nobody saw it, and it dies; on
// the second the same is committed.
func TestFailoverTakesBackADecisionThatNobodySaw(t *testing.T) {
	t.Parallel()
	harness.EachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		allowXARecover(t, p.first)
		p.catchUp(t)
		stall := newStall(t, p.first)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, "", from(p.first.SourceURL(), p.second.SourceURL()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		p.first.Settle(t, m)
		keys := p.first.Numbered("k", 20)
		m.Fill(t, keys...)
		prepare(t, p.first, "x", keys...)
		p.first.Settle(t, m)
		p.catchUp(t)
		p.replication(t, "STOP", "")
		stall.begin(t)
		c := p.first.Session(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = c.Conn.ExecContext(t.Context(), "XA ROLLBACK 'x'") // the server dies over it
		}()
		daemon.Says(t, "cannot be read on the source yet; their keys wait")
		kill(t, p.first)
		<-ended
		p.promote(t)
		daemon.Says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		decide(t, p.second, "COMMIT", "x")
		m.AwaitGone(t, keys...)
		p.second.Settle(t, m)
		daemon.MustNotHaveSaid(t, `msg="a gap`)
		daemon.Stop(t)
	})
}
