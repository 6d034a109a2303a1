package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/cache"
	"github.com/mcsqueal/mcsqueal/integration/goroutines"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// running is a server at work for a test.
type running struct {
	*Server
	addr string      // of its first listener
	tls  *tls.Config // of clients that dial, if they are to encrypt
	stop func()      // and wait; may be called again
}

// startServer serves with options until the test ends. Without endpoints it listens on a
// port of its own.
func startServer(t testing.TB, o Options) *running {
	t.Helper()
	if len(o.Endpoints) == 0 && len(o.Inherited) == 0 {
		o.Endpoints = []Endpoint{{Network: "tcp", Host: "127.0.0.1"}}
	}
	if o.Threads == 0 {
		o.Threads = 2
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = time.Minute // whoever is slow is not cut off
	}
	store, err := cache.New(cache.Config{Memory: o.Memory})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(o, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(errors.Join(err, store.Close()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	r := &running{Server: srv, addr: srv.Addrs()[0].String()}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		counts := &srv.conns
		for name, n := range map[string]int64{
			"connections": counts.current.Load(), "held bytes": counts.held.Load(), "pinned bytes": counts.pinned.Load(), "partial bytes": counts.partial.Load(),
		} {
			if n != 0 {
				t.Errorf("%s when the server has ended: %d", name, n)
			}
		}
	})
	t.Cleanup(r.stop)
	return r
}

// client is a connection that a test types into.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (r *running) dial(t testing.TB) *client {
	t.Helper()
	network := r.Addrs()[0].Network()
	if r.tls != nil {
		c, err := r.dialTLS(t, r.tls)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c, err := net.Dial(network, r.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

// overEach has a test served by event loops, and by a goroutine for each connection.
func overEach(t *testing.T, o Options, test func(t *testing.T, r *running)) {
	t.Run("plain", func(t *testing.T) { test(t, startServer(t, o)) })
	t.Run("TLS", func(t *testing.T) { test(t, startTLS(t, o)) })
}

// startTLS serves with options, and has those who dial encrypt.
func startTLS(t testing.TB, o Options) *running {
	t.Helper()
	a := newAuthority(t, t.TempDir(), "first")
	o.Endpoints, o.TLS = tlsEndpoint(TLSDefault), TLSOptions{Chain: a.chain, Key: a.key}
	r := startServer(t, o)
	r.tls = &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"}
	return r
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	// Whatever hangs ends like this, and the test with it.
	if err := c.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{c, t, bufio.NewReader(c)}
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send %.40q: %v", text, err)
	}
}

// hears waits for exactly this.
func (c *client) hears(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if string(got[:n]) != want {
		c.t.Fatalf("got %.80q (%d bytes, %v), want %.80q", got[:n], n, err, want)
	}
}

// gets says something, and tells what keeps exactly that answer from coming.
func (c *client) gets(say, hear string) error {
	if _, err := io.WriteString(c, say); err != nil {
		return err
	}
	got := make([]byte, len(hear))
	if n, err := io.ReadFull(c.r, got); string(got) != hear {
		return fmt.Errorf("got %q and %w", got[:n], err)
	}
	return nil
}

// hearsUpTo is all lines up to one.
func (c *client) hearsUpTo(last string) string {
	c.t.Helper()
	var text strings.Builder
	for line := ""; line != last; {
		var err error
		if line, err = c.r.ReadString('\n'); err != nil {
			c.t.Fatalf("after %.80q: %v", text.String(), err)
		}
		text.WriteString(line)
	}
	return text.String()
}

// hearsEnd waits for the connection's end, before which there is exactly this.
func (c *client) hearsEnd(want string) {
	c.t.Helper()
	got, err := io.ReadAll(c.r)
	if string(got) != want || err != nil {
		c.t.Fatalf("got %.80q (%d bytes) and then %v, want %.80q and the end", got, len(got), err, want)
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("it took too long: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// value is one of some size, different for each seed.
func value(size int, seed byte) []byte {
	v := make([]byte, size)
	for i := range v {
		v[i] = 'a' + (seed+byte(i>>3)+byte(i>>11))%26
	}
	return v
}

func TestServesOrdinaryClients(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			at := Endpoint{Network: network, Host: "127.0.0.1", Path: socketPath(t), Mask: 0o700}
			r := startServer(t, Options{Endpoints: []Endpoint{at}})
			c := memcache.New(r.addr)
			c.Timeout = time.Minute
			defer c.Close()
			var keys []string
			for i, size := range []int{0, 1, 135, 1000, 5_000, 16_000, 100_000, 900_000} {
				key := fmt.Sprint("k", size)
				keys = append(keys, key)
				if err := c.Set(&memcache.Item{Key: key, Value: value(size, byte(i)), Flags: uint32(i)}); err != nil {
					t.Fatalf("set %d bytes: %v", size, err)
				}
				item, err := c.Get(key)
				if err != nil || !bytes.Equal(item.Value, value(size, byte(i))) || item.Flags != uint32(i) {
					t.Fatalf("get %d bytes: %v", size, err)
				}
			}
			all, err := c.GetMulti(append(keys, "missing"))
			if err != nil || len(all) != len(keys) {
				t.Fatalf("got %d of %d keys: %v", len(all), len(keys), err)
			}
			if err := c.Delete("k1"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Get("k1"); !errors.Is(err, memcache.ErrCacheMiss) {
				t.Fatalf("a deleted key: %v", err)
			}
		})
	}
}

// socketPath is short enough for a Unix socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mccache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

func TestUnixSocketHasItsMaskAndReplacesAnAbandonedOne(t *testing.T) {
	path := socketPath(t)
	abandoned, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	abandoned.SetUnlinkOnClose(false)
	_ = abandoned.Close()
	r := startServer(t, Options{Endpoints: []Endpoint{{Network: "unix", Path: path, Mask: 0o750}}})
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o750 {
		t.Fatalf("the socket is %v, %v", info, err)
	}
	r.stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there when the server has ended: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Endpoints: []Endpoint{{Network: "unix", Path: path}}}, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file in the place of the socket was no error")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("a file that is no socket was touched: %q, %v", text, err)
	}
}

// conversation is a sequence of commands with values of all sizes, and its answers.
func conversation() (say, hear string) {
	var in, out strings.Builder
	for i, size := range []int{0, 3, 200, 7_000, 70_000, 300_000} {
		v := value(size, byte(i))
		fmt.Fprintf(&in, "set k%d %d 0 %d\r\n%s\r\nget k%[1]d none k%[1]d\r\nmg k%[1]d v s\r\n", i, i, size, v)
		fmt.Fprintf(&out, "STORED\r\nVALUE k%d %d %d\r\n%s\r\nVALUE k%[1]d %d %d\r\n%s\r\nEND\r\nVA %[3]d s%[3]d\r\n%[4]s\r\n", i, i, size, v)
	}
	in.WriteString("mn\r\nbogus\r\ndelete k0\r\ndelete k0\r\nset k1 0 0 5 noreply\r\nhello\r\nget k1\r\n")
	out.WriteString("MN\r\nERROR\r\nDELETED\r\nNOT_FOUND\r\nVALUE k1 0 5\r\nhello\r\nEND\r\n")
	return in.String(), out.String()
}

func TestAnswersDoNotDependOnWhereInputIsCut(t *testing.T) {
	say, hear := conversation()
	r := startServer(t, Options{})
	random := rand.New(rand.NewPCG(1, 2))
	for _, longest := range []int{20, 3_000, 100_000, len(say)} {
		t.Run(fmt.Sprint(longest), func(t *testing.T) {
			c := r.dial(t)
			sent := make(chan error, 1)
			go func() {
				rest := say
				for len(rest) > 0 {
					n := min(1+random.IntN(longest), len(rest))
					if longest == 20 && n < 20 && len(rest) < len(say)-5_000 {
						n = min(5_000, len(rest)) // only the beginning in very small pieces
					}
					if _, err := io.WriteString(c, rest[:n]); err != nil {
						sent <- err
						return
					}
					rest = rest[n:]
					runtime.Gosched()
				}
				sent <- nil
			}()
			c.hears(hear)
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSaysGoodbyeAfterTheLastAnswer(t *testing.T) {
	r := startServer(t, Options{})
	c := r.dial(t)
	c.say("mn\r\nquit\r\nmn\r\n")
	c.hearsEnd("MN\r\n")
	eventually(t, "the connection ends", func() bool { return r.conns.current.Load() == 0 })
}

func TestAnswersWhatCameBeforeTheClientStoppedSending(t *testing.T) {
	r := startServer(t, Options{})
	c := r.dial(t)
	c.say("set k 0 0 5\r\nhello\r\nget k\r\nget k") // the last one is not whole
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.hearsEnd("STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n")
}

func TestLastAnswerArrivesThoughInputIsUnread(t *testing.T) {
	r := startServer(t, Options{lingerSeconds: 60})
	for range 20 {
		c := r.dial(t)
		c.say("\x80" + strings.Repeat("x", 1<<20))
		answer, err := io.ReadAll(c.r)
		if err != nil || !strings.HasPrefix(string(answer), "CLIENT_ERROR ") {
			t.Fatalf("got %q, %v", answer, err)
		}
	}
}

func TestWatchersHearWithoutAsking(t *testing.T) {
	r := startServer(t, Options{})
	watcher, other := r.dial(t), r.dial(t)
	watcher.say("watch mutations\r\n")
	watcher.hears("OK\r\n")
	other.say("set seen 0 0 1\r\nx\r\n")
	other.hears("STORED\r\n")
	line, err := watcher.r.ReadString('\n')
	if err != nil || !strings.Contains(line, "seen") {
		t.Fatalf("the watcher got %q, %v", line, err)
	}
}

func TestWatchersHearOfConnections(t *testing.T) {
	r := startServer(t, Options{})
	watcher := r.dial(t)
	watcher.say("watch connevents\r\n")
	watcher.hears("OK\r\n")
	other := r.dial(t)
	port := other.LocalAddr().(*net.TCPAddr).Port
	hears := func(want string) {
		t.Helper()
		line, err := watcher.r.ReadString('\n')
		if err != nil || !strings.Contains(line, want) {
			t.Fatalf("the watcher got %q, %v, want %q", line, err, want)
		}
	}
	hears(fmt.Sprintf("type=conn_new rip=127.0.0.1 rport=%d transport=tcp cfd=", port))
	other.say("quit\r\n")
	other.hearsEnd("")
	hears(fmt.Sprintf("type=conn_close rip=127.0.0.1 rport=%d transport=tcp reason=normal cfd=", port))
}

func TestListsConnections(t *testing.T) {
	r := startServer(t, Options{})
	c := r.dial(t)
	var text string
	for began, asked := time.Now(), 0; asked == 0 || time.Since(began) > time.Second; asked++ { // within a second
		began = time.Now()
		c.say("stats conns\r\nmn\r\n")
		text = c.hearsUpTo("MN\r\n")
	}
	for _, want := range []string{":addr tcp:" + c.LocalAddr().String(), ":listen_addr tcp:" + r.addr, ":state conn_listening", ":state conn_read", ":secs_since_last_cmd 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("stats conns does not say %q:\n%s", want, text)
		}
	}
}

func TestServesSocketsThatOthersHaveBound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	r := startServer(t, Options{Inherited: []*os.File{file}})
	c := r.dial(t)
	c.say("mn\r\n")
	c.hears("MN\r\n")
}

func TestRefusesInheritedFilesThatAreNoSockets(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := New(Options{Inherited: []*os.File{file}}, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("no error")
	}
}

func TestClosesIdleConnections(t *testing.T) {
	r := startServer(t, Options{IdleTimeout: time.Second})
	said := time.Now()
	busy, idle, partial, half := r.dial(t), r.dial(t), r.dial(t), r.dial(t)
	partial.say("get wh")
	half.say("set k 0 0 100\r\nabc")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, idle.Conn)
		_, _ = io.Copy(io.Discard, partial.Conn)
		_, _ = io.Copy(io.Discard, half.Conn)
	}()
	idlers := uint64(3)
	for open := true; open; {
		began := time.Now()
		if err := busy.gets("mn\r\n", "MN\r\n"); err != nil {
			// On a machine that stood still the busy one was idle as well.
			if silent := time.Since(said); silent < time.Second {
				t.Fatalf("one that said something %v ago: %v", silent, err)
			}
			idlers++
			busy = r.dial(t)
		}
		said = began
		select {
		case <-gone:
			open = false
		case <-time.After(50 * time.Millisecond):
		}
	}
	if kicks := r.conns.idleKicks.Load(); kicks != idlers {
		t.Errorf("%d idle connections were counted, %d were closed", kicks, idlers)
	}
}

func TestWatchersAreNeverIdle(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "first")
	r := startServer(t, Options{
		IdleTimeout: time.Second, TLS: TLSOptions{Chain: a.chain, Key: a.key},
		Endpoints: append(tlsEndpoint(TLSDefault), Endpoint{Network: "tcp", Host: "127.0.0.1"}),
	})
	encrypted := func() *client {
		c, err := r.dialTLS(t, &tls.Config{RootCAs: a.pool})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain := func() *client {
		conn, err := net.Dial("tcp", r.Addrs()[1].String())
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, conn)
	}
	// A client of its own says something; on a machine that stands still that one is idle,
	// and another does.
	one := func(dial func() *client, say, hear string) *client {
		for {
			began := time.Now()
			c := dial()
			err := c.gets(say, hear)
			if err == nil {
				return c
			}
			if took := time.Since(began); took < time.Second {
				t.Fatalf("%q, after %v: %v", say, took, err)
			}
		}
	}
	watchers := []*client{one(encrypted, "watch mutations\r\n", "OK\r\n"), one(plain, "watch mutations\r\n", "OK\r\n")}
	plain().hearsEnd("") // that one was idle, and for less long
	one(plain, "set seen 0 0 1\r\nx\r\n", "STORED\r\n")
	for _, c := range watchers {
		if line, err := c.r.ReadString('\n'); err != nil || !strings.Contains(line, "seen") {
			t.Errorf("a watcher got %q, %v", line, err)
		}
	}
}

func TestWatchersAreFew(t *testing.T) {
	r := startServer(t, Options{})
	var last *client
	for range maxWatchers {
		last = r.dial(t)
		last.say("watch\r\n")
		last.hears("OK\r\n")
	}
	more := r.dial(t)
	more.say("watch\r\n")
	more.hears("WATCHER_TOO_MANY log watcher limit reached\r\n")
	last.say("watch mutations\r\n") // instead of what it watched
	last.hears("OK\r\n")
	_ = last.Close()
	eventually(t, "it watches no more", func() bool { return r.watchers.count() < maxWatchers })
	more.say("watch\r\n")
	more.hears("OK\r\n")
}

func TestConnectionsOverTheLimitAreToldSo(t *testing.T) {
	r := startServer(t, Options{MaxConns: 2})
	first, second := r.dial(t), r.dial(t)
	for _, c := range []*client{first, second} {
		c.say("mn\r\n")
		c.hears("MN\r\n")
	}
	r.dial(t).hearsEnd("ERROR Too many open connections\r\n")
	_ = first.Close()
	eventually(t, "a place is free", func() bool { return r.conns.current.Load() == 1 })
	third := r.dial(t)
	third.say("mn\r\n")
	third.hears("MN\r\n")
	if n := r.conns.rejected.Load(); n != 1 {
		t.Errorf("%d rejected connections were counted", n)
	}
}

func TestConnectionsOverTheLimitWaitWhereTheyAreToldTo(t *testing.T) {
	r := startServer(t, Options{MaxConns: 1, WaitAtLimit: true})
	first := r.dial(t)
	first.say("mn\r\n")
	first.hears("MN\r\n")
	second := r.dial(t)
	second.say("mn\r\n")
	eventually(t, "accepting pauses", func() bool { return r.conns.disabled.Load() == 1 })
	_ = first.Close()
	second.hears("MN\r\n")
}

func TestStoppingAnswersWhatWasReceived(t *testing.T) {
	r := startServer(t, Options{})
	big := value(800_000, 7)
	c := r.dial(t)
	c.say(fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", len(big), big))
	c.hears("STORED\r\n")
	idle, partial := r.dial(t), r.dial(t)
	partial.say("set p 0 0 100\r\nabc")
	// Many answers: the socket takes only some of them before the client reads.
	const times = 40
	c.say(strings.Repeat("get big\r\n", times))
	eventually(t, "answers wait", func() bool { return r.conns.pinned.Load() > 0 })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	idle.hearsEnd("")
	partial.hearsEnd("")
	c.hearsEnd(strings.Repeat(fmt.Sprintf("VALUE big 0 %d\r\n%s\r\nEND\r\n", len(big), big), times))
	<-stopped
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("a stopped server accepts connections")
	}
}

func TestStoppingSaysGoodbyeToThoseWhoStillSend(t *testing.T) {
	overEach(t, Options{lingerSeconds: 60}, func(t *testing.T, r *running) {
		const clients = 8
		var all, begun sync.WaitGroup
		begun.Add(clients)
		for range clients {
			c := r.dial(t)
			all.Go(func() { // until the server takes no more
				for err := error(nil); err == nil; {
					_, err = io.WriteString(c, "mn\r\nmn\r\nmn\r\n")
				}
			})
			all.Go(func() {
				c.hears("MN\r\n")
				begun.Done()
				// An error would be that the connection was reset, and what was answered last
				// may be lost then.
				answers, err := io.ReadAll(c.r)
				if rest := strings.ReplaceAll(string(answers), "MN\r\n", ""); err != nil || rest != "" {
					t.Errorf("the answers end with %v and %.40q", err, rest)
				}
				_ = c.Close()
			})
		}
		begun.Wait()
		r.stop()
		all.Wait()
	})
}

func TestStoppingDoesNotWaitForeverForAClientThatDoesNotRead(t *testing.T) {
	r := startServer(t, Options{DrainTimeout: 300 * time.Millisecond})
	c := blockedClient(t, r)
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("stopping took %v", took)
	}
	_ = c.Close()
}

// blockedClient asks for more than its socket takes, and does not read.
func blockedClient(t *testing.T, r *running) *client {
	t.Helper()
	before, cuts := r.conns.pinned.Load(), r.conns.slowCuts.Load()
	c := r.dial(t)
	v := value(900_000, 3)
	c.say(fmt.Sprintf("set big 0 0 %d noreply\r\n%s\r\n", len(v), v))
	c.say(strings.Repeat("get big\r\n", 100))
	// Others may be closed for it before anybody looks.
	eventually(t, "answers wait", func() bool { return r.conns.pinned.Load() > before || r.conns.slowCuts.Load() > cuts })
	return c
}

func TestServingAllocatesNothing(t *testing.T) {
	r := startServer(t, Options{Threads: 1})
	c := r.dial(t)
	large := value(60_000, 1)
	for _, shape := range []struct{ name, say, hear string }{
		{"get", "get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n"},
		{"miss", "get none\r\n", "END\r\n"},
		{"set", "set k 0 0 5\r\nhello\r\n", "STORED\r\n"},
		{"delete", "delete none\r\n", "NOT_FOUND\r\n"},
		{"meta get", "mg k v\r\n", "VA 5\r\nhello\r\n"},
		{"pipelined", strings.Repeat("get k\r\n", 100), strings.Repeat("VALUE k 0 5\r\nhello\r\nEND\r\n", 100)},
		{"large set", fmt.Sprintf("set l 0 0 %d\r\n%s\r\n", len(large), large), "STORED\r\n"},
		{"large get", "get l\r\n", fmt.Sprintf("VALUE l 0 %d\r\n%s\r\nEND\r\n", len(large), large)},
	} {
		say, answer := []byte(shape.say), make([]byte, len(shape.hear))
		c.say("set k 0 0 5\r\nhello\r\n")
		c.hears("STORED\r\n")
		once := func() {
			if _, err := c.Write(say); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c.Conn, answer); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			once()
		}
		if string(answer) != shape.hear {
			t.Fatalf("%s: got %.40q", shape.name, answer)
		}
		if n := testing.AllocsPerRun(300, once); n > 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", shape.name, n)
		}
	}
}

func TestIdleConnectionsHoldNextToNothing(t *testing.T) {
	const n = 4000
	r := startServer(t, Options{MaxConns: n + 10})
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	// What the test's own side takes is measured first, on connections nobody serves.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	open := func(addr string, talk bool) (conns []net.Conn) {
		for range n {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			if talk { // every one has been served once
				if _, err := io.WriteString(c, "mn\r\n"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
			}
		}
		return conns
	}
	shut := func(conns []net.Conn) {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	before := heap()
	probe := n / 10 // the backlog would not take them all
	var own []net.Conn
	for range probe {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, c)
	}
	perClient := (heap() - before) / int64(probe)
	shut(own)
	before = heap()
	conns := open(r.addr, true)
	per := (heap()-before)/n - perClient
	shut(conns)
	t.Logf("%d bytes for each idle connection; the client's side takes %d", per, perClient)
	if per > 1024 {
		t.Errorf("an idle connection takes %d bytes", per)
	}
	eventually(t, "all connections have ended", func() bool { return r.conns.current.Load() == 0 })
}
