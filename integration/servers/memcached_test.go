package servers_test

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMemcachedOfBothAgesKeepsAndDeletes(t *testing.T) {
	for _, old := range []bool{false, true} {
		m := servers.Memcache(t, servers.MemcachedConfig{Old: old, Args: []string{"-m", "100"}})
		setAndGet(t, m, "a")
		if err := m.Client().Delete("a"); err != nil {
			t.Error(err)
		}
		stats, err := m.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats["limit_maxbytes"] != strconv.Itoa(100<<20) || stats["delete_hits"] != "1" || stats["pid"] != strconv.Itoa(m.Pid()) {
			t.Errorf("%s: limit_maxbytes %s, delete_hits %s, pid %s", m, stats["limit_maxbytes"], stats["delete_hits"], stats["pid"])
		}
		if old != (stats["version"] == "1.6.18") {
			t.Errorf("old is %v, version %s", old, stats["version"])
		}
		addr := m.Addr()
		if err := errors.Join(m.Kill(), m.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
		if m.Addr() != addr {
			t.Errorf("came back on %s, was on %s", m.Addr(), addr)
		}
		if _, err := m.Client().Get("a"); !errors.Is(err, memcache.ErrCacheMiss) {
			t.Errorf("a restarted memcached answers %v, want a miss", err)
		}
	}
}

func TestProxyRoutesEachKeyToOneBackend(t *testing.T) {
	a, b := servers.Memcache(t, servers.MemcachedConfig{}), servers.Memcache(t, servers.MemcachedConfig{})
	p := servers.Proxy(t, servers.ProxyConfig{Backends: []string{a.Addr(), b.Addr()}})
	const keys = 100
	for i := range keys {
		setAndGet(t, p, "key"+strconv.Itoa(i))
	}
	inA, inB := a.Stat(t, "curr_items"), b.Stat(t, "curr_items")
	if inA+inB != keys || inA == 0 || inB == 0 {
		t.Errorf("%d and %d items, want each of %d keys once and some on both", inA, inB, keys)
	}
	for i := range keys {
		if err := p.Client().Delete("key" + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.Stat(t, "curr_items") + b.Stat(t, "curr_items"); n != 0 {
		t.Errorf("%d items left after their deletes", n)
	}
}

func TestProxyForAllReachesEveryBackend(t *testing.T) {
	a, b := servers.Memcache(t, servers.MemcachedConfig{}), servers.Memcache(t, servers.MemcachedConfig{})
	p := servers.Proxy(t, servers.ProxyConfig{Backends: []string{a.Addr(), b.Addr()}, All: true})
	setAndGet(t, p, "k")
	if a.Stat(t, "curr_items") != 1 || b.Stat(t, "curr_items") != 1 {
		t.Error("the set did not reach both")
	}
	if err := p.Client().Delete("k"); err != nil {
		t.Fatal(err)
	}
	if a.Stat(t, "curr_items") != 0 || b.Stat(t, "curr_items") != 0 {
		t.Error("the delete did not reach both")
	}
	// A delete that one backend could not take must not look done.
	setAndGet(t, p, "k")
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Client().Delete("k"); err == nil || errors.Is(err, memcache.ErrCacheMiss) {
		t.Errorf("with a dead backend the delete answers %v, want an error", err)
	}
}

func TestMemcachedAnswersDatagramsWhereAsked(t *testing.T) {
	m := servers.Memcache(t, servers.MemcachedConfig{UDP: true})
	setAndGet(t, m, "a")
	conn, err := net.Dial("udp4", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// A frame: the request's number, sequence 0 of 1, and nothing.
	if _, err := conn.Write([]byte("\x12\x34\x00\x00\x00\x01\x00\x00get a\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1500)
	n, err := conn.Read(answer)
	if want := "\x12\x34\x00\x00\x00\x01\x00\x00VALUE a 0 5\r\nvalue\r\nEND\r\n"; err != nil || string(answer[:n]) != want {
		t.Errorf("got %q, %v, want %q", answer[:n], err, want)
	}
}
