package promises

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// An XA transaction is in the log where it is prepared, with its statements, and again
// where it is decided, without them: perhaps days later.

// prepare leaves an XA transaction prepared that names keys, in no session.
func prepare(t *testing.T, db *source, xid string, keys ...string) {
	t.Helper()
	c := db.session(t)
	defer c.close()
	c.exec(t, "XA START '"+xid+"'")
	for _, key := range keys {
		c.commit(t, key)
	}
	c.exec(t, "XA END '"+xid+"'")
	c.exec(t, "XA PREPARE '"+xid+"'")
}

// decide ends one: COMMIT or ROLLBACK.
func decide(t *testing.T, db *source, verb, xid string) {
	t.Helper()
	statement := fmt.Sprintf("XA %s '%s'", verb, xid)
	// The server may take a moment to let go of a session that has just gone.
	await(t, statement, func() bool {
		_, err := db.db.ExecContext(t.Context(), statement)
		return err == nil
	})
}

// allowXARecover lets mcsqueal see what is prepared; MariaDB lets everybody.
func allowXARecover(t *testing.T, db *source) {
	t.Helper()
	if db.mysql() {
		db.exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+user+"'@'%'")
	}
}

func TestPreparedTransactionsSurviveAKilledDaemon(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		allowXARecover(t, db)
		m := newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
		committed := func(name string) []string { return db.keys(name, 30) }
		down, up, older, undone := committed("down"), committed("up"), committed("older"), committed("undone")
		fill(t, m, older...)
		fill(t, m, undone...)
		daemon := cfg.daemon(t)
		prepare(t, db, "older", older...)
		prepare(t, db, "undone", undone...)
		db.settle(t, m)
		cfg.awaitPosition(t, "east", db.executed(t))
		daemon.kill(t)

		// Prepared and decided while it is down.
		fill(t, m, down...)
		prepare(t, db, "down", down...)
		decide(t, db, "COMMIT", "down")
		// Prepared while it is down, decided while it is up again.
		fill(t, m, up...)
		prepare(t, db, "up", up...)
		daemon = cfg.daemon(t)
		awaitGone(t, m, down...)
		mustBeThere(t, m, append(up, older...)...)
		cfg.awaitPosition(t, "east", db.executed(t))
		daemon.kill(t)

		daemon = cfg.daemon(t)
		decide(t, db, "COMMIT", "up")
		awaitGone(t, m, up...)
		daemon.kill(t)

		// Prepared before the first of all ends, decided after the last.
		decide(t, db, "COMMIT", "older")
		decide(t, db, "ROLLBACK", "undone")
		daemon = cfg.daemon(t)
		awaitGone(t, m, older...)
		db.settle(t, m)
		mustBeThere(t, m, undone...)
		daemon.mustNotHaveSaid(t, `msg="a gap`)
		daemon.stop(t)
	})
}

// A transaction that was prepared before anybody read the log has keys that nobody
// knows, and a commit still to come.
func TestTransactionPreparedBeforeTheFirstStartIsAGap(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		allowXARecover(t, db)
		m := newCache(t)
		lines := []string{from(db.url()), to(cluster("east", "servers", m.Addr()))}
		cfg := configure(t, lines...)
		unknown := db.key("unknown")
		fill(t, m, unknown)
		prepare(t, db, "first", unknown)
		prepare(t, db, "second", db.key("undone"))
		names := []string{"XA COMMIT or XA ROLLBACK", xid("first"), xid("second")}
		cfg.run(t).fails(t, 3, append(names, "cluster east: gap")...)
		// It is no better the second time.
		cfg.run(t).fails(t, 3, names...)

		// One that is rolled back takes its keys with it; the other's commit is still a
		// gap, for its keys are unknown.
		decide(t, db, "ROLLBACK", "second")
		decide(t, db, "COMMIT", "first")
		cfg.run(t).fails(t, 3, "cluster east: gap", "XA COMMIT "+xid("first"))
		mustBeThere(t, m, unknown)

		// With on_gap: flush the caches are flushed for it, at the commit, too.
		prepare(t, db, "third", unknown)
		flushing := configure(t, append(lines, "on_gap: flush")...)
		daemon := flushing.daemon(t)
		daemon.says(t, "flushed; going on")
		fill(t, m, unknown)
		db.settle(t, m)
		decide(t, db, "COMMIT", "third")
		awaitGone(t, m, unknown)
		daemon.saysTimes(t, 2, "flushed; going on")
		db.settle(t, m)
		daemon.stop(t)
	})
}

// Without the privilege to see what is prepared, which MariaDB gives to everybody, the
// commit says it.
func TestTransactionPreparedUnseenIsAGapWhenItIsCommitted(t *testing.T) {
	t.Parallel()
	db := own(t, servers.KindMySQL, servers.Config{})
	m := newCache(t)
	cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
	prepare(t, db, "unseen", db.key("unknown"))
	daemon := cfg.daemon(t)
	daemon.says(t, "it cannot be found out whether XA transactions are prepared.*GRANT XA_RECOVER_ADMIN")
	db.settle(t, m)
	decide(t, db, "COMMIT", "unseen")
	daemon.fails(t, 3, "cluster east: gap", "XA COMMIT "+xid("unseen"))
}

// xid is how a name of an XA transaction is written by mcsqueal.
func xid(name string) string { return fmt.Sprintf("X'%s',X'',1", hex.EncodeToString([]byte(name))) }

// An XID may be of zeros all through, and is one all the same: its keys leave at the
// decision. MariaDB refuses such.
func TestTransactionNamedByNothingIsPreparedLikeAnyOther(t *testing.T) {
	t.Parallel()
	db := own(t, servers.KindMySQL, servers.Config{})
	m := newCache(t)
	cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
	daemon := cfg.daemon(t)
	keys := db.keys("k", 10)
	fill(t, m, keys...)
	c := db.session(t)
	const none = "'','',0"
	c.exec(t, "XA START "+none)
	for _, key := range keys {
		c.commit(t, key)
	}
	c.exec(t, "XA END "+none)
	c.exec(t, "XA PREPARE "+none)
	db.settle(t, m)
	mustBeThere(t, m, keys...)
	c.exec(t, "XA COMMIT "+none)
	awaitGone(t, m, keys...)
	daemon.stop(t)
}
