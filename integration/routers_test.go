package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// newProxy starts a router in front of caches.
func newProxy(t *testing.T, caches ...*servers.Memcached) *servers.Memcached {
	t.Helper()
	var backends []string
	for _, m := range caches {
		backends = append(backends, m.Addr())
	}
	return patiently(servers.Proxy(t, servers.ProxyConfig{Backends: backends}))
}

func TestEveryProtocolDeletesFromEveryCache(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t) // the source has no part in it
	type target struct {
		name, protocol string
		caches         []*servers.Memcached
		wire           *recorder
		command        string // the deletes'
	}
	var targets []target
	for _, protocol := range []string{"meta", "text", "auto"} {
		today, old := newCache(t), patiently(servers.Memcache(t, servers.MemcachedConfig{Old: true}))
		behind := []*servers.Memcached{newCache(t), patiently(servers.Memcache(t, servers.MemcachedConfig{Old: true}))}
		proxy := newProxy(t, behind...)
		for _, c := range []target{
			{name: "today", caches: []*servers.Memcached{today}, wire: record(t, today.Addr())},
			{name: "old", caches: []*servers.Memcached{old}, wire: record(t, old.Addr())},
			{name: "proxy", caches: behind, wire: record(t, proxy.Addr())},
		} {
			c.name, c.protocol, c.command = c.name+"-"+protocol, protocol, "md"
			if protocol == "text" {
				c.command = "delete"
			}
			targets = append(targets, c)
		}
	}
	config := []string{"clusters:"}
	for _, c := range targets {
		config = append(config, fmt.Sprintf("  - {name: %s, routers: [%s], protocol: %s}", c.name, c.wire.addr, c.protocol))
	}
	daemon := configure(t, db.url(), config...).daemon(t)
	s := db.session(t)
	keys, kept := db.numbered("k", 200), db.numbered("kept", 20)
	// Keys at their longest, and beyond ASCII.
	keys = append(keys, db.key(strings.Repeat("x", 250-len(db.key("")))), db.key("ü:%"))
	for _, c := range targets {
		for _, m := range c.caches { // whichever of them the proxy asks
			fill(t, m, append(keys, kept...)...)
		}
	}
	tags := strings.ReplaceAll(strings.Join(keys, " "), "%", "%25")
	s.exec(t, "INSERT /* mc: "+tags+" */ INTO settled VALUES ()")
	for _, c := range targets {
		t.Run(c.name, func(t *testing.T) {
			if len(c.caches) == 1 {
				awaitGone(t, c.caches[0], keys...)
			} else {
				// Each key has one cache behind the proxy, and both have some.
				await(t, "every key is gone from one of the caches", func() bool {
					return len(there(t, c.caches[0], keys...))+len(there(t, c.caches[1], keys...)) == len(keys)
				})
				for _, m := range c.caches {
					if n := len(there(t, m, keys...)); n == 0 || n == len(keys) {
						t.Errorf("%s has %d of %d keys", m, n, len(keys))
					}
				}
			}
			for _, m := range c.caches {
				mustBeThere(t, m, kept...)
			}
			if sent := c.wire.sent.String(); strings.Count(sent, c.command+" "+db.key("")) != len(keys) {
				t.Errorf("sent with protocol %s, want %d %s:\n%s", c.protocol, len(keys), c.command, clip(sent))
			}
			if connected := daemon.said("msg=connected cluster=" + c.name + " "); c.protocol == "auto" && (len(connected) != 1 || !strings.Contains(connected[0], "protocol=meta")) {
				t.Errorf("the daemon says %q, want that it has found the meta protocol", connected)
			}
		})
	}
	daemon.stop(t)
}

func TestPrefixAndMatchChooseTheKeys(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t)
	m := newCache(t)
	daemon := configure(t, db.url(), "clusters:",
		fmt.Sprintf("  - {name: pool, servers: [%s], prefix: 'pool:', match: ':user:[0-9]+$'}", m.Addr()),
		// No router here takes the route off again: it is part of the key.
		fmt.Sprintf("  - {name: route, routers: [%s], prefix: '/east/*/'}", m.Addr())).daemon(t)
	s := db.session(t)
	user, session := db.key("user:1"), db.key("session:1")
	fill(t, m, "pool:"+user, user, "pool:"+session, session, "/east/*/"+user, "/east/*/"+session)
	s.commit(t, user, session, db.key("user:x"))
	awaitGone(t, m, "pool:"+user)
	awaitGone(t, m, "/east/*/"+user, "/east/*/"+session)
	last := db.key("user:2")
	fill(t, m, "pool:"+last)
	s.commit(t, last)
	awaitGone(t, m, "pool:"+last)
	mustBeThere(t, m, user, "pool:"+session, session)
	daemon.stop(t)
}

func TestNextRouterTakesOver(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		caches := []*servers.Memcached{newCache(t), newCache(t)}
		first, second := newProxy(t, caches...), newProxy(t, caches...)
		daemon := configure(t, db.url(), "clusters:",
			fmt.Sprintf("  - {name: east, routers: [%s, %s], timeout: 1s}", first.Addr(), second.Addr())).daemon(t)
		s := db.session(t)
		// round commits keys, some before and some after something happens to the routers,
		// and holds the caches to having lost each.
		round := func(name string, change func() error) {
			t.Helper()
			keys := db.numbered(name, 200)
			for _, m := range caches { // whichever of them the proxies ask
				fill(t, m, keys...)
			}
			for i, key := range keys {
				if i == len(keys)/2 {
					if err := change(); err != nil {
						t.Fatal(err)
					}
				}
				s.commit(t, key)
			}
			await(t, "every key is gone from one of the caches", func() bool {
				return len(there(t, caches[0], keys...))+len(there(t, caches[1], keys...)) == len(keys)
			})
		}
		round("killed", first.Kill)
		if err := first.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		round("frozen", second.Freeze)
		round("both", func() error { return errors.Join(first.Kill(), second.Thaw()) })
		for _, lost := range []string{first.Addr(), second.Addr()} {
			daemon.says(t, "router lost; all that it has not acknowledged goes out again.* router="+lost)
		}
		daemon.stop(t)
	})
}

// A cache that hangs while the daemon starts is waited for like one that hangs later.
func TestCacheThatHangsAtTheStartGetsItsDeletesLater(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], timeout: 300ms}", m.Addr()))
		keys := db.numbered("k", 100)
		fill(t, m, keys...)
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		daemon := cfg.daemon(t)
		s := db.session(t)
		for _, key := range keys {
			s.commit(t, key)
		}
		daemon.says(t, "server cannot be reached; .* server="+m.Addr())
		if said := daemon.said("lost|router|next="); len(said) > 0 {
			t.Errorf("of a server that was never reached, and is the only one, it says %q", said)
		}
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, m, keys...)
		daemon.stop(t)
	})
}

func TestPlainServersEachGetEveryDelete(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		one, two := newCache(t), patiently(servers.Memcache(t, servers.MemcachedConfig{Old: true}))
		cfg := configure(t, db.url(), "clusters:", cluster("small", "servers", one.Addr(), two.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		both := func(keys []string) {
			t.Helper()
			fill(t, one, keys...)
			fill(t, two, keys...)
		}
		keys := db.numbered("a", 100)
		both(keys)
		s.commit(t, keys...)
		awaitGone(t, one, keys...)
		awaitGone(t, two, keys...)

		// One that does not answer keeps the other from nothing, and gets its own later:
		// the cluster has acknowledged only what both have.
		keys = db.numbered("b", 100)
		both(keys)
		if err := two.Freeze(); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			s.commit(t, key)
		}
		awaitGone(t, one, keys...)
		daemon.kill(t)
		if err := two.Thaw(); err != nil {
			t.Fatal(err)
		}
		daemon = cfg.daemon(t)
		awaitGone(t, two, keys...)
		daemon.stop(t)
	})
}

// A router that hangs up again and again ends no replay early.
func TestReplayOutlastsARouterThatHangsUp(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t) // the source has no part in it
	m := newCache(t)
	w := newWire(t, m.Addr())
	cfg := configure(t, db.url(), "clusters:", cluster("east", "routers", w.addr()))
	s := db.session(t)
	before := s.executed(t)
	keys := db.numbered("k", 10_000)
	fill(t, m, keys...)
	for i := 0; i < len(keys); i += 100 {
		s.commit(t, keys[i:i+100]...)
	}
	w.spoil(t, "upstream", "limit_data", "bytes", 50<<10)
	p := cfg.replay(t, "--from", "gtid:"+before, "--match", "^"+db.schema+":")
	if p.status != 0 || len(p.said("router lost")) == 0 {
		t.Errorf("exit status %d, and it says %s", p.status, tail(p.stderr.String()))
	}
	mustBeGone(t, m, keys...)
}

// A transaction larger than the Log, to a router that takes it slower than the source
// gives it, and for a while not at all.
func TestTransactionLargerThanTheLogPasses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		w := newWire(t, m.Addr())
		daemon := configure(t, db.url(), "log_bytes: 64KiB", "clusters:",
			fmt.Sprintf("  - {name: east, routers: [%s], timeout: 2s}", w.addr())).daemon(t)
		s := db.session(t)
		s.settle(t, m)
		keys := db.numbered(strings.Repeat("long", 20), 10_000) // about 900 KB
		fill(t, m, keys...)
		w.spoil(t, "upstream", "bandwidth", "rate", 600) // KB a second
		s.exec(t, "BEGIN")
		for i := 0; i < len(keys); i += 100 {
			s.commit(t, keys[i:i+100]...)
		}
		s.exec(t, "COMMIT")
		await(t, "the first keys are gone", func() bool { return len(there(t, m, keys[:100]...)) == 0 })
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		daemon.says(t, "the Log is full and no cluster takes more; the dump is closed")
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		awaitGone(t, m, keys...)
		t.Logf("delivered %v after the router had come back", time.Since(began).Round(time.Millisecond))
		w.restore(t, "bandwidth")
		s.settle(t, m)
		daemon.stop(t)
	})
}
