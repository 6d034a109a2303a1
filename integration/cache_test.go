package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// newCache starts a memcached for a test.
func newCache(t *testing.T) *servers.Memcached {
	t.Helper()
	return patiently(servers.Memcache(t, servers.MemcachedConfig{}))
}

// patiently gives the test's client the time that a busy machine may need.
func patiently(m *servers.Memcached) *servers.Memcached {
	m.Client().Timeout = patience
	return m
}

// fill sets keys, each to its own name, all in one write.
func fill(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	for _, key := range keys {
		fmt.Fprintf(&wire, "set %s 0 0 %d\r\n%[1]s\r\n", key, len(key))
	}
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(wire.Bytes())
		written <- err
	}()
	answers := bufio.NewScanner(conn)
	for _, key := range keys {
		if !answers.Scan() || answers.Text() != "STORED" {
			t.Fatalf("set %q in %s: %q, %v", key, m, answers.Text(), answers.Err())
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// atOnce is how many keys are asked for in one request.
const atOnce = 500

// there are those of the keys that the cache has.
func there(t *testing.T, m *servers.Memcached, keys ...string) (has []string) {
	t.Helper()
	for len(keys) > 0 {
		n := min(atOnce, len(keys))
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
	left := keys
	await(t, func() string { return fmt.Sprintf("gone from %s: %s", m, some(left)) }, func() bool {
		// They go in their order: the last ones are not asked for while the first are there.
		for len(left) > 0 {
			n := min(atOnce, len(left))
			if first := there(t, m, left[:n]...); len(first) > 0 {
				left = append(first, left[n:]...)
				return false
			}
			left = left[n:]
		}
		return true
	})
}

// mustBeGone holds a cache to having none of the keys now.
func mustBeGone(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	if left := there(t, m, keys...); len(left) > 0 {
		t.Errorf("%s has still %s", m, some(left))
	}
}

// mustBeThere holds a cache to having all the keys now.
func mustBeThere(t *testing.T, m *servers.Memcached, keys ...string) {
	t.Helper()
	has := make(map[string]bool, len(keys))
	for _, key := range there(t, m, keys...) {
		has[key] = true
	}
	var lost []string
	for _, key := range keys {
		if !has[key] {
			lost = append(lost, key)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%s has lost %s", m, some(lost))
	}
}

// some names a few of many keys.
func some(keys []string) string {
	if len(keys) > 8 {
		return fmt.Sprintf("%d keys, %s …", len(keys), strings.Join(keys[:8], " "))
	}
	return strings.Join(keys, " ")
}

// number asks a cache for one of its counters.
func number(t *testing.T, m *servers.Memcached, counter string) int {
	t.Helper()
	stats, err := m.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(stats[counter], &n); err != nil {
		t.Fatalf("%s: counter %s is %q: %v", m, counter, stats[counter], err)
	}
	return n
}
