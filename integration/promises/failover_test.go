package promises

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// pair is a server and its replica, by GTID, with the test's schema on both.
type pair struct {
	first, second *source
}

func newPair(t *testing.T, kind servers.Kind) *pair {
	t.Helper()
	p := &pair{first: own(t, kind, servers.Config{})}
	replica := start(t, kind, servers.Config{})
	if err := replica.ReplicateFrom(t.Context(), p.first.Database); err != nil {
		t.Fatal(err)
	}
	p.second = p.first.on(t, replica)
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
	if !p.second.mysql() {
		what = " SLAVE "
	}
	p.second.exec(t, verb+what+thread)
}

// promote ends the replication for good: the second is the source from here on.
func (p *pair) promote(t *testing.T) {
	t.Helper()
	p.replication(t, "STOP", "")
	if p.second.mysql() {
		p.second.exec(t, "RESET REPLICA ALL")
	} else {
		p.second.exec(t, "RESET SLAVE ALL")
	}
}

func TestFailoverGoesOnAtTheNextServer(t *testing.T) {
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		east, west := newCache(t), newCache(t)
		way := newWire(t, west.Addr())
		cfg := configure(t, from(p.first.url(), p.second.url()), to(
			cluster("east", "servers", east.Addr()), cluster("west", "servers", way.addr(), "timeout: 1s")))
		daemon := cfg.daemon(t)
		p.first.settle(t, east, west)

		// West has not got what the first server logged last, when that dies.
		way.cut()
		late := p.first.keys("late", 50)
		fill(t, west, late...)
		for _, key := range late {
			p.first.commit(t, key)
		}
		p.first.settle(t, east)
		p.catchUp(t)
		kill(t, p.first)
		p.promote(t)
		later := p.first.keys("later", 50)
		fill(t, east, later...)
		fill(t, west, later...)
		for _, key := range later {
			p.second.commit(t, key)
		}
		awaitGone(t, east, later...)
		daemon.says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		way.mend(t)
		awaitGone(t, west, late...)
		awaitGone(t, west, later...)
		p.second.settle(t, east, west)
		done := p.second.executed(t)
		daemon.stop(t)
		for _, name := range []string{"east", "west"} {
			if !cfg.has(t, name, done) {
				t.Errorf("%s stands at %s after all of %s was delivered", name, cfg.position(t, name), done)
			}
		}

		// It starts there, too, with the first one dead.
		missed := p.first.key("missed")
		fill(t, east, append(later, missed)...)
		p.second.commit(t, missed)
		daemon = cfg.daemon(t)
		awaitGone(t, east, missed)
		mustBeThere(t, east, later...)
		daemon.stop(t)
	})
}

// What the dead server had in its log, and no reader ever saw, may never come to be.
// It must not count as executed: on MariaDB the next server gives the same numbers to
// other transactions.
func TestFailoverForgetsWhatWasNeverVisible(t *testing.T) {
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		// The second one's log has the same files and is further on in them: as a place, it
		// would say that all is visible.
		own := p.second.session(t)
		if !p.second.mysql() {
			own.exec(t, "SET gtid_domain_id = 9")
		}
		own.exec(t, "CREATE TABLE only_here (id INT AUTO_INCREMENT PRIMARY KEY, filler TEXT)")
		own.exec(t, "INSERT INTO only_here (filler) VALUES (REPEAT('x', 60000))")
		stall := newStall(t, p.first)
		m := newCache(t)
		cfg := configure(t, from(p.first.url(), p.second.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		p.first.settle(t, m)

		p.replication(t, "STOP", "")
		visible := p.first.executed(t)
		s := newPhantoms(t, p.first, 10)
		fill(t, m, s.keys...)
		stall.group(t, len(s.keys))
		stall.begin(t)
		s.commit(t)
		daemon.says(t, "cannot be read on the source yet; their keys wait")
		kill(t, p.first)
		s.wait(t)
		daemon.says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		mustBeThere(t, m, s.keys...)

		p.promote(t)
		others := p.first.keys("other", 30)
		fill(t, m, others...)
		for _, key := range others {
			p.second.commit(t, key)
		}
		awaitGone(t, m, others...)
		p.second.settle(t, m)
		mustBeThere(t, m, s.keys...)
		done := p.second.executed(t)
		daemon.stop(t)
		at := cfg.position(t, "east").GTIDs
		if !at.Covers(done) || !done.Covers(at) || !at.Covers(visible) {
			t.Errorf("the position is %s, want %s: what the second server has executed, and nothing else", at, done)
		}
	})
}

// phantoms are transactions that stall, and die with their server.
type phantoms struct {
	keys     []string
	sessions []*session
	ended    chan struct{}
}

func newPhantoms(t *testing.T, db *source, n int) *phantoms {
	t.Helper()
	p := &phantoms{keys: db.keys("phantom", n), ended: make(chan struct{}, n)}
	for _, key := range p.keys {
		c := db.session(t)
		c.exec(t, "BEGIN")
		c.commit(t, key)
		p.sessions = append(p.sessions, c)
	}
	return p
}

// commit begins to commit all of them; wait waits until all have failed.
func (p *phantoms) commit(t *testing.T) {
	t.Helper()
	for _, c := range p.sessions {
		go func() {
			_, _ = c.conn.ExecContext(t.Context(), "COMMIT") // the server dies over it
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
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		m := newCache(t)
		cfg := configure(t, from(p.first.url(), p.second.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		p.first.settle(t, m)
		thread := "SQL_THREAD"
		p.replication(t, "STOP", thread)
		p.first.settle(t, m)
		received(t, p)
		kill(t, p.first)
		daemon.says(t, "the source is lost; connecting again.*gap: "+p.second.Addr())
		p.replication(t, "START", thread)
		daemon.says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		p.second.settle(t, m)
		daemon.stop(t)
	})
}

// received waits until the replica has the first one's whole log, applied or not.
func received(t *testing.T, p *pair) {
	t.Helper()
	query, file, offset := "SHOW REPLICA STATUS", "Source_Log_File", "Read_Source_Log_Pos"
	end := "SHOW BINARY LOG STATUS"
	if !p.first.mysql() {
		query, file, offset, end = "SHOW SLAVE STATUS", "Master_Log_File", "Read_Master_Log_Pos", "SHOW MASTER STATUS"
	}
	want := p.first.rows(t, end)[0]
	await(t, "the replica has received the whole log", func() bool {
		status := p.second.record(t, query)
		return status[file] == want[0] && status[offset] == want[1]
	})
}

// When nobody has what was delivered already, that is a gap, and it says what is
// missing: the caches may lack deletes of what comes instead.
func TestFailoverToAServerThatLacksThePositionIsAGap(t *testing.T) {
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		m := newCache(t)
		cfg := configure(t, from(p.first.url(), p.second.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		p.first.settle(t, m)
		p.catchUp(t)
		p.replication(t, "STOP", "")
		has := p.second.executed(t)
		for range 5 {
			p.first.settle(t, m)
		}
		missing := has.Missing(p.first.executed(t))
		cfg.awaitPosition(t, "east", missing)
		kill(t, p.first)
		parts := []string{"cluster east: gap: " + p.second.Addr(), missing.String()}
		daemon.fails(t, 3, parts...)
		// And so it is at a start.
		cfg.run(t).fails(t, 3, parts...)
		if at := cfg.position(t, "east").GTIDs; !at.Covers(missing) {
			t.Errorf("the position has gone back to %s", at)
		}
	})
}

// What is prepared on the first server may be decided on the second.
func TestFailoverKeepsWhatIsPrepared(t *testing.T) {
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		allowXARecover(t, p.first)
		p.catchUp(t)
		m := newCache(t)
		cfg := configure(t, from(p.first.url(), p.second.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		p.first.settle(t, m)
		kept, undone := p.first.keys("kept", 20), p.first.keys("undone", 20)
		fill(t, m, kept...)
		fill(t, m, undone...)
		prepare(t, p.first, "kept", kept...)
		prepare(t, p.first, "undone", undone...)
		p.first.settle(t, m)
		p.catchUp(t)
		kill(t, p.first)
		p.promote(t)
		p.second.settle(t, m)
		mustBeThere(t, m, append(kept, undone...)...)
		decide(t, p.second, "ROLLBACK", "undone")
		decide(t, p.second, "COMMIT", "kept")
		awaitGone(t, m, kept...)
		p.second.settle(t, m)
		mustBeThere(t, m, undone...)
		daemon.mustNotHaveSaid(t, `msg="a gap`)
		daemon.stop(t)
	})
}

// The first server has rolled back what it had prepared, nobody saw it, and it dies; on
// the second the same is committed.
func TestFailoverTakesBackADecisionThatNobodySaw(t *testing.T) {
	eachKind(t, func(t *testing.T, kind servers.Kind) {
		p := newPair(t, kind)
		allowXARecover(t, p.first)
		p.catchUp(t)
		stall := newStall(t, p.first)
		m := newCache(t)
		cfg := configure(t, from(p.first.url(), p.second.url()), to(cluster("east", "servers", m.Addr())))
		daemon := cfg.daemon(t)
		p.first.settle(t, m)
		keys := p.first.keys("k", 20)
		fill(t, m, keys...)
		prepare(t, p.first, "x", keys...)
		p.first.settle(t, m)
		p.catchUp(t)
		p.replication(t, "STOP", "")
		stall.begin(t)
		c := p.first.session(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = c.conn.ExecContext(t.Context(), "XA ROLLBACK 'x'") // the server dies over it
		}()
		daemon.says(t, "cannot be read on the source yet; their keys wait")
		kill(t, p.first)
		<-ended
		p.promote(t)
		daemon.says(t, "the reading goes back to what was visible.*source="+p.second.Addr())
		decide(t, p.second, "COMMIT", "x")
		awaitGone(t, m, keys...)
		p.second.settle(t, m)
		daemon.mustNotHaveSaid(t, `msg="a gap`)
		daemon.stop(t)
	})
}
