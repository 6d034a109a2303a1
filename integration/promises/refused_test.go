package promises

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A router whose one backend is dead refuses that one's keys for now (SERVER_ERROR) and
// takes its neighbours'. Refused keys are tried again until they are taken, and the
// position waits for them: a daemon that is killed meanwhile must not forget them.

// twoBackends are caches behind a router, and the way to the second.
type twoBackends struct {
	first, second *harness.Cache
	way           *harness.Wire
	router        *harness.Cache
}

func newTwoBackends(t *testing.T) *twoBackends {
	t.Helper()
	b := &twoBackends{first: harness.NewCache(t), second: harness.NewCache(t)}
	b.way = harness.NewWire(t, b.second.Addr())
	b.router = harness.AsCache(servers.Proxy(t, servers.ProxyConfig{Backends: []string{b.first.Addr(), b.way.Addr()}}))
	return b
}

// divide fills keys through the router, and tells whose they are.
func (b *twoBackends) divide(t *testing.T, keys []string) (first, second []string) {
	t.Helper()
	b.router.Fill(t, keys...)
	first, second = b.first.Has(t, keys...), b.second.Has(t, keys...)
	if len(first) == 0 || len(second) == 0 || len(first)+len(second) != len(keys) {
		t.Fatalf("of %d keys the first backend has %d, the second %d", len(keys), len(first), len(second))
	}
	return first, second
}

func TestRefusedKeysAreNeitherLostNorInTheWay(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		b, other := newTwoBackends(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(
			cluster("east", "routers", b.router.Addr()), cluster("west", "servers", other.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, other)
		first, second := b.divide(t, db.Numbered("k", 200))
		b.way.Cut()
		// Every transaction has keys of both.
		for i := range max(len(first), len(second)) {
			db.Commit(t, first[i%len(first)], second[i%len(second)])
		}
		done := db.GTIDs(t)
		b.first.AwaitGone(t, first...)
		daemon.Says(t, "key refused for now; it is tried again until it is taken.* cluster=east")
		b.second.MustHave(t, second...)
		// The position waits for them, and the other cluster's does not.
		db.Settle(t, other)
		cfg.AwaitPosition(t, "west", done)
		if cfg.Has(t, "east", done) {
			t.Errorf("east stands at %s, though keys of %s are refused", cfg.Position(t, "east"), done)
		}
		daemon.Kill(t)

		// It has not forgotten them, and begins with them; new ones pass them by.
		daemon = cfg.Daemon(t)
		daemon.Says(t, "key refused for now.* cluster=east")
		b.first.Fill(t, first...)
		db.Commit(t, first...)
		b.first.AwaitGone(t, first...)
		b.way.Mend(t)
		b.second.AwaitGone(t, second...)
		done = db.GTIDs(t)
		cfg.AwaitPosition(t, "east", done)
		daemon.Stop(t)
	})
}

func TestTooManyRefusedKeysPauseTheirClusterAlone(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		b, other := newTwoBackends(t), harness.NewCache(t)
		const most = 20
		cfg := harness.Configure(t, db.SourceURL(), to(
			cluster("east", "routers", b.router.Addr(), "refused_max: 20", "window: 1"), cluster("west", "servers", other.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, other)
		first, second := b.divide(t, db.Numbered("k", 200))
		b.way.Cut()
		for _, key := range second[:2*most] {
			db.Commit(t, key)
		}
		// Refused ones enough; once what was on its way has come, nothing new goes out to east.
		harness.Await(t, "nothing goes out to east any more", func() bool {
			b.first.Fill(t, first...)
			for _, key := range first {
				db.Commit(t, key)
			}
			for range 3 {
				db.Settle(t, other)
			}
			hold(t, 300e6)
			return len(b.first.Has(t, first...)) == len(first)
		})
		b.way.Mend(t)
		b.first.AwaitGone(t, first...)
		b.second.AwaitGone(t, second[:2*most]...)
		cfg.AwaitPosition(t, "east", db.GTIDs(t))
		daemon.Stop(t)
	})
}
