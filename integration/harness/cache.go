package harness

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

// Cache is a cache, or a router before some, that a test fills and looks into.
type Cache struct {
	*servers.Memcached
}

// NewCache starts a memcached for a test.
func NewCache(t *testing.T) *Cache {
	t.Helper()
	return AsCache(servers.Memcache(t, servers.MemcachedConfig{}))
}

// AsCache is a cache that runs. The test's client gets the time that a busy machine may
// need.
func AsCache(m *servers.Memcached) *Cache {
	m.Client().Timeout = Patience
	return &Cache{m}
}

// Fill sets keys, each to its own name, all in one write.
func (c *Cache) Fill(t *testing.T, keys ...string) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: Patience}).Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
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
			t.Fatalf("set %q in %s: %q, %v", key, c, answers.Text(), answers.Err())
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// atOnce is how many keys are asked for in one request.
const atOnce = 500

// Has gives those of the keys that are there.
func (c *Cache) Has(t *testing.T, keys ...string) (has []string) {
	t.Helper()
	for len(keys) > 0 {
		n := min(atOnce, len(keys))
		items, err := c.Client().GetMulti(keys[:n])
		if err != nil {
			t.Fatalf("get from %s: %v", c, err)
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

// AwaitGone waits until none of the keys is there.
func (c *Cache) AwaitGone(t *testing.T, keys ...string) {
	t.Helper()
	left := keys
	Await(t, func() string { return fmt.Sprintf("gone from %s: %s", c, some(left)) }, func() bool {
		// They go in their order: the last ones are not asked for while the first are there.
		for len(left) > 0 {
			n := min(atOnce, len(left))
			if first := c.Has(t, left[:n]...); len(first) > 0 {
				left = append(first, left[n:]...)
				return false
			}
			left = left[n:]
		}
		return true
	})
}

// MustLack holds the cache to having none of the keys now.
func (c *Cache) MustLack(t *testing.T, keys ...string) {
	t.Helper()
	if left := c.Has(t, keys...); len(left) > 0 {
		t.Errorf("%s has still %s", c, some(left))
	}
}

// MustHave holds the cache to having all the keys now.
func (c *Cache) MustHave(t *testing.T, keys ...string) {
	t.Helper()
	has := make(map[string]bool, len(keys))
	for _, key := range c.Has(t, keys...) {
		has[key] = true
	}
	var lost []string
	for _, key := range keys {
		if !has[key] {
			lost = append(lost, key)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%s no longer has %s", c, some(lost))
	}
}

// some names a few of many keys.
func some(keys []string) string {
	if len(keys) > 8 {
		return fmt.Sprintf("%d keys, %s …", len(keys), strings.Join(keys[:8], " "))
	}
	return strings.Join(keys, " ")
}
