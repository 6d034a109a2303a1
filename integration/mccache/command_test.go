package mccache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// freePort is a port of 127.0.0.1 that nobody has, nor gets before the test ends.
func freePort(t *testing.T) string {
	t.Helper()
	return strconv.Itoa(servers.FreePort(t))
}

// asRoot are the flags that root has to give.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"-u", "root"}
	}
	return nil
}

// asks sends commands on a new connection and returns the first line of the answer.
func asks(t *testing.T, network, addr, commands string) (string, error) {
	t.Helper()
	c, err := net.DialTimeout(network, addr, harness.Patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(commands)); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// answers waits until a server does.
func answers(t *testing.T, network, addr string) {
	t.Helper()
	var last error
	harness.Await(t, func() string { return fmt.Sprintf("%s answers: %v", addr, last) }, func() bool {
		var line string
		if line, last = asks(t, network, addr, "mn\r\n"); last == nil && line != "MN\r\n" {
			last = fmt.Errorf("it says %q", line)
		}
		return last == nil
	})
}

// gone waits until a process has ended. It is no child of the test.
func gone(t *testing.T, pid int) {
	t.Helper()
	harness.Await(t, func() string { return fmt.Sprintf("process %d ends", pid) }, func() bool {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || bytes.Contains(state, []byte(") Z "))
	})
}

// background starts the command so that it ends with the test, and returns what is
// written to its standard error.
func background(t *testing.T, cmd *exec.Cmd) *bytes.Buffer {
	t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, or the test has waited
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, &said)
		}
	})
	return &said
}

func TestExitsWithTheStatusesOfMemcached(t *testing.T) {
	servers.Need(t, servers.KindMemcached)
	port, taken := freePort(t), freePort(t)
	l, err := net.Listen("tcp", "127.0.0.1:"+taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	root := strings.Join(asRoot(), " ")
	for _, c := range []struct {
		args string
		root bool // only root gets there
	}{
		{"-V", false}, {"-h", false}, {"-i", false},
		{"-l 127.0.0.1 -p " + port, true},
		{"-u nosuchuser -p " + port, true},
		{root + " -l 127.0.0.1 -p " + taken, false},
		{root + " -B foo", false}, {root + " -I 900m", false}, {root + " -p 70000", false},
	} {
		if c.root && os.Geteuid() != 0 {
			continue
		}
		t.Run(c.args, func(t *testing.T) {
			args := strings.Fields(c.args)
			ours := exec.CommandContext(t.Context(), plain.path(t), args...)
			theirs, err := servers.Command(t.Context(), servers.KindMemcached, "memcached", args...)
			if err != nil {
				t.Fatal(err)
			}
			said, _ := ours.CombinedOutput()
			heard, _ := theirs.CombinedOutput()
			if got, want := ours.ProcessState.ExitCode(), theirs.ProcessState.ExitCode(); got != want {
				t.Errorf("exit status %d, memcached's is %d\nmccache: %s\nmemcached: %s", got, want, said, heard)
			}
			if len(said) == 0 {
				t.Error("it says nothing")
			}
		})
	}
}

func TestGoesIntoTheBackground(t *testing.T) {
	dir := t.TempDir()
	port, pidFile := freePort(t), filepath.Join(dir, "pid")
	args := append(asRoot(), "-d", "-l", "127.0.0.1", "-p", port, "-P", pidFile, "-t", "1")
	if said, err := exec.CommandContext(t.Context(), plain.path(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	// It serves as soon as the one that was called has ended.
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if line, err := asks(t, "tcp", "127.0.0.1:"+port, "mn\r\n"); err != nil || line != "MN\r\n" {
		t.Errorf("it answers %q, %v", line, err)
	}
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("its session is %d, not its own %d: %v", session, pid, err)
	}
	// The second one cannot have the port, and says so though it is in the background.
	second := exec.CommandContext(t.Context(), plain.path(t), args...)
	said, err := second.CombinedOutput()
	if code := second.ProcessState.ExitCode(); code != 71 || !strings.Contains(string(said), "address already in use") {
		t.Errorf("a second one ended with %d, %v, and said %q", code, err, said)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if _, err := os.Stat(pidFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its file is still there: %v", err)
	}
}

func TestGivesUpRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give it up")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	cmd := exec.CommandContext(t.Context(), plain.path(t), "-u", "nobody", "-l", "127.0.0.1", "-p", port)
	background(t, cmd)
	answers(t, "tcp", "127.0.0.1:"+port)
	// Every thread of it.
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatal(tasks, err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended since
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"Uid:" + strings.Repeat("\t"+nobody.Uid, 4) + "\n", "Gid:" + strings.Repeat("\t"+nobody.Gid, 4) + "\n", "Groups:\t \n",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", task, want, text)
			}
		}
	}
}

func TestStopsWhenToldTo(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(t *testing.T, cmd *exec.Cmd, addr string)
	}{
		{"SIGTERM", func(_ *testing.T, cmd *exec.Cmd, _ string) { _ = cmd.Process.Signal(syscall.SIGTERM) }},
		{"SIGINT", func(_ *testing.T, cmd *exec.Cmd, _ string) { _ = cmd.Process.Signal(syscall.SIGINT) }},
		{"SIGUSR1", func(_ *testing.T, cmd *exec.Cmd, _ string) { _ = cmd.Process.Signal(syscall.SIGUSR1) }},
		{"shutdown", func(t *testing.T, _ *exec.Cmd, addr string) { _, _ = asks(t, "tcp", addr, "shutdown\r\n") }},
		{"shutdown graceful", func(t *testing.T, _ *exec.Cmd, addr string) { _, _ = asks(t, "tcp", addr, "shutdown graceful\r\n") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := "127.0.0.1:" + freePort(t)
			cmd := exec.CommandContext(t.Context(), plain.path(t), append(asRoot(), "-A", "-l", addr)...)
			said := background(t, cmd)
			answers(t, "tcp", addr)
			c.stop(t, cmd, addr)
			if err := cmd.Wait(); err != nil {
				t.Errorf("it ended with %v:\n%s", err, said)
			}
		})
	}
}

func TestTakesSocketsFromSystemd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The shell knows the number that the command will have.
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh", plain.path(t)}, asRoot()...)...)
	cmd.ExtraFiles = []*os.File{file}
	background(t, cmd)
	answers(t, "tcp", l.Addr().String())
}

// What systemd hears: that it serves, once it does; that files are read again; that it
// stops.
func TestTellsSystemdWhatItIsAt(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	addr := "127.0.0.1:" + freePort(t)
	cmd := exec.CommandContext(t.Context(), plain.path(t), append(asRoot(), "-l", addr)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.LocalAddr().String())
	background(t, cmd)
	hears := func(begin string) {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 4096)
		n, err := manager.Read(said)
		if err != nil || !strings.HasPrefix(string(said[:n]), begin) {
			t.Fatalf("systemd hears %q, %v, want %q", said[:n], err, begin)
		}
	}
	hears("READY=1")
	if line, err := asks(t, "tcp", addr, "mn\r\n"); line != "MN\r\n" {
		t.Errorf("it is said to serve, and answers %q, %v", line, err)
	}
	for _, c := range []struct {
		signal syscall.Signal
		hears  []string
	}{
		{syscall.SIGHUP, []string{"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}},
		{syscall.SIGTERM, []string{"STOPPING=1"}},
	} {
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		for _, begin := range c.hears {
			hears(begin)
		}
	}
}

func TestReadsPasswordsAgainAtSIGHUP(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("anna:old\n")
	addr := "127.0.0.1:" + freePort(t)
	cmd := exec.CommandContext(t.Context(), plain.path(t), append(asRoot(), "-Y", users, "-l", addr)...)
	background(t, cmd)
	comesIn := func(password string) bool {
		line, _ := asks(t, "tcp", addr, "set a 0 0 8\r\nanna "+password+"\r\n")
		return line == "STORED\r\n"
	}
	harness.Await(t, "the old password is good", func() bool { return comesIn("old") })
	write("anna:new\n")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	harness.Await(t, "the new password is good", func() bool { return comesIn("new") })
	if comesIn("old") {
		t.Error("so is the old one")
	}
}

func TestServesMetrics(t *testing.T) {
	addr, metrics := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	background(t, exec.CommandContext(t.Context(), plain.path(t), append(asRoot(), "-l", addr, "--metrics", metrics)...))
	answers(t, "tcp", addr)
	_, text := harness.MustGet(t, "http://"+metrics+"/metrics")
	for _, want := range []string{"\nmccache_connections ", "\nmccache_connections_accepted_total ", "\nprocess_resident_memory_bytes "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if _, text := harness.MustGet(t, "http://"+metrics+"/healthz"); text != "ok\n" {
		t.Errorf("/healthz says %q", text)
	}
}

// TestRunsAsDebianRunsMemcached takes the configuration and the scripts from Debian's
// package, with nothing changed but what a test on a shared machine must not use: the
// path of the program, the user, the port and the files in /var/run.
func TestRunsAsDebianRunsMemcached(t *testing.T) {
	servers.Need(t, servers.KindMemcached)
	if os.Geteuid() != 0 {
		t.Skip("Debian's scripts run as root only")
	}
	if _, err := exec.LookPath("perl"); err != nil {
		if servers.Required() {
			t.Fatal("Debian's scripts need perl")
		}
		t.Skip("Debian's scripts need perl")
	}
	for _, script := range []string{"systemd-memcached-wrapper", "start-memcached"} {
		t.Run(script, func(t *testing.T) {
			dir := t.TempDir()
			// The process becomes nobody, and has to get there.
			for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
				if err := os.Chmod(d, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			port, pidFile := freePort(t), filepath.Join(dir, "pid")
			conf := debianFile(t, dir, "memcached.conf.default", map[string]string{
				"-p 11211": "-p " + port, "-u memcache": "-u nobody", "/var/run/memcached/memcached.pid": pidFile, "/var/log/memcached.log": filepath.Join(dir, "log"),
			})
			wrapper := debianFile(t, dir, "scripts/"+script, map[string]string{`"/usr/bin/memcached"`: `"` + plain.path(t) + `"`})
			ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, "perl", wrapper, conf)
			if script == "start-memcached" {
				cmd.Args = append(cmd.Args, filepath.Join(dir, "script.pid"))
			}
			background(t, cmd)
			answers(t, "tcp", "127.0.0.1:"+port)
			answers(t, "tcp", "[::1]:"+port)
			text, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if script != "start-memcached" && pid != cmd.Process.Pid {
				t.Errorf("it is process %d, systemd would wait for %d", pid, cmd.Process.Pid)
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			gone(t, pid)
		})
	}
}

// debianFile copies a file of the package below dir, with some words replaced.
func debianFile(t *testing.T, dir, name string, words map[string]string) string {
	t.Helper()
	// The program beside which it lies tells where the package is unpacked.
	beside, err := servers.Command(t.Context(), servers.KindMemcached, "memcached")
	if err != nil {
		t.Fatal(err)
	}
	program := beside.Args[len(beside.Args)-1]
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "../share/memcached", name))
	if err != nil {
		t.Fatal(err)
	}
	for old, changed := range words {
		if !bytes.Contains(text, []byte(old)) {
			t.Fatalf("%s does not say %s any more:\n%s", name, old, text)
		}
		text = bytes.ReplaceAll(text, []byte(old), []byte(changed))
	}
	path := filepath.Join(dir, filepath.Base(name))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
