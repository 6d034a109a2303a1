package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// manager is what systemd is to a service: a socket, and what was heard there.
type manager struct {
	path  string
	mu    sync.Mutex
	heard []string // guarded by mu
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &manager{path: filepath.Join(dir, "s")}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.heard = append(m.heard, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-ended
	})
	return m
}

// count is how many messages begin so.
func (m *manager) count(begin string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.heard {
		if strings.HasPrefix(s, begin) {
			n++
		}
	}
	return n
}

func (m *manager) hears(t *testing.T, begin string, n int) {
	t.Helper()
	harness.Await(t, func() string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return begin + " from " + strings.Join(m.heard, ", ")
	}, func() bool { return m.count(begin) >= n })
}

// systemd is told when the daemon is set up, what it does, that it lives, also while a
// cluster is away, and that it stops.
func TestSystemdIsToldWhatTheDaemonIsAt(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		nobody, err := net.Listen("tcp", "127.0.0.1:0") // a port at which nothing answers
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nobody.Close() })
		m, systemd := harness.NewCache(t), newManager(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()), cluster("away", "servers", nobody.Addr().String()))
		p := harness.Call{Args: []string{"run", "--config", cfg.Path}, Env: []string{"NOTIFY_SOCKET=" + systemd.path, "WATCHDOG_USEC=400000"}}.Start(t)
		systemd.hears(t, "READY=1", 1)
		systemd.hears(t, "STATUS=tailing "+db.Addr()+"; every cluster is in step", 1)
		systemd.hears(t, "WATCHDOG=1", 3)
		// A reload is one, whether the new configuration is taken or refused.
		cfg.Write(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		p.Signal(t, syscall.SIGHUP)
		systemd.hears(t, "RELOADING=1\nMONOTONIC_USEC=", 1)
		systemd.hears(t, "READY=1", 2)
		cfg.Write(t, db.SourceURL(), "clusters: never")
		p.Signal(t, syscall.SIGHUP)
		systemd.hears(t, "RELOADING=1\nMONOTONIC_USEC=", 2)
		systemd.hears(t, "READY=1", 3)
		p.Stop(t)
		systemd.hears(t, "STOPPING=1", 1)
		if n := systemd.count("READY=1"); n != 3 {
			t.Errorf("told %d times that it is ready, want 3", n)
		}
	})
}

// Whoever starts it hears that it has failed, if the set-up is wrong in what only the
// source's log can tell.
func TestSystemdIsNotToldOfAStartThatFails(t *testing.T) {
	t.Parallel()
	fails := func(t *testing.T, cfg *harness.Settings, status int, says string) {
		t.Helper()
		systemd := newManager(t)
		p := harness.Call{Args: []string{"run", "--config", cfg.Path}, Env: []string{"NOTIFY_SOCKET=" + systemd.path}}.Run(t)
		p.MustEnd(t, status, says)
		if systemd.count("READY=1") != 0 {
			t.Errorf("systemd heard %q", systemd.heard)
		}
	}
	t.Run("no source", func(t *testing.T) {
		fails(t, harness.Configure(t, "mysql://mcsqueal@127.0.0.1:1", "clusters:", cluster("east", "servers", "127.0.0.1:1")), 1, "connection refused")
	})
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		s := db.Session(t)
		name := db.Schema + "_service"
		s.Exec(t, fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s'", name, harness.Password))
		s.Exec(t, fmt.Sprintf("GRANT REPLICATION CLIENT ON *.* TO '%s'@'127.0.0.1'", name))
		cfg := harness.Configure(t, strings.Replace(db.SourceURL(), harness.User+"@", name+"@", 1), "clusters:", cluster("east", "servers", m.Addr()))
		fails(t, cfg, 1, "lacks the privilege REPLICATION SLAVE")
		// A position that the source cannot have.
		cfg = harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		ahead := "gtid:0-1-999999"
		if db.IsMySQL() {
			ahead = "gtid:" + s.Text(t, "SELECT @@server_uuid") + ":1-999999"
		}
		harness.Mcsqueal(t, "checkpoint", "set", "--state-dir", cfg.StateDir, "--cluster", "east", "--to", ahead).MustEnd(t, 0)
		fails(t, cfg, 3, "every cluster waits for a decision about a gap")
	})
}
