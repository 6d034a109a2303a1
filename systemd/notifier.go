package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier sends a service's states to the service manager. The zero value, and nil,
// have none to send to: every method then does nothing and returns nil. Any goroutine
// may use it.
type Notifier struct {
	socket   *net.UnixAddr
	watchdog time.Duration
}

// New reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without the first there is
// no service manager, which is no error.
func New(getenv func(string) string) (*Notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return &Notifier{}, nil
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET=%s: neither a path nor an abstract socket (@…)", path)
	}
	n := &Notifier{socket: &net.UnixAddr{Name: path, Net: "unixgram"}}
	usec := getenv("WATCHDOG_USEC")
	if usec == "" {
		return n, nil
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil // it is watched, but not this process
	}
	d, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("WATCHDOG_USEC=%s: want microseconds", usec)
	}
	n.watchdog = time.Duration(d) * time.Microsecond
	return n, nil
}

// Watched is how long the service manager waits between two of Alive before it kills
// the process; 0: it does not.
func (n *Notifier) Watched() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the service is set up, or is so again after Reloading.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading says that the configuration is being read again; Ready must follow, even
// if that failed.
func (n *Notifier) Reloading() error {
	// The manager tells by the clock which of two reloads is meant.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the monotonic clock for systemd: %w", err)
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping says that the service has been told to stop, or has found that it must.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Alive says that the service does its work, so that it is not killed for another
// Watched.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// Status is what `systemctl status` shows: a line for people.
func (n *Notifier) Status(line string) error {
	return n.send("STATUS=" + strings.Join(strings.Fields(line), " "))
}

// send sends assignments in one datagram.
func (n *Notifier) send(assignments ...string) error {
	if n == nil || n.socket == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, n.socket)
	if err != nil {
		return fmt.Errorf("tell systemd %s: %w", assignments[0], err)
	}
	defer func() { _ = conn.Close() }() // what was sent is in the manager's queue
	// The manager is never waited for longer than this.
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("tell systemd %s: %w", assignments[0], err)
	}
	if _, err := conn.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		return fmt.Errorf("tell systemd %s: %w", assignments[0], err)
	}
	return nil
}

const sendTimeout = 2 * time.Second
