package promises

import (
	"fmt"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// newCache starts a memcached for a test.
func newCache(t *testing.T) *servers.Memcached {
	t.Helper()
	m := servers.Memcache(t, servers.MemcachedConfig{})
	m.Client().Timeout = patience // a busy machine may need it
	return m
}

// fill sets keys, each to its own name.
func fill(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := m.Client().Set(&memcache.Item{Key: key, Value: []byte(key)}); err != nil {
			t.Fatalf("set %q in %s: %v", key, m, err)
		}
	}
}

// there are those of the keys that the cache has.
func there(t *testing.T, m *servers.Memcached, keys ...string) (has []string) {
	t.Helper()
	const most = 500 // in one request
	for len(keys) > 0 {
		n := min(most, len(keys))
		items, err := m.Client().GetMulti(keys[:n])
		if err != nil {
			t.Fatalf("get from %s: %v", m, err)
		}
		for _, key := range keys[:n] {
			if items[key] != nil {
				has = append(has, key)
			}
		}
		keys = keys[n:]
	}
	return has
}

// awaitGone waits until a cache has none of the keys.
func awaitGone(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for left := keys; ; <-tick.C {
		if left = there(t, m, left...); len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("lost: %s has still %s after %v", m, some(left), patience)
		}
	}
}

// mustBeGone holds a cache to having none of the keys now.
func mustBeGone(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	if left := there(t, m, keys...); len(left) > 0 {
		t.Errorf("lost: %s has still %s", m, some(left))
	}
}

// mustBeThere holds a cache to having all the keys now.
func mustBeThere(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	has := make(map[string]bool, len(keys))
	for _, key := range there(t, m, keys...) {
		has[key] = true
	}
	var gone []string
	for _, key := range keys {
		if !has[key] {
			gone = append(gone, key)
		}
	}
	if len(gone) > 0 {
		t.Errorf("%s no longer has %s", m, some(gone))
	}
}

// settle waits until all that has been committed is delivered to a cache: it commits
// one more key. That holds where one connection gets all keys in order.
func (s *source) settle(t *testing.T, caches ...*servers.Memcached) {
	t.Helper()
	key := s.key("settled")
	for _, m := range caches {
		fill(t, m, key)
	}
	s.commit(t, key)
	for _, m := range caches {
		awaitGone(t, m, key)
	}
}

// number asks a cache for one of its counters.
func number(t *testing.T, m *servers.Memcached, counter string) (n int) {
	t.Helper()
	stats, err := m.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(stats[counter], &n); err != nil {
		t.Fatalf("%s: counter %s is %q: %v", m, counter, stats[counter], err)
	}
	return n
}

// freeze makes a server stand still; it thaws at the latest with the test.
func freeze(t *testing.T, in *servers.Instance) (thaw func()) {
	t.Helper()
	if err := in.Freeze(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := in.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}
