package mcconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/backoff"
	"github.com/mcsqueal/mcsqueal/integration/process"
	"github.com/mcsqueal/mcsqueal/integration/servers"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

// each runs a test against memcached of both ages and the newer's proxy; items is
// a client of the server that keeps the items.
func each(t *testing.T, test func(t *testing.T, address string, items *memcache.Client)) {
	t.Run("memcached 1.6.18", func(t *testing.T) {
		m := servers.Memcache(t, servers.MemcachedConfig{Old: true})
		test(t, m.Addr(), m.Client())
	})
	t.Run("memcached", func(t *testing.T) {
		m := servers.Memcache(t, servers.MemcachedConfig{})
		test(t, m.Addr(), m.Client())
	})
	t.Run("proxy", func(t *testing.T) {
		m := servers.Memcache(t, servers.MemcachedConfig{})
		test(t, servers.Proxy(t, servers.ProxyConfig{Backends: []string{m.Addr()}}).Addr(), m.Client())
	})
}

// deletesOf is a batch that deletes the keys in the connection's protocol.
func deletesOf(t testing.TB, c *mcconn.Conn, keys ...string) *mcconn.Batch {
	t.Helper()
	form := mcproto.AppendMetaDelete[string]
	if c.Protocol() == mcconn.Text {
		form = mcproto.AppendTextDelete[string]
	}
	b := &mcconn.Batch{N: len(keys)}
	for _, key := range keys {
		var err error
		if b.Wire, err = form(b.Wire, key); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func set(t testing.TB, items *memcache.Client, key string) {
	t.Helper()
	if err := items.Set(&memcache.Item{Key: key, Value: []byte("old")}); err != nil {
		t.Fatal(err)
	}
}

func TestRealCachesDeleteWhatIsNamed(t *testing.T) {
	each(t, func(t *testing.T, address string, items *memcache.Client) {
		for asked, want := range map[mcconn.Protocol]mcconn.Protocol{mcconn.Auto: mcconn.Meta, mcconn.Meta: mcconn.Meta, mcconn.Text: mcconn.Text} {
			t.Run(asked.String(), func(t *testing.T) {
				c := dial(t, mcconn.Config{Address: address, Protocol: asked})
				if c.Protocol() != want || !strings.HasPrefix(c.Version(), "1.6.") {
					t.Errorf("found %v, version %q", c.Protocol(), c.Version())
				}
				longest := strings.Repeat("k", mcproto.MaxKey)
				present := []string{"a", "user:1", longest, "schlüssel", "\x80\xff"}
				for _, key := range present[:3] { // of the others the client thinks less
					set(t, items, key)
				}
				set(t, items, "bystander")
				b := deletesOf(t, c, slices.Concat(present, []string{"absent", "a"})...)
				send(t, c, b)
				if receive(t, c) != b || b.Deleted != 3 || b.NotFound != 4 || len(b.Refused) != 0 {
					t.Error(results(b))
				}
				for _, key := range present[:3] {
					if _, err := items.Get(key); !errors.Is(err, memcache.ErrCacheMiss) {
						t.Errorf("get %.10s: %v", key, err)
					}
				}
				if _, err := items.Get("bystander"); err != nil {
					t.Errorf("bystander: %v", err)
				}
			})
		}
	})
}

func TestRealCachesMarkStale(t *testing.T) {
	each(t, func(t *testing.T, address string, items *memcache.Client) {
		set(t, items, "present")
		c := dial(t, mcconn.Config{Address: address, Protocol: mcconn.Meta})
		b := &mcconn.Batch{N: 3}
		for _, key := range []string{"present", "absent", "present"} {
			var err error
			if b.Wire, err = mcproto.AppendMetaStale(b.Wire, key, mcproto.MaxStale); err != nil {
				t.Fatal(err)
			}
		}
		send(t, c, b)
		if receive(t, c); b.Deleted != 2 || b.NotFound != 1 {
			t.Error(results(b))
		}
		if got := ask(t, address, "mg present v\r\n"); !strings.HasPrefix(got, "VA 3 ") || !strings.Contains(got, " X") {
			t.Errorf("the value's line is %q: not marked stale", got)
		}
	})
}

// ask writes a command that is not mcproto's and returns the first line that is
// answered.
func ask(t *testing.T, address, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, command); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// A command that memcached will never take costs that command alone.
func TestRealCachesRefuseABadCommandAndGoOn(t *testing.T) {
	for name, old := range map[string]bool{"memcached 1.6.18": true, "memcached": false} {
		t.Run(name, func(t *testing.T) {
			m := servers.Memcache(t, servers.MemcachedConfig{Old: old})
			tooLong := strings.Repeat("k", mcproto.MaxKey+1)
			for protocol, command := range map[mcconn.Protocol]string{mcconn.Meta: "md", mcconn.Text: "delete"} {
				c := dial(t, mcconn.Config{Address: m.Addr(), Protocol: protocol})
				b := &mcconn.Batch{N: 3, Wire: fmt.Appendf(nil, "%[1]s a\r\n%[1]s %[2]s\r\n%[1]s b\r\n", command, tooLong)}
				send(t, c, b)
				receive(t, c)
				want := mcconn.Refusal{Index: 1, Kind: mcproto.ClientError, Message: "bad command line format"}
				if b.NotFound != 2 || len(b.Refused) != 1 || b.Refused[0] != want {
					t.Errorf("%v: %s", protocol, results(b))
				}
			}
		})
	}
}

// Behind a proxy, a dead server costs the keys that are its: they are refused for
// now, and the connection and the other keys go on.
func TestAProxyRefusesTheKeysOfADeadServer(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the proxy to try a server again, 3 s")
	}
	alive, dead := servers.Memcache(t, servers.MemcachedConfig{}), servers.Memcache(t, servers.MemcachedConfig{})
	proxy := servers.Proxy(t, servers.ProxyConfig{Backends: []string{alive.Addr(), dead.Addr()}})
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprint("key", i))
	}
	for _, protocol := range []mcconn.Protocol{mcconn.Meta, mcconn.Text} {
		t.Run(protocol.String(), func(t *testing.T) {
			c := dial(t, mcconn.Config{Address: proxy.Addr(), Protocol: protocol})
			b := deletesOf(t, c, keys...)
			sendUntilTaken(t, c, b)
			if err := dead.Kill(); err != nil {
				t.Fatal(err)
			}
			send(t, c, b)
			if receive(t, c); b.NotFound == 0 || len(b.Refused) == 0 {
				t.Errorf("without the server: %d not found, %d refused", b.NotFound, len(b.Refused))
			}
			for _, r := range b.Refused {
				if r.Kind != mcproto.ServerError || r.Message != "backend failure" {
					t.Errorf("%+v", r)
				}
			}
			if err := dead.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			sendUntilTaken(t, c, b)
		})
	}
}

// sendUntilTaken sends the batch until none of it is refused. A proxy refuses a
// server's keys until it tries that server again, each of its threads by itself.
func sendUntilTaken(t *testing.T, c *mcconn.Conn, b *mcconn.Batch) {
	t.Helper()
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	retry := backoff.Backoff{Min: time.Millisecond, Max: 100 * time.Millisecond}
	for {
		send(t, c, b)
		if receive(t, c); len(b.Refused) == 0 {
			return
		}
		if retry.Wait(ctx) != nil {
			t.Fatalf("still refused after %v: %s", patience, results(b))
		}
	}
}

// A proxy waits 3 s for a frozen server, then refuses: within the default Timeout,
// so that the connection lasts.
func TestTheDefaultTimeoutOutlastsAProxys(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the proxy's time-out, 3 s")
	}
	// On a machine that stands still the longer of two times may pass first; not always.
	for left := 4; ; left-- {
		frozen := servers.Memcache(t, servers.MemcachedConfig{})
		proxy := servers.Proxy(t, servers.ProxyConfig{Backends: []string{frozen.Addr()}})
		c := dial(t, mcconn.Config{Address: proxy.Addr(), Timeout: mcconn.DefaultTimeout})
		if err := frozen.Freeze(); err != nil {
			t.Fatal(err)
		}
		b := deletes(3)
		send(t, c, b)
		_, err := c.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) && left > 0 {
			continue
		}
		if err != nil || len(b.Refused) != 3 || b.Refused[0].Kind != mcproto.ServerError {
			t.Errorf("%s, %v", results(b), err)
		}
		return
	}
}

func TestAFrozenCacheIsSilence(t *testing.T) {
	m := servers.Memcache(t, servers.MemcachedConfig{})
	hasty := mcconn.Config{Address: m.Addr(), Timeout: 100 * time.Millisecond}
	tooLong := func(err error) bool {
		return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	}
	c, err := mcconn.Dial(t.Context(), hasty)
	for tooLong(err) { // on a machine that is busy
		c, err = mcconn.Dial(t.Context(), hasty)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	send(t, c, deletes(3))
	if _, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("receive: %v", err)
	}
	// The kernel accepts for it, but nobody answers.
	if _, err := mcconn.Dial(t.Context(), hasty); !tooLong(err) {
		t.Errorf("dial: %v", err)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	c = dial(t, mcconn.Config{Address: m.Addr()})
	send(t, c, deletes(1))
	receive(t, c)
}

func TestAKilledCacheIsNoticedWhileIdleAndDialedAgain(t *testing.T) {
	m := servers.Memcache(t, servers.MemcachedConfig{})
	c := dial(t, mcconn.Config{Address: m.Addr()})
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("receive: %v", err)
	}
	if _, err := mcconn.Dial(t.Context(), mcconn.Config{Address: m.Addr()}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
	if err := m.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = dial(t, mcconn.Config{Address: m.Addr()})
	send(t, c, deletes(1))
	receive(t, c)
}

// memcached at its connection limit says ERROR to everybody or resets: it must be
// taken neither for a cache without the meta protocol nor for one that is there.
func TestACacheThatIsFullIsNotDialed(t *testing.T) {
	m := servers.Memcache(t, servers.MemcachedConfig{Args: []string{"-c", "40"}})
	var err error
	for range 50 {
		var c *mcconn.Conn
		if c, err = mcconn.Dial(t.Context(), mcconn.Config{Address: m.Addr()}); err != nil {
			break
		}
		defer c.Close()
		if c.Protocol() != mcconn.Meta {
			t.Fatalf("found %v", c.Protocol())
		}
	}
	if err == nil || !strings.HasPrefix(err.Error(), m.Addr()+": ") {
		t.Errorf("all 50 dialed: %v", err)
	}
}

// One that wants a password answers CLIENT_ERROR to everything.
func TestACacheThatWantsAPasswordIsNotDialed(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("user:password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := memcachedOnSocket(t, "-Y", users)
	for _, protocol := range []mcconn.Protocol{mcconn.Auto, mcconn.Meta, mcconn.Text} {
		_, err := mcconn.Dial(t.Context(), mcconn.Config{Address: socket, Protocol: protocol})
		if !errors.Is(err, mcconn.ErrUnexpected) || !strings.Contains(err.Error(), `expected VERSION, got "CLIENT_ERROR unauthenticated"`) {
			t.Errorf("%v: %v", protocol, err)
		}
	}
}

func TestARealCacheByUnixSocket(t *testing.T) {
	c := dial(t, mcconn.Config{Address: memcachedOnSocket(t)})
	b := deletes(1000)
	send(t, c, b)
	if receive(t, c); b.NotFound != 1000 {
		t.Error(results(b))
	}
}

// memcachedOnSocket runs a memcached that listens on a Unix socket alone, with
// these options, for as long as the test, and returns the socket's path.
func memcachedOnSocket(t *testing.T, args ...string) (socket string) {
	t.Helper()
	servers.Need(t, servers.KindMemcached)
	socket = filepath.Join(t.TempDir(), "socket")
	args = append([]string{"-s", socket}, args...)
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	cmd, err := servers.Command(context.Background(), servers.KindMemcached, "memcached", args...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	// The socket can be connected to a moment after it appears.
	retry := backoff.Backoff{Min: time.Millisecond, Max: 100 * time.Millisecond}
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			return socket
		}
		if p.Ended() {
			t.Fatalf("memcached %v: %v", args, p.Err())
		}
		if retry.Wait(t.Context()) != nil {
			t.Fatal(err)
		}
	}
}
