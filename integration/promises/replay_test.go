package promises

import (
	"testing"
)

// A replay and a daemon read one source side by side: a source ends the older of two
// dumps that go by the same name.
func TestReplayBesideADaemonDisturbsNobody(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
		old := db.keys("old", 200)
		for i := 0; i < len(old); i += 10 {
			db.commit(t, old[i:i+10]...)
		}
		daemon := cfg.daemon(t)
		db.settle(t, m)
		for range 3 {
			fill(t, m, old...)
			at := cfg.position(t, "east")
			// Slow enough for the daemon to be at work meanwhile.
			replay := mcsqueal(t, "replay", "--config", cfg.path, "--from", "oldest", "--match", "^"+db.schema+":old:", "--rate", "400")
			for replay.running() {
				db.settle(t, m)
			}
			if status := replay.wait(t); status != 0 {
				t.Errorf("replay: exit status %d", status)
			}
			replay.mustNotHaveSaid(t, "the source is lost")
			mustBeGone(t, m, old...)
			if now := cfg.position(t, "east"); !now.Covers(at) {
				t.Errorf("the daemon's position has gone back from %s to %s", at, now)
			}
		}
		daemon.mustNotHaveSaid(t, "the source is lost")
		db.settle(t, m)
		daemon.stop(t)
	})
}
