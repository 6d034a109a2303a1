package integration

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// say sends one command to a cache and gives the first line of its answer.
func say(t *testing.T, address, command string) string {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: harness.Patience}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("%s to %s: %v", command, address, err)
	}
	return strings.TrimSpace(line)
}

// fake is a cache that answers each line as it is told to, and notes all of them.
type fake struct {
	answer func(verb string) string
	heard  harness.Transcript
}

// listen serves at an address, until the test ends.
func (f *fake) listen(t *testing.T, address string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return peer.On(t, listener, func(conn net.Conn) {
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			fmt.Fprintln(&f.heard, lines.Text())
			verb, _, _ := strings.Cut(lines.Text(), " ")
			if answer := f.answer(verb); answer != "" {
				fmt.Fprintf(conn, "%s\r\n", answer)
			}
		}
	})
}

// textOnly knows no meta commands, as a memcached before 1.6.
func textOnly(verb string) string {
	switch verb {
	case "delete":
		return "DELETED"
	case "version":
		return "VERSION 1.4.39"
	}
	return "ERROR"
}

// marked tells whether a cache has a key's value marked as stale: X is that, W that
// whoever asks first is to fetch a new one (protocol.txt, "Meta Get").
var marked = regexp.MustCompile(`^HD t(30|[12]?[0-9])( W)? X|^HD t(30|[12]?[0-9]) X( W)?`)

func TestActionStaleMarksValuesAndKeepsThem(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	today, old, behind := harness.NewCache(t), harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Old: true})), harness.NewCache(t)
	caches := map[string]*harness.Cache{"today": today, "old": old, "proxy": behind}
	lines := []string{
		"clusters:",
		fmt.Sprintf("  - {name: today, servers: [%s], action: 'stale:30s'}", today.Addr()),
		fmt.Sprintf("  - {name: old, servers: [%s], action: 'stale:30s', protocol: meta}", old.Addr()),
		fmt.Sprintf("  - {name: proxy, routers: [%s], action: 'stale:30s'}", newProxy(t, behind).Addr()),
	}
	daemon := harness.Configure(t, db.SourceURL(), lines...).Daemon(t)
	daemon.SaysTimes(t, len(caches), "readers that use plain get on stock memcached still see the old value")
	s := db.Session(t)
	key, kept := db.Key("k"), db.Key("kept")
	for _, m := range caches {
		m.Fill(t, key, kept)
	}
	s.Commit(t, key)
	for name, m := range caches {
		var said string
		harness.Await(t, func() string { return fmt.Sprintf("the value in %s is marked; it says %q", name, said) }, func() bool {
			said = say(t, m.Addr(), "mg "+key+" t")
			return marked.MatchString(said)
		})
		m.MustHave(t, key, kept) // for plain readers
		if said := say(t, m.Addr(), "mg "+kept+" t"); said != "HD t-1" {
			t.Errorf("%s says %q of a neighbour", name, said)
		}
	}
	daemon.Stop(t)
}

// What a server does not do is found out before anything is sent to it.
func TestActionThatIsNotHonouredIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	today, old := harness.NewCache(t), harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Old: true}))
	text := &fake{answer: textOnly}
	for _, c := range []struct {
		name, targets, action, protocol string
		parts                           []string
	}{
		{"stale with text", "servers: [" + today.Addr() + "]", "stale:30s", "text", []string{"clusters[0].action", "stale needs the meta protocol"}},
		{"stale on a server of text", "servers: [" + text.listen(t, "127.0.0.1:0") + "]", "stale:30s", "auto", []string{"cluster east: action stale:30s", "needs the meta protocol", "not honoured"}},
		{"hold-off", "servers: [" + today.Addr() + "]", "holdoff:2s", "auto", []string{"cluster east: action holdoff:2s", today.Addr(), "does not know hold-offs", "not honoured"}},
		{"hold-off, old", "servers: [" + old.Addr() + "]", "holdoff:2s", "text", []string{"cluster east: action holdoff:2s", old.Addr(), "not honoured"}},
		{"hold-off, proxy", "routers: [" + newProxy(t, today).Addr() + "]", "holdoff:2s", "auto", []string{"cluster east: action holdoff:2s", "not honoured"}},
		{"hold-off, one of several", "servers: [" + today.Addr() + ", 127.0.0.1:1]", "holdoff:2s", "auto", []string{"cluster east: action holdoff:2s", today.Addr()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, %s, action: '%s', protocol: %s}", c.targets, c.action, c.protocol))
			harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 2, c.parts...)
			cfg.Replay(t, "--from", "now").MustEnd(t, 2, c.parts...)
		})
	}
	// A probe leaves nothing behind.
	for _, m := range []*harness.Cache{today, old} {
		if n := m.Stat(t, "curr_items"); n != 0 {
			t.Errorf("%s has %d items", m, n)
		}
	}
}

func TestActionHoldoffIsSentToWhoHonoursIt(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	cache := &fake{answer: func(verb string) string {
		switch verb {
		case "set":
			return "STORED"
		case "add":
			return "NOT_STORED"
		case "x":
			return "" // a value
		}
		return textOnly(verb)
	}}
	daemon := harness.Configure(t, db.SourceURL(), "clusters:",
		fmt.Sprintf("  - {name: east, servers: [%s], action: 'holdoff:2s', protocol: text}", cache.listen(t, "127.0.0.1:0"))).Daemon(t)
	s := db.Session(t)
	s.Commit(t, db.Key("k"))
	harness.Await(t, "the key is held off", func() bool { return strings.Contains(cache.heard.String(), "delete "+db.Key("k")+" 2\n") })
	daemon.Stop(t)
}

// A cache that is away at the start is probed when it has come, before anything is sent
// to it.
func TestCacheThatIsAwayAtTheStartIsProbedLater(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	away := (&fake{answer: textOnly})
	address := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	daemon := harness.Configure(t, db.SourceURL(), "clusters:",
		fmt.Sprintf("  - {name: east, servers: [%s], action: 'stale:30s'}", m.Addr()),
		fmt.Sprintf("  - {name: west, servers: [%s], action: 'stale:30s'}", address)).Daemon(t)
	daemon.SaysTimes(t, 2, "the action cannot be tried now; it is before anything is sent")
	if err := m.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	away.listen(t, address)
	s := db.Session(t)
	key := db.Key("k")
	m.Fill(t, key)
	s.Commit(t, key)
	var said string
	harness.Await(t, func() string { return fmt.Sprintf("the value is marked; it says %q", said) }, func() bool {
		said = say(t, m.Addr(), "mg "+key+" t")
		return marked.MatchString(said)
	})
	daemon.Says(t, "nothing is sent there, since the action is not honoured.* cluster=west .*needs the meta protocol")
	if heard := away.heard.String(); !strings.Contains(heard, "mcsqueal:probe:") || strings.Contains(heard, key) {
		t.Errorf("a server that does not honour the action has heard %q", heard)
	}
	daemon.Stop(t)
}
