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

	"github.com/mcsqueal/mcsqueal/integration/authority"
	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/peer"
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
	// Its own, on which nobody else writes: nothing is to be saved while the disk fills.
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		disk := tinyDisk(t, 64<<10)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		cfg.StateDir = filepath.Join(disk, "state")
		cfg.Write(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Settle(t, m)
		saved := func() harness.Place { c, _ := cfg.Checkpoint(t); return c.Clusters["east"] }
		awaitSaved := func() {
			t.Helper()
			harness.Await(t, "the checkpoint is where the log is", func() bool {
				_, offset := s.Place(t)
				return saved().Offset == offset
			})
		}
		awaitSaved()
		before := saved()
		ballast := fillUp(t, disk)
		keys := db.Numbered("full", 50)
		m.Fill(t, keys...)
		for _, key := range keys {
			s.Commit(t, key)
		}
		m.AwaitGone(t, keys...)
		daemon.Says(t, `level=ERROR msg="the checkpoint cannot be saved; delivery goes on, and a restart would repeat.*no space left on device; make room on its disk`)
		if at := saved(); at.Offset != before.Offset {
			t.Errorf("the checkpoint is at %+v, and could not be saved since %+v", at, before)
		}
		must(t, check(t, cfg), "state_dir", "state_dir", "fail", "no space left on device", "")
		// What was not saved comes again.
		daemon.Kill(t)
		m.Fill(t, keys...)
		p := harness.Mcsqueal(t, "run", "--config", cfg.Path)
		p.MustEnd(t, 1, "no space left on device", "make room")
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, keys...)
		awaitSaved() // it moves on
		// Full at the end: that is said, and the exit status tells.
		fillUp(t, disk)
		last := db.Key("last")
		m.Fill(t, last)
		s.Commit(t, last)
		m.AwaitGone(t, last)
		daemon.Says(t, "the checkpoint cannot be saved")
		daemon.Signal(t, syscall.SIGTERM)
		daemon.MustEnd(t, 1, "save checkpoint", "no space left on device")
	})
}

// The keys of a prepared transaction that cannot be kept are not passed over.
func TestFullDiskUnderAPreparedTransactionLosesNothing(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		disk := tinyDisk(t, 64<<10)
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		cfg.StateDir = filepath.Join(disk, "state")
		cfg.Write(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Settle(t, m)
		ballast := fillUp(t, disk)
		keys := db.Numbered("prepared", 500)
		m.Fill(t, keys...)
		s.Exec(t, "XA START 'a'")
		s.Commit(t, keys...)
		s.Exec(t, "XA END 'a'")
		s.Exec(t, "XA PREPARE 'a'")
		daemon.MustEnd(t, 1, "no space left on device")
		s.Exec(t, "XA COMMIT 'a'")
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		m.MustHave(t, keys...)
		daemon = cfg.Daemon(t)
		m.AwaitGone(t, keys...)
		daemon.Stop(t)
	})
}

// A state_dir that cannot be written to is said at the start, and nothing is begun.
func TestStateDirThatCannotBeWrittenToIsSaid(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	m := harness.NewCache(t)
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
			cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
			cfg.StateDir = path
			cfg.Write(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
			harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 1, "state_dir", path, "let the user who runs mcsqueal write there, or set state_dir to another directory")
			found := check(t, cfg)
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
		cfg := &harness.Settings{Path: filepath.Join(open, "mcsqueal.yaml"), StateDir: filepath.Join(open, "state")}
		cfg.Write(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		for path, mode := range map[string]os.FileMode{open: 0o755, cfg.Path: 0o644} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
		harness.Call{Args: []string{"run", "--config", cfg.Path}, As: nobody}.Run(t).
			MustEnd(t, 1, "make state_dir", "permission denied", "let the user who runs mcsqueal write there")
		p := harness.Call{Args: []string{"check", "--config", cfg.Path}, As: nobody}.Run(t)
		p.MustEnd(t, 1, "keep mcsqueal from its work")
		if !strings.Contains(p.Stdout.String(), "fail  it is not there, and cannot be made: ") {
			t.Errorf("check says\n%s", p.Stdout.String())
		}
		if err := os.Mkdir(cfg.StateDir, 0o755); err != nil {
			t.Fatal(err)
		}
		harness.Call{Args: []string{"run", "--config", cfg.Path}, As: nobody}.Run(t).
			MustEnd(t, 1, "lock state_dir", "permission denied", "let the user who runs mcsqueal write there")
	})
}

// A password that is changed under a running daemon stops nothing that runs; once the
// connection is lost it is said, and with the right one everything comes.
func TestPasswordThatIsWrongLaterIsSaidAndLosesNothing(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		secret := filepath.Join(t.TempDir(), "password")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(secret, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(harness.Password)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := harness.Call{Args: []string{"run", "--config", cfg.Path, "--password-file", secret}, Env: []string{"MCSQUEAL_PASSWORD="}}.Start(t)
		daemon.Says(t, "msg=tailing")
		s := db.Session(t)
		s.Settle(t, m)
		s.Exec(t, "ALTER USER 'mcsqueal'@'%' IDENTIFIED BY 'another'")
		key := db.Key("k")
		m.Fill(t, key)
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.Session(t).Commit(t, key)
		daemon.Says(t, "the server refuses the login: is the password right.*password_file "+secret)
		m.MustHave(t, key)
		if said := daemon.Stderr.String(); strings.Contains(said, harness.Password) || strings.Contains(said, "another\"") {
			t.Errorf("a password is in the log: %s", said)
		}
		// The new one, and a reload, without a restart; with the old one it is refused.
		reload(t, daemon, refused+".*refuses the login")
		write("another")
		reload(t, daemon, atWork)
		m.AwaitGone(t, key)
		db.Session(t).Settle(t, m)
		daemon.Stop(t)
	})
}

// A certificate that has run out is said, and so is a router that speaks something else;
// once they are as they should be, everything that was committed meanwhile comes.
func TestRoutersThatAreWrongAreSaidAndLoseNothing(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	a := authority.New(t)
	cert, key := a.Issue(t, "cache", authority.Server(time.Now().Add(-time.Minute)))
	secure := harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Cert: cert, Key: key}))
	behind := harness.NewCache(t)
	impostor := newImpostor(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:",
		fmt.Sprintf("  - {name: secure, servers: [%s], tls: {ca: %s}}", secure.SecureAddr(), a.Path),
		cluster("strange", "routers", impostor.addr))
	daemon := cfg.Daemon(t)
	s := db.Session(t)
	keys := db.Numbered("k", 20)
	behind.Fill(t, keys...)
	for _, key := range keys {
		s.Commit(t, key)
	}
	daemon.Says(t, "cannot be reached.*cluster=secure.*certificate has expired")
	daemon.Says(t, `cannot be reached.*cluster=strange.*version: expected VERSION, got .*HTTP/1.1 400 Bad Request.*is it a cache`)
	if p := check(t, cfg); find(t, p, "strange", "connect").Level != "fail" || find(t, p, "secure", "connect").Level != "fail" {
		t.Errorf("check finds %+v", p)
	}
	behind.MustHave(t, keys...)
	// The one gets a certificate, the other is a cache after all.
	a.Issue(t, "cache", authority.Server(time.Now().Add(time.Hour)))
	if err := secure.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	secure.Fill(t, keys...)
	for _, key := range keys {
		s.Commit(t, key)
	}
	impostor.reveal(behind.Addr())
	behind.AwaitGone(t, keys...)
	secure.AwaitGone(t, keys...)
	daemon.Stop(t)
}

// impostor leads to an HTTP server, until it is revealed to lead to a cache.
type impostor struct {
	addr   string
	mu     sync.Mutex
	target string // guarded by mu
}

func newImpostor(t *testing.T) *impostor {
	t.Helper()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	i := &impostor{target: web.Listener.Addr().String()}
	i.addr = peer.Listen(t, func(client net.Conn) { new(recorder).serve(client, i.now()) })
	return i
}

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
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte(harness.Password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		for from, c := range map[string]harness.Call{
			"a file":          {Args: []string{"--password-file", secret}, Env: []string{"MCSQUEAL_PASSWORD="}},
			"the environment": {},
		} {
			args := append([]string{"--config", cfg.Path, "--log-level", "debug", "--admin-listen", "127.0.0.1:0"}, c.Args...)
			seen := make(map[string]string)
			for _, command := range []string{"config", "check"} {
				p := harness.Call{Args: append([]string{command}, args...), Env: c.Env}.Run(t)
				seen[command] = p.Stdout.String() + p.Stderr.String()
			}
			daemon := harness.Call{Args: append([]string{"run"}, args...), Env: c.Env}.Start(t)
			daemon.Says(t, "msg=tailing")
			db.Session(t).Settle(t, m)
			reload(t, daemon, atWork)
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", daemon.Pid()))
			if err != nil {
				t.Fatal(err)
			}
			seen["the list of processes"] = string(line)
			for _, path := range []string{"/metrics", "/readyz", "/healthz", "/"} {
				_, seen[path] = get(t, daemon, path)
			}
			daemon.Stop(t)
			seen["the log"] = daemon.Stdout.String() + daemon.Stderr.String()
			files, err := filepath.Glob(filepath.Join(cfg.StateDir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if text, err := os.ReadFile(file); err == nil {
					seen[file] = string(text)
				}
			}
			for what, text := range seen {
				if strings.Contains(text, harness.Password) {
					t.Errorf("from %s: the password is in %s:\n%s", from, what, text)
				}
			}
			if len(seen["the log"]) == 0 || len(seen["config"]) == 0 || len(files) < 2 {
				t.Errorf("there was nothing to be seen: %d files", len(files))
			}
		}
	})
}
