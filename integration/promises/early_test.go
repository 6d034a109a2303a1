package promises

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A commit's events reach whoever tails the log before the commit can be read. With
// semi-synchronous replication that waits after the log's sync, and no replica that
// answers, that lasts for as long as one likes. A delete that leaves in between is
// followed by a reader who fills the cache with the old row, and that stays.
//
// Two daemons tail one source in each of these tests, one with the barrier and one
// without. The second shows that what the first holds back had been sent.

// stalledItems are written while commits stall, each in a session of its own; then as
// many others.
const stalledItems = 12

func TestNoDeleteLeavesBeforeItsCommitCanBeRead(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		s := newStock(t, db, stalledItems)
		stall := newStall(t, db)
		with, without := s.newShelf(t, "auto"), s.newShelf(t, "off")
		withClosed, withoutClosed := with.open(t, 1), without.open(t, 1)
		with.mark(t)
		without.mark(t)

		stall.group(t, stalledItems)
		stall.begin(t)
		commits := s.sellEach(t, 0, stalledItems)
		harness.Await(t, "deletes leave without the barrier", func() bool { return without.deleted(t) > 0 })
		without.awaitFull(t, s.items...)
		with.daemon.Says(t, "cannot be read on the source yet; their keys wait")
		if n := with.deleted(t); n > 0 {
			t.Errorf("%d keys were deleted of commits that cannot be read", n)
		}
		stall.end(t)
		commits()
		stall.group(t, 0)
		s.Settle(t, with.cache, without.cache)
		withClosed()
		withoutClosed()

		kept, lost := with.stale(t), without.stale(t)
		t.Logf("stale after a stall: %d of %d keys with the barrier, %d without", kept, stalledItems, lost)
		if kept > 0 {
			t.Errorf("%d stale fills have survived the delete", kept)
		}
		if lost == 0 {
			t.Error("without the barrier no fill was stale, so this is no test of it")
		}
		if n := with.deleted(t); n < stalledItems {
			t.Errorf("%d keys were deleted in the end, want at least %d", n, stalledItems)
		}
		with.daemon.Stop(t)
		without.daemon.Stop(t)
	})
}

// snapshotFile is the log file that MariaDB's engine is said to have come to.
func snapshotFile(t *testing.T, db *harness.Database) string {
	t.Helper()
	return db.Row(t, "SHOW GLOBAL STATUS LIKE 'binlog_snapshot_file'")["Value"]
}

// asking counts mcsqueal's sessions that wait for the answer to a statement that begins
// so.
func asking(t *testing.T, db *harness.Database, statement string) (n int) {
	t.Helper()
	for row := range db.Rows(t, "SHOW PROCESSLIST") {
		if row["User"] == harness.User && strings.HasPrefix(row["Info"], statement) {
			n++
		}
	}
	return n
}

// A rotation moves MariaDB's snapshot into the new file before the engine has committed
// what stands in the old one, and holds the log's lock until it has. MySQL's waits for
// the commits.
func TestNoDeleteLeavesEarlyOverARotation(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		s := newStock(t, db, 2*stalledItems)
		stall := newStall(t, db)
		with, without := s.newShelf(t, "auto"), s.newShelf(t, "off")
		withClosed, withoutClosed := with.open(t, 1), without.open(t, 1)
		with.mark(t)
		without.mark(t)
		files, snapshot := len(db.Logs(t)), ""
		if !db.IsMySQL() {
			snapshot = snapshotFile(t, db)
		}

		stall.group(t, stalledItems)
		stall.begin(t)
		commits := s.sellEach(t, 0, stalledItems)
		harness.Await(t, "deletes leave without the barrier", func() bool { return without.deleted(t) > 0 })
		rotated := make(chan error, 1)
		go func() {
			_, err := db.Pool.ExecContext(t.Context(), "FLUSH BINARY LOGS")
			rotated <- err
		}()
		if !db.IsMySQL() {
			harness.Await(t, "the snapshot has moved to the new file", func() bool { return snapshotFile(t, db) != snapshot })
		}
		more := s.sellEach(t, stalledItems, 2*stalledItems)
		with.daemon.SaysTimes(t, 3, "cannot be read on the source yet; their keys wait") // every five seconds
		if n := with.deleted(t); n > 0 {
			t.Errorf("%d keys were deleted of commits that cannot be read", n)
		}
		// What the daemon asks may have to wait for the log's lock. It must not ask again
		// and again, and leave a session there each time.
		if n := asking(t, db, "SHOW BINLOG EVENTS"); n > 1 {
			t.Errorf("%d sessions of the daemon wait for the log's lock, want one at most", n)
		}
		without.awaitFull(t, s.items...)
		stall.end(t)
		commits()
		more()
		stall.group(t, 0)
		if err := <-rotated; err != nil {
			t.Fatal(err)
		}
		s.Settle(t, with.cache, without.cache)
		withClosed()
		withoutClosed()

		kept, lost := with.stale(t), without.stale(t)
		t.Logf("stale after a stall over a rotation: %d of %d keys with the barrier, %d without; %d files", kept, len(s.items), lost, len(db.Logs(t))-files+1)
		if kept > 0 {
			t.Errorf("%d stale fills have survived the delete", kept)
		}
		if lost == 0 {
			t.Log("without the barrier no fill was stale this time: chance decides here; the stalled sources above show it for certain")
		}
		if len(db.Logs(t)) == files {
			t.Error("the log was not rotated, so this is no test of it")
		}
		with.daemon.Stop(t)
		without.daemon.Stop(t)
	})
}

// Commits stall and go on, again and again, in files that hold a few of them each.
func TestNoDeleteLeavesEarlyOverManyRotations(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		s := newStock(t, db, 32)
		stall := newStall(t, db)
		db.Exec(t, "SET GLOBAL max_binlog_size = 4096")
		with, without := s.newShelf(t, "auto"), s.newShelf(t, "off")
		withClosed, withoutClosed := with.open(t, 2), without.open(t, 1)
		files := len(db.Logs(t))

		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wait := s.churn(ctx, 12)
		stalls := 0
		// How many commits that is, and so rotations, is the machine's: until there are some.
		began, lasts := time.Now(), scaled(4*time.Second, time.Minute)
		for time.Since(began) < lasts || time.Since(began) < lasts+harness.Patience && len(db.Logs(t)) < files+10 {
			stall.begin(t)
			hold(t, 40*time.Millisecond)
			stall.end(t)
			stalls++
			hold(t, 10*time.Millisecond)
		}
		stop()
		sold, err := wait()
		if err != nil {
			t.Fatal(err)
		}
		s.Settle(t, with.cache, without.cache)
		withClosed()
		withoutClosed()

		kept, lost := with.stale(t), without.stale(t)
		t.Logf("stale after %d commits, %d stalls, %d rotations: %d of %d keys with the barrier, %d without",
			sold, stalls, len(db.Logs(t))-files, kept, len(s.items), lost)
		if kept > 0 {
			t.Errorf("%d stale fills have survived the delete", kept)
		}
		if lost == 0 {
			t.Log("without the barrier no fill was stale this time: chance decides here; the stalled sources above show it for certain")
		}
		if len(db.Logs(t)) < files+10 {
			t.Error("the log was hardly rotated, so this is no test of it")
		}
		with.daemon.Stop(t)
		without.daemon.Stop(t)
	})
}

// While nothing becomes visible, reading goes on until the Log is full, and then the
// dump is closed: the source is not kept waiting, and what it could not send is asked
// for again.
func TestStallThatFillsTheLogLosesNothing(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		stall := newStall(t, db)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "log_bytes: 64KiB", to(cluster("east", "servers", m.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		keys := longKeys(db, "k", 1000)
		m.Fill(t, keys...)
		stall.begin(t)
		committed := make(chan error, 1)
		go func() { committed <- db.Write(t.Context(), keys...) }()
		daemon.Says(t, "the dump is closed until half of it is free")
		daemon.Says(t, "cannot be read on the source yet; their keys wait")
		m.MustHave(t, keys...)
		stall.end(t)
		if err := <-committed; err != nil {
			t.Fatal(err)
		}
		m.AwaitGone(t, keys...)
		db.Settle(t, m)
		done := db.GTIDs(t)
		daemon.Stop(t)
		if !cfg.Has(t, "east", done) {
			t.Errorf("east stands at %s, want all of %s", cfg.Position(t, "east"), done)
		}
	})
}

// Without semi-synchronous replication the gap is short, and what comes of it is a
// matter of chance: what there is to see without the barrier is only told.
func TestNoDeleteLeavesEarlyOnABusySource(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		s := newStock(t, db, 16)
		with, without := s.newShelf(t, "auto"), s.newShelf(t, "off")
		withClosed, withoutClosed := with.open(t, 3), without.open(t, 3)
		kept, lost, sold := 0, 0, 0
		for until := time.Now().Add(scaled(4*time.Second, 5*time.Minute)); time.Now().Before(until); {
			s.sellEach(t, 0, len(s.items))()
			sold += len(s.items)
			s.Settle(t, with.cache, without.cache)
			kept += with.stale(t)
			lost += without.stale(t)
		}
		withClosed()
		withoutClosed()
		t.Logf("stale after %d commits: %d fills with the barrier, %d without", sold, kept, lost)
		if kept > 0 {
			t.Errorf("%d stale fills have survived the delete", kept)
		}
		with.daemon.Stop(t)
		without.daemon.Stop(t)
	})
}

// scaled is the time for the default form, or for the whole.
func scaled(d, full time.Duration) time.Duration {
	if *whole {
		return full
	}
	return d
}
