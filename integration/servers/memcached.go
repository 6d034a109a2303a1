package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// MemcachedConfig says how a memcached is to differ from the usual one. The zero
// value is the usual one: the newer, 64 MiB, two threads, TCP only.
type MemcachedConfig struct {
	// Old takes memcached 1.6.18 instead of the newer.
	Old bool
	// UDP has it also answer datagrams, on the port of the same number.
	UDP bool
	// Cert and Key, if set, are PEM files with which it also speaks TLS, at SecureAddr.
	Cert, Key string
	// Args are options for the server, "-m", "1024" for example. They come after
	// the usual ones and so override them.
	Args []string
	// Login is a name and a password, with a space between, where Args name a file of
	// those who may come in (-Y).
	Login string
}

// ProxyConfig says what a proxy routes to.
type ProxyConfig struct {
	// Backends are the servers, each host:port. At least one.
	Backends []string
	// All sends every command to every backend and answers when all have answered,
	// with an error if one failed. Otherwise each key has one backend, found by its
	// hash.
	All bool
	// Args are options for the proxy, after the usual ones.
	Args []string
}

// Memcached is a running memcached, or one that is a proxy for others.
type Memcached struct {
	*Instance
	client *memcache.Client
	secure bool
	login  string // "name password", where it is asked for
}

// SecureAddr is host:port on which the instance speaks TLS, if it was told to: the same
// port of another loopback address.
func (m *Memcached) SecureAddr() string { return net.JoinHostPort(secureHost, strconv.Itoa(m.port)) }

const secureHost = "127.0.0.2"

// StartMemcached starts a memcached and returns when it answers. Where it is not
// installed the error is a [*MissingError]. The caller closes it.
func StartMemcached(ctx context.Context, c MemcachedConfig) (*Memcached, error) {
	k := KindMemcached
	if c.Old {
		k = KindMemcachedOld
	}
	args := append(secured(c.Cert, c.Key), c.Args...)
	return startMemcached(ctx, k, c.UDP, &Memcached{secure: c.Cert != "", login: c.Login}, func(string) ([]string, error) { return args, nil })
}

// secured are the options for TLS, if there is a certificate.
func secured(cert, key string) []string {
	if cert == "" {
		return nil
	}
	return []string{"-Z", "-o", "ssl_chain_cert=" + cert + ",ssl_key=" + key}
}

// MccacheConfig says which mccache to run, and how.
type MccacheConfig struct {
	// Program is the path of the command, which the caller has built.
	Program string
	// UDP has it also answer datagrams, on the port of the same number.
	UDP bool
	// Cert and Key, if set, are PEM files with which it also speaks TLS, at SecureAddr.
	Cert, Key string
	// Args are options for the server, which are those of memcached. They come after
	// the usual ones and so override them.
	Args []string
	// Login is as for memcached.
	Login string
}

// StartMccache starts a mccache with the options that a memcached would be started
// with, and returns when it answers. The caller closes it.
func StartMccache(ctx context.Context, c MccacheConfig) (*Memcached, error) {
	dir, remove, err := newScratch(ctx)
	if err != nil {
		return nil, err
	}
	m := &Memcached{Instance: &Instance{name: "mccache", dir: dir, remove: remove}, secure: c.Cert != "", login: c.Login}
	args := append(secured(c.Cert, c.Key), c.Args...)
	return m.launch(ctx, func() (*exec.Cmd, error) {
		// Not bound to a context: the server outlives its start.
		return exec.CommandContext(context.Background(), c.Program, append(m.usual(c.UDP), args...)...), nil
	})
}

// StartProxy starts memcached's built-in proxy, a router in front of the backends,
// and returns when it answers. The backends need not run.
func StartProxy(ctx context.Context, c ProxyConfig) (*Memcached, error) {
	if len(c.Backends) == 0 {
		return nil, errors.New("start a proxy: it needs at least one backend")
	}
	return startMemcached(ctx, KindMemcached, false, &Memcached{}, func(dir string) ([]string, error) {
		file := filepath.Join(dir, "routes.lua")
		if err := os.WriteFile(file, []byte(c.routes()), 0o600); err != nil {
			return nil, fmt.Errorf("write the proxy's routes: %w", err)
		}
		return append([]string{"-o", "proxy_config=routelib,proxy_arg=" + file}, c.Args...), nil
	})
}

// routes is the proxy's configuration for its built-in routelib.
func (c ProxyConfig) routes() string {
	var pools strings.Builder
	for _, b := range c.Backends {
		if c.All {
			fmt.Fprintf(&pools, "{ backends = { %q } }, ", b)
		} else {
			fmt.Fprintf(&pools, "%q, ", b)
		}
	}
	if c.All {
		// A name that starts with set_ is a set of pools.
		return "pools{ set_all = { " + pools.String() + "} }\n" +
			"routes{ default = route_allsync{ children = \"set_all\" } }\n"
	}
	return "pools{ main = { backends = { " + pools.String() + "} } }\n" +
		"routes{ default = route_direct{ child = \"main\" } }\n"
}

// startMemcached starts what m is to become.
func startMemcached(ctx context.Context, k Kind, udp bool, m *Memcached, extra func(dir string) ([]string, error)) (*Memcached, error) {
	if err := Missing(k); err != nil {
		return nil, err
	}
	base, err := Dir()
	if err != nil {
		return nil, err
	}
	dir, remove, err := newScratch(ctx)
	if err != nil {
		return nil, err
	}
	m.Instance = &Instance{kind: k, dir: dir, remove: remove}
	args, err := extra(dir)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	root := kinds[k].root.dir(base)
	return m.launch(ctx, func() (*exec.Cmd, error) {
		// Not bound to a context: the server outlives its start.
		return loaded(context.Background(), root, filepath.Join(root, kinds[k].program), append(m.usual(udp), args...)...)
	})
}

// usual are the options that every one of these servers gets.
func (m *Memcached) usual(udp bool) []string {
	port := strconv.Itoa(m.port)
	datagrams := "0"
	if udp {
		datagrams = port
	}
	listen := []string{"-l", "127.0.0.1"}
	if m.secure {
		listen = []string{"-l", "notls:127.0.0.1", "-l", "btls:" + m.SecureAddr()}
	}
	args := append(listen, "-p", port, "-U", datagrams, "-m", "64", "-t", "2")
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	return args
}

// launch runs the command, which is asked for once the port is known.
func (m *Memcached) launch(ctx context.Context, command func() (*exec.Cmd, error)) (*Memcached, error) {
	m.command = command
	m.answers = func(ctx context.Context) error {
		stats, err := m.Stats(ctx)
		if err == nil && stats["pid"] != strconv.Itoa(m.proc.Pid()) {
			err = fmt.Errorf("process %s answers on the port of process %d", stats["pid"], m.proc.Pid())
		}
		return err
	}
	m.hangUp = func() {
		if m.client != nil {
			m.client.Close() // fails only on connections that are dead already
		}
	}
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.client = memcache.New(m.Addr())
	m.client.Timeout = answerTimeout // its own, half a second, is none on a busy machine
	return m, nil
}

// answerTimeout is how long an answer to a client here may take.
const answerTimeout = 2 * time.Minute

// Client is an independent client. It lives through restarts, and is closed by
// Close.
func (m *Memcached) Client() *memcache.Client { return m.client }

// Stats asks for the server's counters, "cmd_set" or "delete_hits" for example; of
// a proxy, its own.
func (m *Memcached) Stats(ctx context.Context) (map[string]string, error) {
	stats := make(map[string]string)
	lines, err := m.ask(ctx, "stats")
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		if f := strings.SplitN(line, " ", 3); len(f) == 3 && f[0] == "STAT" {
			stats[f[1]] = f[2]
		}
	}
	return stats, nil
}

// ask sends a command whose answer ends with END and returns the lines before it.
func (m *Memcached) ask(ctx context.Context, command string) (_ []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask %s for %s: %w", m, command, err)
		}
	}()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Addr())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline := time.Now().Add(answerTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	scanner := bufio.NewScanner(conn)
	if m.login != "" {
		command = fmt.Sprintf("set login 0 0 %d\r\n%s\r\n%s", len(m.login), m.login, command)
	}
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return nil, err
	}
	if m.login != "" && (!scanner.Scan() || scanner.Text() != "STORED") {
		return nil, errors.Join(fmt.Errorf("log in: it says %q", scanner.Text()), scanner.Err())
	}
	var lines []string
	for {
		if !scanner.Scan() {
			return nil, errors.Join(errors.New("the connection was closed within the answer"), scanner.Err())
		}
		if scanner.Text() == "END" {
			return lines, nil
		}
		lines = append(lines, scanner.Text())
	}
}

// Close closes Client, kills the server and removes its scratch folder. It may be
// called again, and then does nothing.
func (m *Memcached) Close() error {
	var err error
	if m.client != nil {
		err = m.client.Close()
	}
	return errors.Join(err, m.Instance.Close())
}
