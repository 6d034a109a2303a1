package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// manager is the other end: what a service manager would hear.
func manager(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hear is the next datagram.
func hear(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func from(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestEachStateIsOneDatagram(t *testing.T) {
	for name, path := range map[string]string{"path": socketPath(t), "abstract": fmt.Sprintf("@mcsqueal-test-%d", os.Getpid())} {
		t.Run(name, func(t *testing.T) {
			m := manager(t, path)
			n, err := New(from(map[string]string{"NOTIFY_SOCKET": path}))
			if err != nil {
				t.Fatal(err)
			}
			for want, send := range map[string]func() error{
				"READY=1": n.Ready, "STOPPING=1": n.Stopping, "WATCHDOG=1": n.Alive,
				"STATUS=two lines": func() error { return n.Status("two\nlines") },
			} {
				if err := send(); err != nil {
					t.Fatal(err)
				}
				if got := hear(t, m); got != want {
					t.Errorf("sent %q, want %q", got, want)
				}
			}
		})
	}
}

// The manager compares the time with its own clock: CLOCK_MONOTONIC, which /proc/uptime
// follows on a machine that has not slept.
func TestReloadingSaysWhen(t *testing.T) {
	path := socketPath(t)
	m := manager(t, path)
	n, err := New(from(map[string]string{"NOTIFY_SOCKET": path}))
	if err != nil {
		t.Fatal(err)
	}
	var said []int64
	for range 2 {
		if err := n.Reloading(); err != nil {
			t.Fatal(err)
		}
		match := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=(\d+)$`).FindStringSubmatch(hear(t, m))
		if match == nil {
			t.Fatal("not what sd_notify(3) wants")
		}
		usec, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, usec)
	}
	if said[0] <= 0 || said[1] <= said[0] || said[1]-said[0] > time.Minute.Microseconds() {
		t.Errorf("the clock stood at %d, then at %d µs", said[0], said[1])
	}
}

func TestWithoutAManagerNothingIsSent(t *testing.T) {
	none, err := New(from(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Notifier{none, nil, {}} {
		if err := errors.Join(n.Ready(), n.Reloading(), n.Stopping(), n.Alive(), n.Status("x")); err != nil {
			t.Error(err)
		}
		if n.Watched() != 0 {
			t.Error("it is watched by nobody")
		}
		n.Watch(t.Context(), Work{Alive: func() error { t.Error("looked at for nobody"); return nil }})
	}
}

func TestTheWatchdogIsForTheProcessItNames(t *testing.T) {
	for name, c := range map[string]struct {
		pid  string
		want time.Duration
	}{
		"nobody's name": {"", 2 * time.Second},
		"ours":          {strconv.Itoa(os.Getpid()), 2 * time.Second},
		"another's":     {"1", 0},
	} {
		n, err := New(from(map[string]string{"NOTIFY_SOCKET": "/run/none", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": c.pid}))
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Watched(); got != c.want {
			t.Errorf("%s: watched for %v, want %v", name, got, c.want)
		}
	}
}

func TestAnEnvironmentThatIsNotSystemdsIsSaid(t *testing.T) {
	for _, env := range []map[string]string{
		{"NOTIFY_SOCKET": "vsock:2:1"},
		{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "soon"},
		{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "-1"},
	} {
		if _, err := New(from(env)); err == nil || !strings.Contains(err.Error(), "=") {
			t.Errorf("%v: %v, want an error that quotes it", env, err)
		}
	}
}

func TestAManagerThatIsGoneIsSaidNotFatal(t *testing.T) {
	n, err := New(from(map[string]string{"NOTIFY_SOCKET": socketPath(t)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "READY=1") {
		t.Errorf("error %v, want one that says what could not be told", err)
	}
}

// The watchdog is fed while the work is alive and only then; the status is said when it
// changes.
func TestReadyIsSaidOnceTheWorkHasBegun(t *testing.T) {
	path := socketPath(t)
	m := manager(t, path)
	n, err := New(from(map[string]string{"NOTIFY_SOCKET": path}))
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	if err := n.ReadyOnce(t.Context(), time.Minute, func() bool { looks++; return looks == 3 }); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, m); got != "READY=1" || looks != 3 {
		t.Errorf("heard %q after %d looks", got, looks)
	}
	// Also where it takes too long; but not of what is ended first.
	if err := n.ReadyOnce(t.Context(), 20*time.Millisecond, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, m); got != "READY=1" {
		t.Errorf("heard %q", got)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := errors.Join(n.ReadyOnce(ctx, time.Minute, func() bool { return false }), n.Stopping()); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, m); got != "STOPPING=1" {
		t.Errorf("heard %q", got)
	}
}

func TestTheWatchdogIsFedWhileTheWorkIsAlive(t *testing.T) {
	path := socketPath(t)
	m := manager(t, path)
	n, err := New(from(map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "40000"}))
	if err != nil {
		t.Fatal(err)
	}
	var dead atomic.Bool
	var looks atomic.Int64
	ctx, end := context.WithCancel(t.Context())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		n.Watch(ctx, Work{
			Alive: func() error {
				looks.Add(1)
				if dead.Load() {
					return errors.New("stuck")
				}
				return nil
			},
			Status: func() string { return "tailing" },
			Logger: slog.New(slog.DiscardHandler),
		})
	})
	defer watcher.Wait()
	defer end()
	want := func(state string) {
		t.Helper()
		if got := hear(t, m); got != state {
			t.Fatalf("heard %q, want %q", got, state)
		}
	}
	want("WATCHDOG=1")
	want("STATUS=tailing")
	for range 3 {
		want("WATCHDOG=1")
	}
	dead.Store(true)
	await := func(n int64) {
		for from := looks.Load(); looks.Load() < from+n; {
			select {
			case <-t.Context().Done():
				t.Fatal("it is not looked at any more")
			case <-time.After(time.Millisecond):
			}
		}
	}
	mark, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mark.Close() }()
	// heardBefore is what was sent before now.
	heardBefore := func() (states []string) {
		t.Helper()
		if _, err := io.WriteString(mark, "mark"); err != nil {
			t.Fatal(err)
		}
		for state := hear(t, m); state != "mark"; state = hear(t, m) {
			states = append(states, state)
		}
		return states
	}
	// What was sent before may still be on its way; after another look, nothing is.
	await(2)
	heardBefore()
	await(4)
	if states := heardBefore(); len(states) > 0 {
		t.Fatalf("fed by %q though the work is stuck", states)
	}
	dead.Store(false)
	want("WATCHDOG=1")
}
