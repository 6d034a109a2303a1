package mccache

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

var soakSeconds = flag.Float64("soak", 4, "how many seconds the soak lasts")

// soaker is a client that does everything a client may do, in any order, and some things
// that it should not. Values say whose they are: value i of key k begins with k and ends
// with k, so that no answer can be another's or half of two.
type soaker struct {
	*wire
	random   *rand.Rand
	commands int
}

// soakKeys are few enough that clients meet, and many enough that memory runs out.
const soakKeys = 2000

func (s *soaker) key() string { return "soak:" + strconv.Itoa(s.random.IntN(soakKeys)) }

// data is a value for a key: mostly small, sometimes as large as it may be.
func (s *soaker) data(key string) string {
	size := sizes(s.random)
	if s.random.IntN(500) == 0 {
		size = 1_000_000
	}
	return key + "|" + strings.Repeat(string('a'+rune(s.random.IntN(26))), size) + "|" + key
}

// whole says whether a value is one of the key's.
func whole(key, data string) error {
	// append and prepend leave several, one behind the other.
	for rest := data; ; {
		after, ok := strings.CutPrefix(rest, key+"|")
		if !ok {
			return fmt.Errorf("key %s has %q", key, harness.Clip(data))
		}
		fill, more, ok := strings.Cut(after, "|"+key)
		if !ok || fill != "" && strings.Trim(fill, fill[:1]) != "" {
			return fmt.Errorf("key %s has %q within its value", key, harness.Clip(after))
		}
		if more == "" {
			return nil
		}
		rest = more
	}
}

// expect reads an answer that is one of these, or begins with SERVER_ERROR: a server
// without memory for something may say so.
func (s *soaker) expect(want ...string) error {
	line, err := s.line()
	if err != nil {
		return err
	}
	for _, w := range want {
		if line == w || strings.HasSuffix(w, "…") && strings.HasPrefix(line, strings.TrimSuffix(w, "…")) {
			return nil
		}
	}
	if strings.HasPrefix(line, "SERVER_ERROR out of memory") || strings.HasPrefix(line, "SERVER_ERROR object too large") {
		return nil
	}
	return fmt.Errorf("the answer %q, want one of %q", harness.Clip(line), want)
}

func (s *soaker) gets(keys ...string) error {
	all, err := s.values()
	if err != nil {
		return err
	}
	for _, v := range all {
		if err := whole(v.key, v.data); err != nil {
			return err
		}
	}
	return nil
}

// meta reads the answer to an mg with v, and k before all other flags' values.
func (s *soaker) meta(key string) error {
	line, err := s.line()
	if err != nil || line == "EN" {
		return err
	}
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "VA" {
		return fmt.Errorf("the answer %q to mg", harness.Clip(line))
	}
	data, err := s.wire.data(f[1])
	if err != nil || data == "" { // a stub
		return err
	}
	return whole(key, data)
}

// actions are what it does.
var actions = []struct {
	weight int
	name   string
	act    func(s *soaker, key string) error
}{
	{30, "get", func(s *soaker, key string) error { return errors.Join(s.send("get %s\r\n", key), s.gets()) }},
	{10, "gets of many", func(s *soaker, key string) error {
		return errors.Join(s.send("gets %s %s %s %s\r\n", key, s.key(), s.key(), s.key()), s.gets())
	}},
	{5, "gat", func(s *soaker, key string) error { return errors.Join(s.send("gat 100 %s\r\n", key), s.gets()) }},
	{25, "set", func(s *soaker, key string) error {
		d := s.data(key)
		return errors.Join(s.send("set %s 0 %d %d\r\n%s\r\n", key, s.random.IntN(4), len(d), d), s.expect("STORED"))
	}},
	{3, "add", func(s *soaker, key string) error {
		d := s.data(key)
		return errors.Join(s.send("add %s 0 0 %d\r\n%s\r\n", key, len(d), d), s.expect("STORED", "NOT_STORED"))
	}},
	{2, "append", func(s *soaker, key string) error {
		d := key + "|b|" + key
		return errors.Join(s.send("append %s 0 0 %d\r\n%s\r\n", key, len(d), d), s.expect("STORED", "NOT_STORED"))
	}},
	{2, "prepend", func(s *soaker, key string) error {
		d := key + "|b|" + key
		return errors.Join(s.send("prepend %s 0 0 %d\r\n%s\r\n", key, len(d), d), s.expect("STORED", "NOT_STORED"))
	}},
	{3, "cas", func(s *soaker, key string) error {
		d := s.data(key)
		return errors.Join(s.send("cas %s 0 0 %d %d\r\n%s\r\n", key, len(d), s.random.Uint32(), d), s.expect("STORED", "EXISTS", "NOT_FOUND"))
	}},
	{10, "delete", func(s *soaker, key string) error {
		return errors.Join(s.send("delete %s\r\n", key), s.expect("DELETED", "NOT_FOUND"))
	}},
	{2, "delete with hold-off", func(s *soaker, key string) error {
		return errors.Join(s.send("delete %s 1\r\n", key), s.expect("DELETED", "NOT_FOUND"))
	}},
	{3, "touch", func(s *soaker, key string) error {
		return errors.Join(s.send("touch %s 100\r\n", key), s.expect("TOUCHED", "NOT_FOUND"))
	}},
	{3, "incr", func(s *soaker, key string) error {
		n := "n" + key
		if err := errors.Join(s.send("add %s 0 0 1\r\n1\r\n", n), s.expect("STORED", "NOT_STORED")); err != nil {
			return err
		}
		line, err := s.ask("incr %s 1\r\n", n)
		if _, bad := strconv.ParseUint(line, 10, 64); err == nil && bad != nil && line != "NOT_FOUND" {
			err = fmt.Errorf("incr: %q", harness.Clip(line))
		}
		return err
	}},
	{10, "lease loop, text", func(s *soaker, key string) error { return s.lease(textLeaser{s.wire}, key) }},
	{10, "lease loop, meta", func(s *soaker, key string) error { return s.lease(metaLeaser{s.wire, " I T5"}, key) }},
	{5, "mg", func(s *soaker, key string) error {
		return errors.Join(s.send("mg %s v t f s c h l\r\n", key), s.meta(key))
	}},
	{2, "md", func(s *soaker, key string) error {
		return errors.Join(s.send("md %s I T5\r\n", key), s.expect("HD", "NF"))
	}},
	{3, "pipeline", func(s *soaker, key string) error {
		const n = 30
		if err := s.send("%s", strings.Repeat("get "+key+"\r\n", n)); err != nil {
			return err
		}
		for range n {
			if err := s.gets(); err != nil {
				return err
			}
		}
		return nil
	}},
	{2, "noreply", func(s *soaker, key string) error {
		d := s.data(key)
		return errors.Join(s.send("set %s 0 0 %d noreply\r\n%s\r\ndelete %s noreply\r\nmn\r\n", key, len(d), d, s.key()), s.expect("MN"))
	}},
	{1, "statistics", func(s *soaker, _ string) error {
		what := []string{"", " items", " slabs", " settings", " conns", " sizes"}[s.random.IntN(6)]
		if err := s.send("stats%s\r\n", what); err != nil {
			return err
		}
		for {
			line, err := s.line()
			if err != nil || line == "END" {
				return err
			}
			if !strings.HasPrefix(line, "STAT ") {
				return fmt.Errorf("stats%s: %q", what, harness.Clip(line))
			}
		}
	}},
	{1, "nonsense", func(s *soaker, key string) error {
		return errors.Join(s.send("nonsense %s\r\n", key), s.expect("ERROR"))
	}},
}

func (s *soaker) lease(l leaser, key string) error {
	r, err := l.read(key)
	if err != nil {
		return err
	}
	if r.value != "" {
		if err := whole(key, r.value); err != nil {
			return err
		}
	}
	if r.token == 0 || s.random.IntN(4) == 0 { // some never fill
		return nil
	}
	d := s.data(key)
	_, err = l.fill(key, r.token, d)
	if err != nil && strings.Contains(err.Error(), "SERVER_ERROR") {
		err = nil
	}
	return err
}

// act does one thing.
func (s *soaker) act() error {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	dice := s.random.IntN(total)
	for _, a := range actions {
		if dice -= a.weight; dice < 0 {
			s.commands++
			if err := a.act(s, s.key()); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			return nil
		}
	}
	return nil
}

// leave ends the connection, politely or anywhere in the middle.
func (s *soaker) leave() error {
	key := s.key()
	var err error
	switch s.random.IntN(6) {
	case 0:
		err = s.send("quit\r\n")
		if err == nil {
			_, err = s.in.ReadByte()
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				err = nil
			} else if err == nil {
				err = errors.New("quit was answered")
			}
		}
	case 1:
		err = s.send("set %s 0 0 100000\r\nabc", key)
	case 2:
		err = s.send("get %s", key)
	case 3:
		err = s.send("%s", strings.Repeat("get "+key+"\r\n", 500)) // whose answers it does not read
	case 4:
		err = s.send("lease-get %s\r\n", key) // and does not fill
	}
	return errors.Join(err, s.close())
}

// soak runs clients that come and go until the time is over.
func soak(ctx context.Context, m *servers.Memcached, endpoints []endpoint, clients int, lasts time.Duration) (commands, connections int64, err error) {
	var done, opened atomic.Int64
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for i := range clients {
		random := rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))
		group.Go(func() error {
			for ctx.Err() == nil {
				w, err := endpoints[i%len(endpoints)].connect(context.WithoutCancel(ctx))
				if err != nil {
					return err
				}
				s := &soaker{wire: w, random: random}
				opened.Add(1)
				for n := random.IntN(300); n > 0 && err == nil && ctx.Err() == nil; n-- {
					err = s.act()
				}
				done.Add(int64(s.commands))
				if err != nil {
					return errors.Join(err, s.close())
				}
				if err := s.leave(); err != nil {
					return fmt.Errorf("leave: %w", err)
				}
			}
			return nil
		})
	}
	group.Go(func() error { return disturb(ctx, m) })
	err = group.Wait()
	return done.Load(), opened.Load(), err
}

// disturb flushes now and then, and sends datagrams of all kinds.
func disturb(ctx context.Context, m *servers.Memcached) (err error) {
	w, err := connect(context.WithoutCancel(ctx), m.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	conn, err := net.Dial("udp", m.Addr())
	if err != nil {
		return fmt.Errorf("a datagram: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	datagram := make([]byte, 1400)
	for n := 0; sleep(ctx, 5*time.Millisecond); n++ {
		size := random.IntN(len(datagram))
		for i := range datagram[:size] {
			datagram[i] = byte(random.Uint32())
		}
		if n%2 == 0 && size > 8 {
			copy(datagram, "\x00\x01\x00\x00\x00\x01\x00\x00")
			copy(datagram[8:], "get soak:1 soak:2\r\n")
		}
		// Refused where nobody listens; lost anyway.
		if _, err := conn.Write(datagram[:size]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("a datagram: %w", err)
		}
		if n%100 == 99 {
			if line, err := w.ask("flush_all\r\n"); err != nil || line != "OK" {
				return fmt.Errorf("flush_all: %q, %w", line, err)
			}
		}
	}
	return nil
}

// The soak: everything at once, under the race detector, and afterwards nothing is left of
// it: no connection, no open file, no thread that was not there when it was half over, no
// memory.
func TestTheSoakLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	file, roots := certificate(t)
	m := servers.Mccache(t, servers.MccacheConfig{Program: raced.path(t), UDP: true, Cert: file, Key: file, Args: []string{"-m", "32", "-t", "4"}})
	// Event loops serve most, goroutines some.
	endpoints := []endpoint{{addr: m.Addr()}, {addr: m.Addr()}, {addr: m.SecureAddr(), tls: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	lasts := time.Duration(*soakSeconds * float64(time.Second))
	const clients = 24
	files := descriptors(t, m.Pid())
	connected := m.Stat(t, "curr_connections")
	// First so long that everything has been allocated that ever is.
	if _, _, err := soak(t.Context(), m, endpoints, clients, lasts/2); err != nil {
		t.Fatal(err)
	}
	size, running := resident(t, m.Pid()), threads(t, m.Pid())
	var commands, connections int64
	for attempt := 0; attempt == 0 || attempt < 20 && commands < 1000; attempt++ { // how many, is the machine's
		more, opened, err := soak(t.Context(), m, endpoints, clients, lasts/2)
		if err != nil {
			t.Fatal(err)
		}
		commands, connections = commands+more, connections+opened
	}
	t.Logf("%d commands on %d connections; %s resident", commands, connections, mebibytes(resident(t, m.Pid())))
	if commands < 1000 {
		t.Errorf("only %d commands", commands)
	}
	harness.Await(t, func() string {
		return fmt.Sprintf("%d connections and %d open files, as at the start; there are %d and %d",
			connected, files, m.Stat(t, "curr_connections"), descriptors(t, m.Pid()))
	}, func() bool { return m.Stat(t, "curr_connections") <= connected && descriptors(t, m.Pid()) <= files+4 })
	// Those that waited for a processor may be a few; one a connection would be hundreds.
	if n := threads(t, m.Pid()); n > running+32 {
		t.Errorf("%d threads, %d when it was half over", n, running)
	}
	if now := resident(t, m.Pid()); now > size+size/4+32<<20 {
		t.Errorf("%s resident, %s when it was half over", mebibytes(now), mebibytes(size))
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if log := m.Log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") || strings.Contains(log, "goroutine ") {
		t.Errorf("it said:\n%s", log)
	}
}
