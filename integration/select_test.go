package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Who serves some clusters alone leaves the others what they need to go on: their
// places, and the keys of XA transactions that are decided upon meanwhile.
func TestRunServesTheNamedClustersAloneAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		east, west := newCache(t), newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", east.Addr()), cluster("west", "servers", west.Addr()))
		daemon := cfg.daemon(t)
		s, branch := db.session(t), db.session(t)
		prepared, plain := db.key("prepared"), db.key("plain")
		fill(t, east, prepared, plain)
		fill(t, west, prepared, plain)
		branch.exec(t, "XA START 'x'; INSERT /* mc: {prepared} */ INTO settled VALUES (); XA END 'x'; XA PREPARE 'x'")
		branch.close()
		s.settle(t, east)
		s.settle(t, west)
		daemon.stop(t)
		before, _ := cfg.checkpoint(t)

		daemon = cfg.daemon(t, "--cluster", "east")
		s.commit(t, plain)
		db.decides(t, "XA COMMIT 'x'")
		awaitGone(t, east, plain, prepared)
		s.settle(t, east)
		mustBeThere(t, west, plain, prepared)
		daemon.stop(t)
		after, _ := cfg.checkpoint(t)
		if diff := cmp.Diff(before.Clusters["west"], after.Clusters["west"]); diff != "" {
			t.Errorf("the other cluster's place (-before +after):\n%s", diff)
		}
		if cmp.Equal(before.Clusters["east"], after.Clusters["east"]) {
			t.Error("the named cluster's place has not moved")
		}

		daemon = cfg.daemon(t)
		awaitGone(t, west, plain, prepared)
		s.settle(t, west)
		daemon.stop(t)
		for _, dry := range [][]string{nil, {"--dry-run"}} {
			mcsqueal(t, append([]string{"run", "--config", cfg.path, "--cluster", "esat"}, dry...)...).failed(t, 2, "esat", "did you mean east")
		}
	})
}
