package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// newProxy starts a router in front of caches.
func newProxy(t *testing.T, caches ...*harness.Cache) *harness.Cache {
	t.Helper()
	var backends []string
	for _, m := range caches {
		backends = append(backends, m.Addr())
	}
	return harness.AsCache(servers.Proxy(t, servers.ProxyConfig{Backends: backends}))
}

func TestEveryProtocolDeletesFromEveryCache(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	type target struct {
		name, protocol string
		caches         []*harness.Cache
		wire           *recorder
		command        string // the deletes'
	}
	var targets []target
	for _, protocol := range []string{"meta", "text", "auto"} {
		today, old := harness.NewCache(t), harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Old: true}))
		behind := []*harness.Cache{harness.NewCache(t), harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Old: true}))}
		proxy := newProxy(t, behind...)
		for _, c := range []target{
			{name: "today", caches: []*harness.Cache{today}, wire: record(t, today.Addr())},
			{name: "old", caches: []*harness.Cache{old}, wire: record(t, old.Addr())},
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
		config = append(config, fmt.Sprintf("  - {name: %s, routers: [%s], protocol: %s, %s}", c.name, c.wire.addr, c.protocol, patient))
	}
	daemon := harness.Configure(t, db.SourceURL(), config...).Daemon(t)
	s := db.Session(t)
	keys, kept := db.Numbered("k", 200), db.Numbered("kept", 20)
	// Keys at their longest, and beyond ASCII.
	keys = append(keys, db.Key(strings.Repeat("x", 250-len(db.Key("")))), db.Key("ü:%"))
	for _, c := range targets {
		for _, m := range c.caches { // whichever of them the proxy asks
			m.Fill(t, append(keys, kept...)...)
		}
	}
	tags := strings.ReplaceAll(strings.Join(keys, " "), "%", "%25")
	s.Exec(t, "INSERT /* mc: "+tags+" */ INTO settled VALUES ()")
	for _, c := range targets {
		t.Run(c.name, func(t *testing.T) {
			if len(c.caches) == 1 {
				c.caches[0].AwaitGone(t, keys...)
			} else {
				// Each key has one cache behind the proxy, and both have some.
				harness.Await(t, "every key is gone from one of the caches", func() bool {
					return len(c.caches[0].Has(t, keys...))+len(c.caches[1].Has(t, keys...)) == len(keys)
				})
				for _, m := range c.caches {
					if n := len(m.Has(t, keys...)); n == 0 || n == len(keys) {
						t.Errorf("%s has %d of %d keys", m, n, len(keys))
					}
				}
			}
			for _, m := range c.caches {
				m.MustHave(t, kept...)
			}
			if sent := c.wire.sent.String(); strings.Count(sent, c.command+" "+db.Key("")) != len(keys) {
				t.Errorf("sent with protocol %s, want %d %s:\n%s", c.protocol, len(keys), c.command, harness.Clip(sent))
			}
			if connected := daemon.Said("msg=connected cluster=" + c.name + " "); c.protocol == "auto" && (len(connected) != 1 || !strings.Contains(connected[0], "protocol=meta")) {
				t.Errorf("the daemon says %q, want that it has found the meta protocol", connected)
			}
		})
	}
	daemon.Stop(t)
}

func TestPrefixAndMatchChooseTheKeys(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	m := harness.NewCache(t)
	daemon := harness.Configure(t, db.SourceURL(), "clusters:",
		fmt.Sprintf("  - {name: pool, servers: [%s], prefix: 'pool:', match: ':user:[0-9]+$'}", m.Addr()),
		// No router here takes the route off again: it is part of the key.
		fmt.Sprintf("  - {name: route, routers: [%s], prefix: '/east/*/'}", m.Addr())).Daemon(t)
	s := db.Session(t)
	user, session := db.Key("user:1"), db.Key("session:1")
	m.Fill(t, "pool:"+user, user, "pool:"+session, session, "/east/*/"+user, "/east/*/"+session)
	s.Commit(t, user, session, db.Key("user:x"))
	m.AwaitGone(t, "pool:"+user)
	m.AwaitGone(t, "/east/*/"+user, "/east/*/"+session)
	last := db.Key("user:2")
	m.Fill(t, "pool:"+last)
	s.Commit(t, last)
	m.AwaitGone(t, "pool:"+last)
	m.MustHave(t, user, "pool:"+session, session)
	daemon.Stop(t)
}

func TestNextRouterTakesOver(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		caches := []*harness.Cache{harness.NewCache(t), harness.NewCache(t)}
		first, second := newProxy(t, caches...), newProxy(t, caches...)
		daemon := harness.Configure(t, db.SourceURL(), "clusters:",
			fmt.Sprintf("  - {name: east, routers: [%s, %s], timeout: 1s}", first.Addr(), second.Addr())).Daemon(t)
		s := db.Session(t)
		// round commits keys, some before and some after something happens to the routers,
		// and holds the caches to having lost each.
		round := func(name string, change func() error) {
			t.Helper()
			keys := db.Numbered(name, 200)
			for _, m := range caches { // whichever of them the proxies ask
				m.Fill(t, keys...)
			}
			for i, key := range keys {
				if i == len(keys)/2 {
					if err := change(); err != nil {
						t.Fatal(err)
					}
				}
				s.Commit(t, key)
			}
			harness.Await(t, "every key is gone from one of the caches", func() bool {
				return len(caches[0].Has(t, keys...))+len(caches[1].Has(t, keys...)) == len(keys)
			})
		}
		round("killed", first.Kill)
		if err := first.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		round("frozen", second.Freeze)
		round("both", func() error { return errors.Join(first.Kill(), second.Thaw()) })
		for _, lost := range []string{first.Addr(), second.Addr()} {
			daemon.Says(t, "router lost; all that it has not acknowledged goes out again.* router="+lost)
		}
		daemon.Stop(t)
	})
}

// A cache that hangs while the daemon starts is waited for like one that hangs later.
func TestCacheThatHangsAtTheStartGetsItsDeletesLater(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], timeout: 300ms}", m.Addr()))
		keys := db.Numbered("k", 100)
		m.Fill(t, keys...)
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		for _, key := range keys {
			s.Commit(t, key)
		}
		daemon.Says(t, "server cannot be reached; .* server="+m.Addr())
		if said := daemon.Said("lost|router|next="); len(said) > 0 {
			t.Errorf("of a server that was never reached, and is the only one, it says %q", said)
		}
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		m.AwaitGone(t, keys...)
		daemon.Stop(t)
	})
}

func TestPlainServersEachGetEveryDelete(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		one, two := harness.NewCache(t), harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Old: true}))
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("small", "servers", one.Addr(), two.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		both := func(keys []string) {
			t.Helper()
			one.Fill(t, keys...)
			two.Fill(t, keys...)
		}
		keys := db.Numbered("a", 100)
		both(keys)
		s.Commit(t, keys...)
		one.AwaitGone(t, keys...)
		two.AwaitGone(t, keys...)

		// One that does not answer keeps the other from nothing, and gets its own later:
		// the cluster has acknowledged only what both have.
		keys = db.Numbered("b", 100)
		both(keys)
		if err := two.Freeze(); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			s.Commit(t, key)
		}
		one.AwaitGone(t, keys...)
		daemon.Kill(t)
		if err := two.Thaw(); err != nil {
			t.Fatal(err)
		}
		daemon = cfg.Daemon(t)
		two.AwaitGone(t, keys...)
		daemon.Stop(t)
	})
}

// A router that hangs up again and again ends no replay early.
func TestReplayOutlastsARouterThatHangsUp(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	w := harness.NewWire(t, m.Addr())
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "routers", w.Addr()))
	s := db.Session(t)
	before := s.Executed(t)
	keys := db.Numbered("k", 10_000)
	m.Fill(t, keys...)
	for i := 0; i < len(keys); i += 100 {
		s.Commit(t, keys[i:i+100]...)
	}
	w.Spoil(t, "upstream", "limit_data", "bytes", 50<<10)
	p := cfg.Replay(t, "--from", "gtid:"+before, "--match", "^"+db.Schema+":")
	if p.Status() != 0 || len(p.Said("router lost")) == 0 {
		t.Errorf("exit status %d, and it says %s", p.Status(), harness.Tail(p.Stderr.String()))
	}
	m.MustLack(t, keys...)
}

// A transaction larger than the Log, to a router that takes it slower than the source
// gives it, and for a while not at all.
func TestTransactionLargerThanTheLogPasses(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		w := harness.NewWire(t, m.Addr())
		daemon := harness.Configure(t, db.SourceURL(), "log_bytes: 64KiB", "clusters:",
			fmt.Sprintf("  - {name: east, routers: [%s], timeout: 2s}", w.Addr())).Daemon(t, "--admin-listen", "127.0.0.1:0")
		s := db.Session(t)
		s.Settle(t, m)
		keys := db.Numbered(strings.Repeat("long", 20), 10_000) // about 900 KB
		m.Fill(t, keys...)
		w.Spoil(t, "upstream", "bandwidth", "rate", 100) // KB a second
		s.Exec(t, "BEGIN")
		for i := 0; i < len(keys); i += 100 {
			s.Commit(t, keys[i:i+100]...)
		}
		s.Exec(t, "COMMIT")
		harness.Await(t, "the first keys are gone", func() bool { return len(m.Has(t, keys[:100]...)) == 0 })
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		daemon.Says(t, "the Log is full and no cluster takes more; the dump is closed")
		// It is not the source that is waited for.
		harness.Await(t, "readiness says so", func() bool {
			_, body := get(t, daemon, "/readyz")
			return strings.Contains(body, "the Log is full, and no cluster takes more")
		})
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		w.Restore(t, "bandwidth")
		w.Spoil(t, "upstream", "bandwidth", "rate", 600)
		began := time.Now()
		m.AwaitGone(t, keys...)
		t.Logf("delivered %v after the router had come back", time.Since(began).Round(time.Millisecond))
		w.Restore(t, "bandwidth")
		s.Settle(t, m)
		harness.Await(t, "the daemon is ready again", func() bool {
			status, _ := get(t, daemon, "/readyz")
			return status == http.StatusOK
		})
		daemon.Stop(t)
	})
}
