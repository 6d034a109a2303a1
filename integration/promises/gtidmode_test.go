package promises

import (
	"testing"

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
				db := own(t, servers.KindMySQL, servers.Config{Args: []string{"--gtid-mode=" + steps[0]}})
				m := newCache(t)
				cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
				daemon := cfg.daemon(t)
				db.settle(t, m)
				for i, step := range steps {
					missed := db.keys("missed"+step, 5)
					fill(t, m, missed...)
					if restarts {
						daemon.stop(t)
					}
					if i > 0 {
						db.exec(t, "SET GLOBAL gtid_mode = "+step)
					}
					for _, key := range missed {
						db.commit(t, key)
					}
					if restarts {
						daemon = cfg.daemon(t)
					} else {
						restartReplica(t, db)
					}
					awaitGone(t, m, missed...)
					db.settle(t, m)
				}
				daemon.stop(t)
				daemon.mustNotHaveSaid(t, `msg="a gap`)
				// And back again from where it stands.
				daemon = cfg.daemon(t)
				db.settle(t, m)
				daemon.stop(t)
				daemon.mustNotHaveSaid(t, `msg="a gap`)
			})
		}
	}
}
