package promises

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A router whose one backend is dead refuses that one's keys for now (SERVER_ERROR) and
// takes its neighbours'. Refused keys are tried again until they are taken, and the
// position waits for them: a daemon that is killed meanwhile must not forget them.

// twoBackends are caches behind a router, and the way to the second.
type twoBackends struct {
	first, second *servers.Memcached
	way           *wire
	router        *servers.Memcached
}

func newTwoBackends(t *testing.T) *twoBackends {
	t.Helper()
	b := &twoBackends{first: newCache(t), second: newCache(t)}
	b.way = newWire(t, b.second.Addr())
	b.router = servers.Proxy(t, servers.ProxyConfig{Backends: []string{b.first.Addr(), b.way.addr()}})
	b.router.Client().Timeout = patience
	return b
}

// divide fills keys through the router, and tells whose they are.
func (b *twoBackends) divide(t *testing.T, keys []string) (first, second []string) {
	t.Helper()
	fill(t, b.router, keys...)
	first, second = there(t, b.first, keys...), there(t, b.second, keys...)
	if len(first) == 0 || len(second) == 0 || len(first)+len(second) != len(keys) {
		t.Fatalf("of %d keys the first backend has %d, the second %d", len(keys), len(first), len(second))
	}
	return first, second
}

func TestRefusedKeysAreNeitherLostNorInTheWay(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		b, other := newTwoBackends(t), newCache(t)
		cfg := configure(t, from(db.url()), to(
			cluster("east", "routers", b.router.Addr()), cluster("west", "servers", other.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, other)
		first, second := b.divide(t, db.keys("k", 200))
		b.way.cut()
		// Every transaction has keys of both.
		for i := range max(len(first), len(second)) {
			db.commit(t, first[i%len(first)], second[i%len(second)])
		}
		done := db.executed(t)
		awaitGone(t, b.first, first...)
		daemon.says(t, "key refused for now; it is tried again until it is taken.* cluster=east")
		mustBeThere(t, b.second, second...)
		// The position waits for them, and the other cluster's does not.
		db.settle(t, other)
		cfg.awaitPosition(t, "west", done)
		if cfg.has(t, "east", done) {
			t.Errorf("east stands at %s, though keys of %s are refused", cfg.position(t, "east"), done)
		}
		daemon.kill(t)

		// It has not forgotten them, and begins with them; new ones pass them by.
		daemon = cfg.daemon(t)
		daemon.says(t, "key refused for now.* cluster=east")
		fill(t, b.first, first...)
		db.commit(t, first...)
		awaitGone(t, b.first, first...)
		b.way.mend(t)
		awaitGone(t, b.second, second...)
		done = db.executed(t)
		cfg.awaitPosition(t, "east", done)
		daemon.stop(t)
	})
}

func TestTooManyRefusedKeysPauseTheirClusterAlone(t *testing.T) {
	each(t, func(t *testing.T, db *source) {
		b, other := newTwoBackends(t), newCache(t)
		const most = 20
		cfg := configure(t, from(db.url()), to(
			cluster("east", "routers", b.router.Addr(), "refused_max: 20", "window: 1"), cluster("west", "servers", other.Addr())))
		daemon := cfg.daemon(t)
		db.settle(t, other)
		first, second := b.divide(t, db.keys("k", 200))
		b.way.cut()
		for _, key := range second[:2*most] {
			db.commit(t, key)
		}
		// Refused ones enough; from here on nothing new goes out to east.
		await(t, "nothing goes out to east any more", func() bool {
			fill(t, b.first, first[0])
			db.commit(t, first[0])
			db.settle(t, other)
			hold(t, 300e6)
			return len(there(t, b.first, first[0])) > 0
		})
		for _, key := range first {
			db.commit(t, key)
		}
		for range 3 {
			db.settle(t, other)
		}
		mustBeThere(t, b.first, first...)
		b.way.mend(t)
		awaitGone(t, b.first, first...)
		awaitGone(t, b.second, second[:2*most]...)
		cfg.awaitPosition(t, "east", db.executed(t))
		daemon.stop(t)
	})
}
