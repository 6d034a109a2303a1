package promises

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// GTIDs are turned on and off on a running server in steps (the manual's "Changing GTID
// Mode Online"). On the way its log holds transactions with and without, and at some
// steps it refuses to be asked for by GTID. Nothing of that is a gap.
func TestChangingGTIDModeOnlineIsNoGap(t *testing.T) {
	for name, steps := range map[string][]string{
		"on":  {"OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"},
		"off": {"ON", "ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"},
	} {
		for _, restarts := range []bool{false, true} {
			kind := name + ", with the daemon running"
			if restarts {
				kind = name + ", with the daemon down at each step"
			}
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				db := harness.Own(t, servers.KindMySQL, servers.Config{Args: []string{"--gtid-mode=" + steps[0]}})
				m := harness.NewCache(t)
				cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
				daemon := cfg.Daemon(t)
				db.Settle(t, m)
				for i, step := range steps {
					missed := db.Numbered("missed"+step, 5)
					m.Fill(t, missed...)
					if restarts {
						daemon.Stop(t)
					}
					if i > 0 {
						db.Exec(t, "SET GLOBAL gtid_mode = "+step)
					}
					for _, key := range missed {
						db.Commit(t, key)
					}
					if restarts {
						daemon = cfg.Daemon(t)
					} else {
						restartReplica(t, db)
					}
					m.AwaitGone(t, missed...)
					db.Settle(t, m)
				}
				daemon.Stop(t)
				daemon.MustNotHaveSaid(t, `msg="a gap`)
				// And back again from where it stands.
				daemon = cfg.Daemon(t)
				db.Settle(t, m)
				daemon.Stop(t)
				daemon.MustNotHaveSaid(t, `msg="a gap`)
			})
		}
	}
}
