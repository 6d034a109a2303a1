package promises

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// smallLog is a Log that a few hundred long keys fill.
const smallLog = "log_bytes: 128KiB"

// longKeys are n keys of about 200 bytes.
func (s *source) longKeys(name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%0*d", s.key(name+":"), 200-len(s.key(name)), i)
	}
	return keys
}

// flood commits keys, some in each transaction.
func (s *source) flood(t *testing.T, keys []string) {
	t.Helper()
	for batch := range slices.Chunk(keys, 50) {
		s.commit(t, batch...)
	}
}

// latency is the median time from a commit to its delete.
func latency(t *testing.T, db *source, m *servers.Memcached) time.Duration {
	t.Helper()
	const commits = 41
	took := make([]time.Duration, commits)
	for i := range took {
		key := db.key(fmt.Sprintf("latency:%d", i))
		fill(t, m, key)
		began := time.Now()
		db.commit(t, key)
		awaitGone(t, m, key)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[commits/2]
}

// One cluster's router stands still and another's way there leads nowhere; the third
// does not notice, for as long as it lasts and while the two catch up. Nor do they
// lose anything.
func TestClusterThatIsAwayDelaysNobody(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		east, west, north := newCache(t), newCache(t), newCache(t)
		way := newWire(t, north.Addr())
		cfg := configure(t, from(db.url()), smallLog, to(
			cluster("east", "servers", east.Addr()),
			cluster("west", "routers", west.Addr(), "timeout: 1s"),
			cluster("north", "routers", way.addr(), "timeout: 1s")))
		daemon := cfg.daemon(t)
		db.settle(t, east, west, north)
		keys := db.longKeys("k", 1500)
		for _, m := range []*servers.Memcached{east, west, north} {
			fill(t, m, keys...)
		}
		alone := latency(t, db, east)

		thaw := freeze(t, west.Instance)
		way.swallow(t, "downstream")
		stuck := latency(t, db, east)
		db.flood(t, keys)
		away := latency(t, db, east)
		mustBeGone(t, east, keys...)
		mustBeThere(t, north, keys[len(keys)-1])

		thaw()
		way.restore(t, "timeout")
		catching := latency(t, db, east)
		for _, name := range []string{"west", "north"} {
			for _, line := range []string{"a whole Log behind the others", "catching up on a reading of its own", "caught up; joining the main reading"} {
				daemon.says(t, line+".* cluster="+name)
			}
		}
		awaitGone(t, west, keys...)
		awaitGone(t, north, keys...)
		db.settle(t, east, west, north)
		done := db.executed(t)
		daemon.stop(t)
		for _, name := range []string{"east", "west", "north"} {
			if !cfg.has(t, name, done) {
				t.Errorf("%s stands at %s, want all of %s", name, cfg.position(t, name), done)
			}
		}
		t.Logf("median from commit to delete: %v with all there, %v with two stuck, %v with two away, %v while they catch up", alone, stuck, away, catching)
		// Waiting for another would take its timeout, a second.
		most := 5*alone + 100*time.Millisecond
		if stuck > most || away > most || catching > most {
			t.Errorf("the others' absence is felt; want at most %v", most)
		}
	})
}

// More clusters come back at once than may catch up at once, each from somewhere else.
func TestMoreClustersCatchUpThanMayAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		here := newCache(t)
		var away []*servers.Memcached
		clusters := []string{cluster("here", "servers", here.Addr())}
		for i := range 4 {
			m := newCache(t)
			away = append(away, m)
			clusters = append(clusters, cluster(fmt.Sprintf("away%d", i), "servers", m.Addr(), "timeout: 1s"))
		}
		cfg := configure(t, from(db.url()), smallLog, "catch_up: 1", to(clusters...))
		daemon := cfg.daemon(t)
		db.settle(t, append(away, here)...)
		keys := db.longKeys("k", 2500)
		for _, m := range away {
			fill(t, m, keys...)
		}
		var thaws []func()
		for i, m := range away {
			thaws = append(thaws, freeze(t, m.Instance))
			db.flood(t, keys[i*500:(i+1)*500])
		}
		db.flood(t, keys[len(away)*500:])
		db.settle(t, here)
		for _, thaw := range thaws {
			thaw()
		}
		behind := 0
		for i, m := range away {
			awaitGone(t, m, keys...)
			// Who happens to be the fastest, and alone in the Log, when it is frozen does not
			// fall out of it.
			if len(daemon.said(fmt.Sprintf("a whole Log behind the others.* cluster=away%d", i))) > 0 {
				behind++
				daemon.says(t, fmt.Sprintf("catching up on a reading of its own.* cluster=away%d", i))
				daemon.says(t, fmt.Sprintf("caught up; joining the main reading.* cluster=away%d", i))
			}
		}
		if behind < 2 {
			t.Errorf("%d clusters were behind, want more than may catch up at once", behind)
		}
		db.settle(t, append(away, here)...)
		daemon.stop(t)
	})
}

// Each cluster goes on from its own place, and gets what lies behind it and nothing
// else; one that is new begins at start; one that is gone must be dropped by name.
func TestClustersGoOnFromTheirOwnPlaces(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		caches := []*servers.Memcached{newCache(t), newCache(t), newCache(t), newCache(t)}
		names := []string{"oldest", "middle", "newest", "added"}
		all := make([]string, len(names))
		for i, name := range names {
			all[i] = cluster(name, "servers", caches[i].Addr())
		}
		cfg := configure(t, from(db.url()), smallLog, to(all[:3]...))
		old, recent := db.longKeys("old", 1500), db.longKeys("recent", 1500)
		// Before the middle, all that there is; behind it, twice what the Log holds.
		beginning := db.executed(t)
		db.flood(t, old)
		middle := db.executed(t)
		db.flood(t, recent)
		cfg.setCheckpoint(t, "oldest", "gtid:"+beginning.String())
		cfg.setCheckpoint(t, "middle", "gtid:"+middle.String())
		cfg.setCheckpoint(t, "newest", "now")
		for _, m := range caches[:3] {
			fill(t, m, old...)
			fill(t, m, recent...)
		}
		daemon := cfg.daemon(t)
		awaitGone(t, caches[0], old...)
		awaitGone(t, caches[0], recent...)
		awaitGone(t, caches[1], recent...)
		db.settle(t, caches[:3]...)
		mustBeThere(t, caches[1], old...)
		mustBeThere(t, caches[2], old...)
		mustBeThere(t, caches[2], recent...)
		daemon.stop(t)

		// One is added.
		cfg.write(t, from(db.url()), smallLog, "start: gtid:"+middle.String(), to(all...))
		fill(t, caches[3], old...)
		fill(t, caches[3], recent...)
		fill(t, caches[1], recent...)
		daemon = cfg.daemon(t)
		awaitGone(t, caches[3], recent...)
		db.settle(t, caches...)
		mustBeThere(t, caches[3], old...)
		mustBeThere(t, caches[1], recent...)
		daemon.stop(t)

		// One goes.
		cfg.write(t, from(db.url()), smallLog, to(all[1:]...))
		cfg.run(t).fails(t, 2, `"oldest"`, "mcsqueal checkpoint drop --cluster oldest")
		cfg.do(t, "checkpoint", "drop", "--cluster", "oldest")
		daemon = cfg.daemon(t)
		db.settle(t, caches[1:]...)
		daemon.stop(t)
	})
}

// A cluster that catches up slowly, for whatever reason, has its turn at a private
// reading and no more: one that would be quick is not kept waiting for it to end.
func TestSlowClusterDoesNotKeepAQuickOneFromCatchingUp(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		here, slow, quick := newCache(t), newCache(t), newCache(t)
		cfg := configure(t, from(db.url()), "log_bytes: 64KiB", "catch_up: 1", to(
			cluster("here", "servers", here.Addr()),
			cluster("slow", "servers", slow.Addr(), "timeout: 1s", "max_rate: 30"),
			cluster("quick", "servers", quick.Addr(), "timeout: 1s")))
		daemon := cfg.daemon(t)
		db.settle(t, here, slow, quick)
		keys := db.longKeys("k", 3000)
		fill(t, quick, keys...)
		// The slow one falls out first, and takes the one reading there is; at its rate it
		// would have it for longer than this test lasts.
		thaw := freeze(t, slow.Instance)
		db.flood(t, keys[:1500])
		thaw()
		daemon.says(t, "catching up on a reading of its own.* cluster=slow")
		thaw = freeze(t, quick.Instance)
		db.flood(t, keys[1500:])
		db.settle(t, here)
		thaw()
		awaitGone(t, quick, keys...)
		daemon.says(t, "waits for a reading of its own.* cluster=quick")
		daemon.says(t, "its reading goes to another that waits.* cluster=slow")
		db.settle(t, here, quick)
		daemon.stop(t)
		if cfg.has(t, "slow", db.executed(t)) {
			t.Error("the slow cluster has caught up: the test has shown nothing")
		}
	})
}
