package promises

import (
	"testing"
	"time"
)

// A reader who looked before the first delete may fill the cache after it. Where there
// are no leases a second delete, some time later, makes that good.
func TestKeyIsDeletedAgainAfterItsDelay(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		m := newCache(t)
		const delay = 1500 * time.Millisecond
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr(), "redelete_after: ["+delay.String()+"]")))
		daemon := cfg.daemon(t)
		// refilled commits keys, and fills them again between the first delete and the
		// second; began is when the commit did.
		refilled := func(keys []string) (began time.Time) {
			t.Helper()
			for {
				fill(t, m, keys...)
				began = time.Now()
				db.commit(t, keys...)
				awaitGone(t, m, keys...)
				fill(t, m, keys...)
				if time.Since(began) < delay {
					return began
				}
				// Too slow a machine just now: the second may have come already.
			}
		}
		first := db.keys("first", 20)
		began := refilled(first)
		awaitGone(t, m, first...)
		if took := time.Since(began); took < delay {
			t.Errorf("the second delete came %v after the commit, want %v at least", took, delay)
		}
		// Once, and not for ever.
		db.settle(t, m)
		hold(t, delay)
		fill(t, m, first...)
		hold(t, delay+delay/2)
		mustBeThere(t, m, first...)

		// What is due is remembered by the position alone, through a crash.
		second := db.keys("second", 20)
		refilled(second)
		daemon.kill(t)
		daemon = cfg.daemon(t)
		awaitGone(t, m, second...) // the first delete again
		fill(t, m, second...)
		awaitGone(t, m, second...)

		// An orderly end waits for what is due, if that is soon.
		third := db.keys("third", 20)
		refilled(third)
		done := db.executed(t)
		daemon.stop(t)
		mustBeGone(t, m, third...)
		if !cfg.has(t, "east", done) {
			t.Errorf("the position is %s, want all of %s", cfg.position(t, "east"), done)
		}
	})
}

// Where the Log holds less than what comes in the delay, second deletes leave early
// instead of keeping first ones back.
func TestSecondDeletesKeepNoFirstOneBack(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), "log_bytes: 64KiB", to(cluster("east", "servers", m.Addr(), "redelete_after: [1h]")))
		daemon := cfg.daemon(t)
		db.settle(t, m)
		// Several times what the Log holds.
		keys := db.longKeys("k", 2000)
		fill(t, m, keys...)
		db.flood(t, keys)
		awaitGone(t, m, keys...)
		daemon.says(t, "second deletes leave before their delay is over")
	})
}
