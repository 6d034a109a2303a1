package promises

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// A replay and a daemon read one source side by side: a source ends the older of two
// dumps that go by the same name.
func TestReplayBesideADaemonDisturbsNobody(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		old := db.Numbered("old", 200)
		for i := 0; i < len(old); i += 10 {
			db.Commit(t, old[i:i+10]...)
		}
		daemon := cfg.Daemon(t)
		db.Settle(t, m)
		for range 3 {
			m.Fill(t, old...)
			at := cfg.Position(t, "east")
			// Slow enough for the daemon to be at work meanwhile.
			replay := harness.Call{Args: []string{"replay", "--config", cfg.Path, "--from", "oldest", "--match", "^" + db.Schema + ":old:", "--rate", "400"}}.Start(t)
			for !replay.Ended() {
				db.Settle(t, m)
			}
			if status := replay.Wait(t); status != 0 {
				t.Errorf("replay: exit status %d", status)
			}
			replay.MustNotHaveSaid(t, "the source is lost")
			m.MustLack(t, old...)
			if now := cfg.Position(t, "east"); !now.Covers(at) {
				t.Errorf("the daemon's position has gone back from %s to %s", at, now)
			}
		}
		daemon.MustNotHaveSaid(t, "the source is lost")
		db.Settle(t, m)
		daemon.Stop(t)
	})
}
