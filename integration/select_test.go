package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Who serves some clusters alone leaves the others what they need to go on: their
// places, and the keys of XA transactions that are decided upon meanwhile.
func TestRunServesTheNamedClustersAloneAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr()))
		daemon := cfg.Daemon(t)
		s, branch := db.Session(t), db.Session(t)
		prepared, plain := db.Key("prepared"), db.Key("plain")
		east.Fill(t, prepared, plain)
		west.Fill(t, prepared, plain)
		branch.Exec(t, "XA START 'x'; INSERT /* mc: {prepared} */ INTO settled VALUES (); XA END 'x'; XA PREPARE 'x'")
		branch.Close()
		s.Settle(t, east)
		s.Settle(t, west)
		daemon.Stop(t)
		before, _ := cfg.Checkpoint(t)

		daemon = cfg.Daemon(t, "--cluster", "east")
		s.Commit(t, plain)
		db.Decides(t, "XA COMMIT 'x'")
		east.AwaitGone(t, plain, prepared)
		s.Settle(t, east)
		west.MustHave(t, plain, prepared)
		daemon.Stop(t)
		after, _ := cfg.Checkpoint(t)
		if diff := cmp.Diff(before.Clusters["west"], after.Clusters["west"]); diff != "" {
			t.Errorf("the other cluster's place (-before +after):\n%s", diff)
		}
		if cmp.Equal(before.Clusters["east"], after.Clusters["east"]) {
			t.Error("the named cluster's place has not moved")
		}

		daemon = cfg.Daemon(t)
		west.AwaitGone(t, plain, prepared)
		s.Settle(t, west)
		daemon.Stop(t)
		for _, dry := range [][]string{nil, {"--dry-run"}} {
			harness.Mcsqueal(t, append([]string{"run", "--config", cfg.Path, "--cluster", "esat"}, dry...)...).MustEnd(t, 2, "esat", "did you mean east")
		}
	})
}
