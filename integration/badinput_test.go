package integration

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// tinyDisk mounts a disk of so many bytes that goes with the test. Where nothing may be
// mounted the test is skipped.
func tinyDisk(t *testing.T, bytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("a tiny disk cannot be had: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fillUp writes a file until the disk is full. Removed, it makes room again.
func fillUp(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return ballast
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that is full keeps no key from its delete: what cannot be saved is said, and
// comes again after a restart; once there is room, saving goes on by itself.
func TestFullDiskUnderTheCheckpointLosesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		disk := tinyDisk(t, 64<<10)
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		cfg.stateDir = filepath.Join(disk, "state")
		cfg.write(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.settle(t, m)
		saved := func() position { c, _ := cfg.checkpoint(t); return c.Clusters["east"] }
		await(t, "the checkpoint is where the log is", func() bool {
			_, offset := s.place(t)
			return saved().Offset == offset
		})
		before := saved()
		ballast := fillUp(t, disk)
		keys := db.numbered("full", 50)
		fill(t, m, keys...)
		for _, key := range keys {
			s.commit(t, key)
		}
		awaitGone(t, m, keys...)
		daemon.says(t, `level=ERROR msg="the checkpoint cannot be saved; delivery goes on, and a restart would repeat.*no space left on device; make room on its disk`)
		if at := saved(); at.Offset != before.Offset {
			t.Errorf("the checkpoint is at %+v, and could not be saved since %+v", at, before)
		}
		must(t, cfg.check(t), "state_dir", "state_dir", "fail", "no space left on device", "")
		// What was not saved comes again.
		daemon.kill(t)
		fill(t, m, keys...)
		p := mcsqueal(t, "run", "--config", cfg.path)
		p.failed(t, 1, "no space left on device", "make room")
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		daemon = cfg.daemon(t)
		awaitGone(t, m, keys...)
		await(t, "the checkpoint moves on", func() bool { return saved().Offset > before.Offset })
		// Full at the end: that is said, and the exit status tells.
		fillUp(t, disk)
		last := db.key("last")
		fill(t, m, last)
		s.commit(t, last)
		awaitGone(t, m, last)
		daemon.says(t, "the checkpoint cannot be saved")
		daemon.signal(t, syscall.SIGTERM)
		daemon.failed(t, 1, "save checkpoint", "no space left on device")
	})
}

// The keys of a prepared transaction that cannot be kept are not passed over.
func TestFullDiskUnderAPreparedTransactionLosesNothing(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		disk := tinyDisk(t, 64<<10)
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		cfg.stateDir = filepath.Join(disk, "state")
		cfg.write(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.settle(t, m)
		ballast := fillUp(t, disk)
		keys := db.numbered("prepared", 500)
		fill(t, m, keys...)
		s.exec(t, "XA START 'a'")
		s.commit(t, keys...)
		s.exec(t, "XA END 'a'")
		s.exec(t, "XA PREPARE 'a'")
		daemon.failed(t, 1, "no space left on device")
		s.exec(t, "XA COMMIT 'a'")
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		mustBeThere(t, m, keys...)
		daemon = cfg.daemon(t)
		awaitGone(t, m, keys...)
		daemon.stop(t)
	})
}

// A state_dir that cannot be written to is said at the start, and nothing is begun.
func TestStateDirThatCannotBeWrittenToIsSaid(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t)
	m := newCache(t)
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"a file in its place": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a disk that is read only": func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			if err := syscall.Mount("tmpfs", path, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
				return err
			}
			t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := make(path); errors.Is(err, syscall.EPERM) {
				t.Skipf("it cannot be had: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
			cfg.stateDir = path
			cfg.write(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
			mcsqueal(t, "run", "--config", cfg.path).failed(t, 1, "state_dir", path, "let the user who runs mcsqueal write there, or set state_dir to another directory")
			found := cfg.check(t)
			must(t, found, "state_dir", "state_dir", "fail", "", "another")
			for _, f := range found {
				if f.Level == "fail" && f.Check != "state_dir" {
					t.Errorf("beside it: %+v", f)
				}
			}
		})
	}
	t.Run("another user's", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("it takes root to be another user")
		}
		// All on the way is open, but for the directory itself.
		open, err := os.MkdirTemp("", "mcsqueal-open-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(open) })
		cfg := &settings{path: filepath.Join(open, "mcsqueal.yaml"), stateDir: filepath.Join(open, "state")}
		cfg.write(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		for path, mode := range map[string]os.FileMode{open: 0o755, cfg.path: 0o644} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
		call{args: []string{"run", "--config", cfg.path}, as: nobody}.run(t).
			failed(t, 1, "make state_dir", "permission denied", "let the user who runs mcsqueal write there")
		p := call{args: []string{"check", "--config", cfg.path}, as: nobody}.run(t)
		p.failed(t, 1, "keep mcsqueal from its work")
		if !strings.Contains(p.stdout.String(), "fail  it is not there, and cannot be made: ") {
			t.Errorf("check says\n%s", p.stdout.String())
		}
		if err := os.Mkdir(cfg.stateDir, 0o755); err != nil {
			t.Fatal(err)
		}
		call{args: []string{"run", "--config", cfg.path}, as: nobody}.run(t).
			failed(t, 1, "lock state_dir", "permission denied", "let the user who runs mcsqueal write there")
	})
}

// A password that is changed under a running daemon stops nothing that runs; once the
// connection is lost it is said, and with the right one everything comes.
func TestPasswordThatIsWrongLaterIsSaidAndLosesNothing(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		secret := filepath.Join(t.TempDir(), "password")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(secret, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(password)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := call{args: []string{"run", "--config", cfg.path, "--password-file", secret}, env: []string{"MCSQUEAL_PASSWORD="}}.start(t)
		daemon.says(t, "msg=tailing")
		s := db.session(t)
		s.settle(t, m)
		s.exec(t, "ALTER USER 'mcsqueal'@'%' IDENTIFIED BY 'another'")
		key := db.key("k")
		fill(t, m, key)
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.session(t).commit(t, key)
		daemon.says(t, "the server refuses the login: is the password right.*password_file "+secret)
		mustBeThere(t, m, key)
		if said := daemon.stderr.String(); strings.Contains(said, password) || strings.Contains(said, "another\"") {
			t.Errorf("a password is in the log: %s", said)
		}
		// The new one, and a reload, without a restart; with the old one it is refused.
		daemon.reload(t, refused+".*refuses the login")
		write("another")
		daemon.reload(t, atWork)
		awaitGone(t, m, key)
		db.session(t).settle(t, m)
		daemon.stop(t)
	})
}

// A certificate that has run out is said, and so is a router that speaks something else;
// once they are as they should be, everything that was committed meanwhile comes.
func TestRoutersThatAreWrongAreSaidAndLoseNothing(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t)
	a := newAuthority(t)
	cert, key := a.issue(t, "cache", server(time.Now().Add(-time.Minute)))
	secure := patiently(servers.Memcache(t, servers.MemcachedConfig{Cert: cert, Key: key}))
	behind := newCache(t)
	impostor := newImpostor(t)
	cfg := configure(t, db.url(), "clusters:",
		fmt.Sprintf("  - {name: secure, servers: [%s], tls: {ca: %s}}", secure.SecureAddr(), a.path),
		cluster("strange", "routers", impostor.addr()))
	daemon := cfg.daemon(t)
	s := db.session(t)
	keys := db.numbered("k", 20)
	fill(t, behind, keys...)
	for _, key := range keys {
		s.commit(t, key)
	}
	daemon.says(t, "cannot be reached.*cluster=secure.*certificate has expired")
	daemon.says(t, `cannot be reached.*cluster=strange.*version: expected VERSION, got .*HTTP/1.1 400 Bad Request.*is it a cache`)
	if p := cfg.check(t); find(t, p, "strange", "connect").Level != "fail" || find(t, p, "secure", "connect").Level != "fail" {
		t.Errorf("check finds %+v", p)
	}
	mustBeThere(t, behind, keys...)
	// The one gets a certificate, the other is a cache after all.
	a.issue(t, "cache", server(time.Now().Add(time.Hour)))
	if err := secure.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, secure, keys...)
	for _, key := range keys {
		s.commit(t, key)
	}
	impostor.reveal(behind.Addr())
	awaitGone(t, behind, keys...)
	awaitGone(t, secure, keys...)
	daemon.stop(t)
}

// impostor leads to an HTTP server, until it is revealed to lead to a cache.
type impostor struct {
	listener net.Listener
	mu       sync.Mutex
	target   string // guarded by mu
}

func newImpostor(t *testing.T) *impostor {
	t.Helper()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{listener: l, target: web.Listener.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { new(recorder).serve(client, i.now()) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return i
}

func (i *impostor) addr() string { return i.listener.Addr().String() }

func (i *impostor) now() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.target
}

func (i *impostor) reveal(cache string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.target = cache
}

// A password is in no list of processes, no log, no metric and nothing that is printed,
// wherever it is from, at whatever level.
func TestPasswordIsNowhereToBeSeen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		for from, c := range map[string]call{
			"a file":          {args: []string{"--password-file", secret}, env: []string{"MCSQUEAL_PASSWORD="}},
			"the environment": {},
		} {
			args := append([]string{"--config", cfg.path, "--log-level", "debug", "--admin-listen", "127.0.0.1:0"}, c.args...)
			seen := make(map[string]string)
			for _, command := range []string{"config", "check"} {
				p := call{args: append([]string{command}, args...), env: c.env}.run(t)
				seen[command] = p.stdout.String() + p.stderr.String()
			}
			daemon := call{args: append([]string{"run"}, args...), env: c.env}.start(t)
			daemon.says(t, "msg=tailing")
			db.session(t).settle(t, m)
			daemon.reload(t, atWork)
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", daemon.pid))
			if err != nil {
				t.Fatal(err)
			}
			seen["the list of processes"] = string(line)
			for _, path := range []string{"/metrics", "/readyz", "/healthz", "/"} {
				_, seen[path] = daemon.get(t, path)
			}
			daemon.stop(t)
			seen["the log"] = daemon.stdout.String() + daemon.stderr.String()
			files, err := filepath.Glob(filepath.Join(cfg.stateDir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if text, err := os.ReadFile(file); err == nil {
					seen[file] = string(text)
				}
			}
			for what, text := range seen {
				if strings.Contains(text, password) {
					t.Errorf("from %s: the password is in %s:\n%s", from, what, text)
				}
			}
			if len(seen["the log"]) == 0 || len(seen["config"]) == 0 || len(files) < 2 {
				t.Errorf("there was nothing to be seen: %d files", len(files))
			}
		}
	})
}
