package promises

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// A reader who looked before the first delete may fill the cache after it. Where there
// are no leases a second delete, some time later, makes that good.
func TestKeyIsDeletedAgainAfterItsDelay(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		const delay = 1500 * time.Millisecond
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr(), "redelete_after: ["+delay.String()+"]", "match: '^"+db.Schema+":'")))
		daemon := cfg.Daemon(t)
		// refilled commits keys, and fills them again between the first delete and the
		// second; began is when the commit did.
		refilled := func(name string) (keys []string, began time.Time) {
			t.Helper()
			for attempt := 0; ; attempt++ {
				keys = db.Numbered(fmt.Sprintf("%s:%d", name, attempt), 20)
				m.Fill(t, keys...)
				began = time.Now()
				db.Commit(t, keys...)
				m.AwaitGone(t, keys...)
				m.Fill(t, keys...)
				if time.Since(began) < delay {
					return keys, began
				}
				// Too slow a machine just now: the second may have come already, or come to
				// the same keys again. So others are taken.
			}
		}
		first, began := refilled("first")
		m.AwaitGone(t, first...)
		if took := time.Since(began); took < delay {
			t.Errorf("the second delete came %v after the commit, want %v at least", took, delay)
		}
		// Once, and not for ever.
		db.Settle(t, m)
		hold(t, delay)
		m.Fill(t, first...)
		hold(t, delay+delay/2)
		m.MustHave(t, first...)

		// What is due is remembered by the position alone, through a crash.
		second, _ := refilled("second")
		daemon.Kill(t)
		deletes := func() int { return m.Stat(t, "delete_hits") + m.Stat(t, "delete_misses") }
		before := deletes()
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, second...)
		harness.Await(t, "the first deletes come again, and the second ones", func() bool { return deletes() >= before+2*len(second) })

		// An orderly end waits for what is due, if that is soon.
		third, _ := refilled("third")
		done := db.GTIDs(t)
		daemon.Stop(t)
		m.MustLack(t, third...)
		if !cfg.Has(t, "east", done) {
			t.Errorf("the position is %s, want all of %s", cfg.Position(t, "east"), done)
		}
	})
}

// Where the Log holds less than what comes in the delay, second deletes leave early
// instead of keeping first ones back.
func TestSecondDeletesKeepNoFirstOneBack(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "log_bytes: 64KiB", to(cluster("east", "servers", m.Addr(), "redelete_after: [1h]")))
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		// Several times what the Log holds.
		keys := longKeys(db, "k", 2000)
		m.Fill(t, keys...)
		flood(t, db, keys)
		m.AwaitGone(t, keys...)
		daemon.Says(t, "second deletes leave before their delay is over")
	})
}
