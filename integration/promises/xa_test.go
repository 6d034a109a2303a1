package promises

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// An XA transaction is in the log where it is prepared, with its statements, and again
// where it is decided, without them: perhaps days later.

// prepare leaves an XA transaction prepared that names keys, in no session.
func prepare(t *testing.T, db *harness.Database, xid string, keys ...string) {
	t.Helper()
	c := db.Session(t)
	defer c.Close()
	c.Exec(t, "XA START '"+xid+"'")
	for _, key := range keys {
		c.Commit(t, key)
	}
	c.Exec(t, "XA END '"+xid+"'")
	c.Exec(t, "XA PREPARE '"+xid+"'")
}

// decide ends one: COMMIT or ROLLBACK.
func decide(t *testing.T, db *harness.Database, verb, xid string) {
	t.Helper()
	statement := fmt.Sprintf("XA %s '%s'", verb, xid)
	// The server may take a moment to let go of a session that has just gone.
	harness.Await(t, statement, func() bool {
		_, err := db.Pool.ExecContext(t.Context(), statement)
		return err == nil
	})
}

// allowXARecover lets mcsqueal see what is prepared; MariaDB lets everybody.
func allowXARecover(t *testing.T, db *harness.Database) {
	t.Helper()
	if db.IsMySQL() {
		db.Exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+harness.User+"'@'%'")
	}
}

func TestPreparedTransactionsSurviveAKilledDaemon(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		allowXARecover(t, db)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		committed := func(name string) []string { return db.Numbered(name, 30) }
		down, up, older, undone := committed("down"), committed("up"), committed("older"), committed("undone")
		m.Fill(t, older...)
		m.Fill(t, undone...)
		daemon := cfg.Daemon(t)
		prepare(t, db, "older", older...)
		prepare(t, db, "undone", undone...)
		db.Settle(t, m)
		cfg.AwaitPosition(t, "east", db.GTIDs(t))
		daemon.Kill(t)

		// Prepared and decided while it is down.
		m.Fill(t, down...)
		prepare(t, db, "down", down...)
		decide(t, db, "COMMIT", "down")
		// Prepared while it is down, decided while it is up again.
		m.Fill(t, up...)
		prepare(t, db, "up", up...)
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, down...)
		m.MustHave(t, append(up, older...)...)
		cfg.AwaitPosition(t, "east", db.GTIDs(t))
		daemon.Kill(t)

		daemon = cfg.Daemon(t)
		decide(t, db, "COMMIT", "up")
		m.AwaitGone(t, up...)
		daemon.Kill(t)

		// Prepared before the first of all ends, decided after the last.
		decide(t, db, "COMMIT", "older")
		decide(t, db, "ROLLBACK", "undone")
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, older...)
		db.Settle(t, m)
		m.MustHave(t, undone...)
		daemon.MustNotHaveSaid(t, `msg="a gap`)
		daemon.Stop(t)
	})
}

// A transaction that was prepared before anybody read the log has keys that nobody
// knows, and a commit still to come.
func TestTransactionPreparedBeforeTheFirstStartIsAGap(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		allowXARecover(t, db)
		m := harness.NewCache(t)
		east := to(cluster("east", "servers", m.Addr()))
		cfg := harness.Configure(t, db.SourceURL(), east)
		unknown := db.Key("unknown")
		m.Fill(t, unknown)
		prepare(t, db, "first", unknown)
		prepare(t, db, "second", db.Key("undone"))
		names := []string{"XA COMMIT or XA ROLLBACK", xid("first"), xid("second")}
		cfg.Run(t).MustEnd(t, 3, append(names, "cluster east: gap")...)
		// It is no better the second time.
		cfg.Run(t).MustEnd(t, 3, names...)

		// One that is rolled back takes its keys with it; the other's commit is still a
		// gap, for its keys are unknown.
		decide(t, db, "ROLLBACK", "second")
		decide(t, db, "COMMIT", "first")
		cfg.Run(t).MustEnd(t, 3, "cluster east: gap", "XA COMMIT "+xid("first"))
		m.MustHave(t, unknown)

		// With on_gap: flush the caches are flushed for it, at the commit, too.
		prepare(t, db, "third", unknown)
		flushing := harness.Configure(t, db.SourceURL(), east, "on_gap: flush")
		daemon := flushing.Daemon(t)
		daemon.Says(t, "flushed; going on")
		m.Fill(t, unknown)
		db.Settle(t, m)
		decide(t, db, "COMMIT", "third")
		m.AwaitGone(t, unknown)
		daemon.SaysTimes(t, 2, "flushed; going on")
		db.Settle(t, m)
		daemon.Stop(t)
	})
}

// Without the privilege to see what is prepared, which MariaDB gives to everybody, the
// commit says it.
func TestTransactionPreparedUnseenIsAGapWhenItIsCommitted(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMySQL, servers.Config{})
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
	prepare(t, db, "unseen", db.Key("unknown"))
	daemon := cfg.Daemon(t)
	daemon.Says(t, "it cannot be found out whether XA transactions are prepared.*GRANT XA_RECOVER_ADMIN")
	db.Settle(t, m)
	decide(t, db, "COMMIT", "unseen")
	daemon.MustEnd(t, 3, "cluster east: gap", "XA COMMIT "+xid("unseen"))
}

// xid is how a name of an XA transaction is written by mcsqueal.
func xid(name string) string { return fmt.Sprintf("X'%s',X'',1", hex.EncodeToString([]byte(name))) }

// An XID may be of zeros all through, and is one all the same: its keys leave at the
// decision. MariaDB refuses such.
func TestTransactionNamedByNothingIsPreparedLikeAnyOther(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMySQL, servers.Config{})
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
	daemon := cfg.Daemon(t)
	keys := db.Numbered("k", 10)
	m.Fill(t, keys...)
	c := db.Session(t)
	const none = "'','',0"
	c.Exec(t, "XA START "+none)
	for _, key := range keys {
		c.Commit(t, key)
	}
	c.Exec(t, "XA END "+none)
	c.Exec(t, "XA PREPARE "+none)
	db.Settle(t, m)
	m.MustHave(t, keys...)
	c.Exec(t, "XA COMMIT "+none)
	m.AwaitGone(t, keys...)
	daemon.Stop(t)
}
