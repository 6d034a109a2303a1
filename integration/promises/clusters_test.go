package promises

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// smallLog is a Log that a few hundred long keys fill.
const smallLog = "log_bytes: 128KiB"

// longKeys are n keys of about 200 bytes.
func longKeys(db *harness.Database, name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%0*d", db.Key(name+":"), 200-len(db.Key(name)), i)
	}
	return keys
}

// flood commits keys, some in each transaction.
func flood(t *testing.T, db *harness.Database, keys []string) {
	t.Helper()
	for batch := range slices.Chunk(keys, 50) {
		db.Commit(t, batch...)
	}
}

// latency is the median time from a commit to its delete.
func latency(t *testing.T, db *harness.Database, m *harness.Cache) time.Duration {
	t.Helper()
	const commits = 41
	took := make([]time.Duration, commits)
	for i := range took {
		key := db.Key(fmt.Sprintf("latency:%d", i))
		m.Fill(t, key)
		began := time.Now()
		db.Commit(t, key)
		m.AwaitGone(t, key)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[commits/2]
}

// One cluster's router stands still and another's way there leads nowhere; the third
// does not notice, for as long as it lasts and while the two catch up. Nor do they
// lose anything.
func TestClusterThatIsAwayDelaysNobody(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		const timeout = 3 * time.Second
		east, west, north := harness.NewCache(t), harness.NewCache(t), harness.NewCache(t)
		way := harness.NewWire(t, north.Addr())
		cfg := harness.Configure(t, db.SourceURL(), smallLog, to(
			cluster("east", "servers", east.Addr()),
			cluster("west", "routers", west.Addr(), "timeout: "+timeout.String()),
			cluster("north", "routers", way.Addr(), "timeout: "+timeout.String())))
		daemon := cfg.Daemon(t)
		db.Settle(t, east, west, north)
		keys := longKeys(db, "k", 1500)
		for _, m := range []*harness.Cache{east, west, north} {
			m.Fill(t, keys...)
		}
		alone := latency(t, db, east)

		thaw := freeze(t, west.Instance)
		way.Swallow(t, "downstream")
		stuck := latency(t, db, east)
		flood(t, db, keys)
		away := latency(t, db, east)
		east.MustLack(t, keys...)
		north.MustHave(t, keys[len(keys)-1])

		thaw()
		way.Restore(t, "timeout")
		catching := latency(t, db, east)
		for _, name := range []string{"west", "north"} {
			for _, line := range []string{"a whole Log behind the others", "catching up on a reading of its own", "caught up; joining the main reading"} {
				daemon.Says(t, line+".* cluster="+name)
			}
		}
		west.AwaitGone(t, keys...)
		north.AwaitGone(t, keys...)
		db.Settle(t, east, west, north)
		done := db.GTIDs(t)
		daemon.Stop(t)
		for _, name := range []string{"east", "west", "north"} {
			if !cfg.Has(t, name, done) {
				t.Errorf("%s stands at %s, want all of %s", name, cfg.Position(t, name), done)
			}
		}
		t.Logf("median from commit to delete: %v with all there, %v with two stuck, %v with two away, %v while they catch up", alone, stuck, away, catching)
		// Waiting for another would take its timeout; how long it takes without is the machine's.
		if stuck >= timeout || away >= timeout || catching >= timeout {
			t.Errorf("the others' absence is felt; want less than %v", timeout)
		}
	})
}

// More clusters come back at once than may catch up at once, each from somewhere else.
func TestMoreClustersCatchUpThanMayAtOnce(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		here := harness.NewCache(t)
		var away []*harness.Cache
		clusters := []string{cluster("here", "servers", here.Addr())}
		for i := range 4 {
			m := harness.NewCache(t)
			away = append(away, m)
			clusters = append(clusters, cluster(fmt.Sprintf("away%d", i), "servers", m.Addr(), "timeout: 1s"))
		}
		cfg := harness.Configure(t, db.SourceURL(), smallLog, "catch_up: 1", to(clusters...))
		daemon := cfg.Daemon(t)
		db.Settle(t, append(away, here)...)
		keys := longKeys(db, "k", 2500)
		for _, m := range away {
			m.Fill(t, keys...)
		}
		var thaws []func()
		for i, m := range away {
			thaws = append(thaws, freeze(t, m.Instance))
			flood(t, db, keys[i*500:(i+1)*500])
		}
		flood(t, db, keys[len(away)*500:])
		db.Settle(t, here)
		for _, thaw := range thaws {
			thaw()
		}
		behind := 0
		for i, m := range away {
			m.AwaitGone(t, keys...)
			// Who happens to be the fastest, and alone in the Log, when it is frozen does not
			// fall out of it.
			if len(daemon.Said(fmt.Sprintf("a whole Log behind the others.* cluster=away%d", i))) > 0 {
				behind++
				daemon.Says(t, fmt.Sprintf("catching up on a reading of its own.* cluster=away%d", i))
				daemon.Says(t, fmt.Sprintf("caught up; joining the main reading.* cluster=away%d", i))
			}
		}
		if behind < 2 {
			t.Errorf("%d clusters were behind, want more than may catch up at once", behind)
		}
		db.Settle(t, append(away, here)...)
		daemon.Stop(t)
	})
}

// Each cluster goes on from its own place, and gets what lies behind it and nothing
// else; one that is new begins at start; one that is gone must be dropped by name.
func TestClustersGoOnFromTheirOwnPlaces(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		caches := []*harness.Cache{harness.NewCache(t), harness.NewCache(t), harness.NewCache(t), harness.NewCache(t)}
		names := []string{"oldest", "middle", "newest", "added"}
		all := make([]string, len(names))
		for i, name := range names {
			all[i] = cluster(name, "servers", caches[i].Addr())
		}
		cfg := harness.Configure(t, db.SourceURL(), smallLog, to(all[:3]...))
		old, recent := longKeys(db, "old", 1500), longKeys(db, "recent", 1500)
		// Before the middle, all that there is; behind it, twice what the Log holds.
		beginning := db.GTIDs(t)
		flood(t, db, old)
		middle := db.GTIDs(t)
		flood(t, db, recent)
		cfg.SetCheckpoint(t, "oldest", "gtid:"+beginning.String())
		cfg.SetCheckpoint(t, "middle", "gtid:"+middle.String())
		cfg.SetCheckpoint(t, "newest", "now")
		for _, m := range caches[:3] {
			m.Fill(t, old...)
			m.Fill(t, recent...)
		}
		daemon := cfg.Daemon(t)
		caches[0].AwaitGone(t, old...)
		caches[0].AwaitGone(t, recent...)
		caches[1].AwaitGone(t, recent...)
		db.Settle(t, caches[:3]...)
		caches[1].MustHave(t, old...)
		caches[2].MustHave(t, old...)
		caches[2].MustHave(t, recent...)
		daemon.Stop(t)

		// One is added.
		cfg.Write(t, db.SourceURL(), smallLog, "start: gtid:"+middle.String(), to(all...))
		caches[3].Fill(t, old...)
		caches[3].Fill(t, recent...)
		caches[1].Fill(t, recent...)
		daemon = cfg.Daemon(t)
		caches[3].AwaitGone(t, recent...)
		db.Settle(t, caches...)
		caches[3].MustHave(t, old...)
		caches[1].MustHave(t, recent...)
		daemon.Stop(t)

		// One goes.
		cfg.Write(t, db.SourceURL(), smallLog, to(all[1:]...))
		cfg.Run(t).MustEnd(t, 2, `"oldest"`, "mcsqueal checkpoint drop --cluster oldest")
		cfg.Do(t, "checkpoint", "drop", "--cluster", "oldest")
		daemon = cfg.Daemon(t)
		db.Settle(t, caches[1:]...)
		daemon.Stop(t)
	})
}

// A cluster that catches up slowly, for whatever reason, has its turn at a private
// reading and no more: one that would be quick is not kept waiting for it to end.
func TestSlowClusterDoesNotKeepAQuickOneFromCatchingUp(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		here, slow, quick := harness.NewCache(t), harness.NewCache(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "log_bytes: 64KiB", "catch_up: 1", to(
			cluster("here", "servers", here.Addr()),
			// Without others' keys, of which there may be many just now.
			cluster("slow", "servers", slow.Addr(), "timeout: 1s", "max_rate: 10", "match: '^"+db.Schema+":'"),
			cluster("quick", "servers", quick.Addr(), "timeout: 1s")))
		daemon := cfg.Daemon(t)
		db.Settle(t, here, slow, quick)
		keys := longKeys(db, "k", 3000)
		quick.Fill(t, keys...)
		// The slow one falls out first, and takes the one reading there is; at its rate it
		// would have it for longer than this test lasts.
		thaw := freeze(t, slow.Instance)
		flood(t, db, keys[:1500])
		thaw()
		daemon.Says(t, "catching up on a reading of its own.* cluster=slow")
		thaw = freeze(t, quick.Instance)
		flood(t, db, keys[1500:])
		db.Settle(t, here)
		thaw()
		quick.AwaitGone(t, keys...)
		daemon.Says(t, "waits for a reading of its own.* cluster=quick")
		daemon.Says(t, "its reading goes to another that waits.* cluster=slow")
		db.Settle(t, here, quick)
		daemon.Stop(t)
		if cfg.Has(t, "slow", db.GTIDs(t)) {
			t.Error("the slow cluster has caught up: the test has shown nothing")
		}
	})
}
