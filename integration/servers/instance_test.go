package servers_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestKilledDatabaseComesBackWithItsDataOnItsPort(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		run(t, d, "CREATE TABLE t (id INT PRIMARY KEY)")
		for id := range 5 {
			run(t, d, "INSERT INTO t VALUES ("+strconv.Itoa(id)+")")
		}
		port, pid := d.Port(), d.Pid()
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		if d.Running() || alive(pid) {
			t.Fatalf("process %d is there after Kill", pid)
		}
		if err := d.DB().PingContext(t.Context()); err == nil {
			t.Error("a killed server answers")
		}
		if err := d.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		var rows, p int
		if err := d.DB().QueryRowContext(t.Context(), "SELECT COUNT(*), @@port FROM t").Scan(&rows, &p); err != nil {
			t.Fatal(err)
		}
		if rows != 5 || p != port || d.Port() != port {
			t.Errorf("%d rows on port %d (%d), want 5 on %d", rows, p, d.Port(), port)
		}
	})
}

func TestStoppedDatabaseComesBackWithItsData(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		run(t, d, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.Log(), "hutdown complete") {
			t.Errorf("no orderly shutdown:\n%s", d.Log())
		}
		if err := errors.Join(d.Stop(t.Context()), d.Kill()); err != nil {
			t.Errorf("to end it again: %v", err)
		}
		if err := d.Freeze(); err == nil {
			t.Error("what does not run cannot be frozen")
		}
		if err := d.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		run(t, d, "UPDATE t SET id = 2 WHERE id = 1")
	})
}

func TestStopThatTakesTooLongKills(t *testing.T) {
	d := servers.MySQL(t, servers.Config{})
	// It stands still, and nobody has told d: it will never end by itself.
	if err := syscall.Kill(d.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := d.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want one that says it took too long", err)
	}
	if d.Running() {
		t.Error("it still runs")
	}
}

func TestFrozenDatabaseAnswersAfterItThaws(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		pid := d.Pid()
		if err := errors.Join(d.Freeze(), d.Freeze()); err != nil {
			t.Fatal(err)
		}
		for _, state := range threadStates(t, pid) {
			if state != "T" {
				t.Errorf("a thread of the frozen process is in state %s", state)
			}
		}
		answer := make(chan error, 1)
		go func() { answer <- d.DB().PingContext(t.Context()) }()
		select {
		case err := <-answer:
			t.Fatalf("a frozen server answered: %v", err)
		case <-time.After(100 * time.Millisecond): // cannot be proved, only tried
		}
		if err := errors.Join(d.Thaw(), d.Thaw()); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("after the thaw: %v", err)
		}
		if d.Pid() != pid {
			t.Errorf("process %d became %d", pid, d.Pid())
		}
	})
}

func TestFrozenServerCanBeStoppedAndKilled(t *testing.T) {
	m := servers.Memcache(t, servers.MemcachedConfig{})
	for _, end := range []func() error{m.Kill, func() error { return m.Stop(t.Context()) }} {
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if m.Running() {
			t.Fatal("it still runs")
		}
		if err := m.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosedServerLeavesNothingBehind(t *testing.T) {
	servers.Need(t, servers.KindMySQL, servers.KindMariaDB, servers.KindMemcached)
	for name, start := range map[string]func(context.Context) (*servers.Database, error){
		"mysql": func(ctx context.Context) (*servers.Database, error) { return servers.StartMySQL(ctx, servers.Config{}) },
		"mariadb": func(ctx context.Context) (*servers.Database, error) {
			return servers.StartMariaDB(ctx, servers.Config{})
		},
	} {
		d, err := start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pid := d.Pid()
		if err := errors.Join(d.Close(), d.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(d.DataDir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the data directory is still there (%v)", name, err)
		}
		if alive(pid) || d.Running() {
			t.Errorf("%s: process %d is still there", name, pid)
		}
		if err := d.Restart(t.Context()); err == nil {
			t.Errorf("%s: a closed server started again", name)
		}
	}
}

func TestStartThatFailsSaysWhatTheServerSaidAndLeavesNothing(t *testing.T) {
	servers.Need(t, servers.KindMariaDB, servers.KindMemcached)
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := servers.StartMariaDB(t.Context(), servers.Config{Args: []string{"--no-such-option"}}); err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("error %v, want the server's own words", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := servers.StartMemcached(ctx, servers.MemcachedConfig{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if _, err := servers.StartProxy(t.Context(), servers.ProxyConfig{}); err == nil {
		t.Error("a proxy started without backends")
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestServersDieWithTheProcessThatStartedThem(t *testing.T) {
	servers.Need(t, servers.KindMariaDB, servers.KindMySQL, servers.KindMemcached)
	scratch, err := os.MkdirTemp("/tmp", "die") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(scratch); err != nil {
			t.Error(err)
		}
	})
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), "SERVERS_TEST_CHILD=1", "TMPDIR="+scratch)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1000)
	n, err := out.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(said[:n]))
	if len(pids) != 3 {
		t.Fatalf("the child said %q, want three process ids", said[:n])
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	for _, p := range pids {
		pid, err := strconv.Atoi(p)
		if err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "process "+p+" is gone", func() bool { return !alive(pid) })
	}
	// Its folders are swept away by whoever starts the next server.
	t.Setenv("TMPDIR", scratch)
	if left, err := os.ReadDir(scratch); err != nil || len(left) != 3 {
		t.Fatalf("in the child's folder: %v, %v; want what three servers left", left, err)
	}
	servers.Memcache(t, servers.MemcachedConfig{})
	if left, err := os.ReadDir(scratch); err != nil || len(left) != 1 {
		t.Errorf("in the child's folder: %v, %v; want the new server's alone", left, err)
	}
}

func TestServersStartSideBySide(t *testing.T) {
	servers.Need(t, servers.KindMemcached)
	const n = 12
	type started struct {
		m   *servers.Memcached
		err error
	}
	all := make(chan started)
	for range n {
		go func() {
			m, err := servers.StartMemcached(t.Context(), servers.MemcachedConfig{})
			all <- started{m, err}
		}()
	}
	ports := make(map[int]bool)
	for range n {
		s := <-all
		if s.err != nil {
			t.Error(s.err)
			continue
		}
		t.Cleanup(func() {
			if err := s.m.Close(); err != nil {
				t.Error(err)
			}
		})
		ports[s.m.Port()] = true
	}
	if len(ports) != n {
		t.Errorf("%d ports, want %d", len(ports), n)
	}
}

func BenchmarkStart(b *testing.B) {
	for name, start := range map[string]func(context.Context) (interface{ Close() error }, error){
		"mysql": func(ctx context.Context) (interface{ Close() error }, error) {
			return servers.StartMySQL(ctx, servers.Config{})
		},
		"mariadb": func(ctx context.Context) (interface{ Close() error }, error) {
			return servers.StartMariaDB(ctx, servers.Config{})
		},
		"memcached": func(ctx context.Context) (interface{ Close() error }, error) {
			return servers.StartMemcached(ctx, servers.MemcachedConfig{})
		},
	} {
		b.Run(name, func(b *testing.B) {
			servers.Need(b, servers.KindMySQL, servers.KindMariaDB, servers.KindMemcached)
			for b.Loop() {
				s, err := start(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
