package servers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/process"
)

// startTimeout bounds a start where the caller's context does not. A database that
// was killed may have to recover first.
const startTimeout = 2 * time.Minute

// Instance is one private server: a process on a port of 127.0.0.1 with a scratch
// folder. It is what [Database] and [Memcached] have in common. Its methods may be
// called from any goroutine, and wait for each other.
type Instance struct {
	kind    Kind
	name    string // of what is not a Kind, because it is built and not installed
	dir     string // scratch folder
	remove  func() error
	port    int
	release func()                      // gives the port up; nil before the first start
	command func() (*exec.Cmd, error)   // for the present port
	answers func(context.Context) error // nil when the server serves; it must know our process from another on the port
	hangUp  func()                      // closes our clients' idle connections

	mu     sync.Mutex       // guards what follows
	proc   *process.Process // the last one started; nil before the first
	frozen bool
	closed bool
}

// start runs the server for the first time, on a port that is free.
func (in *Instance) start(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	const attempts = 10
	for attempt := 1; ; attempt++ {
		var err error
		if in.port, in.release, err = ReservePort(); err != nil {
			return err
		}
		err = in.run(ctx)
		if err == nil || !errors.Is(err, errPortTaken) || attempt == attempts {
			return err
		}
		in.release()
	}
}

// errPortTaken: somebody took the port between our look at it and the server's bind.
var errPortTaken = errors.New("port is taken")

// errEnded: the server's process ended by itself, and as if all were well.
var errEnded = errors.New("ended")

// portTaken are the words of memcached, MySQL and MariaDB for that.
var portTaken = [][]byte{[]byte("Address already in use"), []byte("Do you already have another")}

// run starts the process and waits until it answers. The caller holds mu.
func (in *Instance) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not within %v", startTimeout))
	defer cancel()
	cmd, err := in.command()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(in.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", in, err)
	}
	defer log.Close()
	before, err := log.Stat()
	if err != nil {
		return fmt.Errorf("look at the log of %s: %w", in, err)
	}
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, in.dir
	proc, err := process.Start(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", in, err)
	}
	in.proc, in.frozen = proc, false
	in.hangUp() // those to the process before this one are dead

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		unanswered := in.answers(ctx)
		if unanswered == nil {
			return nil
		}
		select {
		case <-proc.Done():
			said := in.logFrom(before.Size())
			for _, words := range portTaken {
				if bytes.Contains(said, words) {
					return fmt.Errorf("start %s: %w", in, errPortTaken)
				}
			}
			return fmt.Errorf("start %s: %w before it answered; its log:\n%s", in, cmp.Or(proc.Err(), errEnded), tail(said))
		case <-ctx.Done():
			err := fmt.Errorf("start %s: %w; last answer: %w; its log:\n%s", in, context.Cause(ctx), unanswered, tail(in.logFrom(before.Size())))
			return errors.Join(err, proc.Kill())
		case <-tick.C:
		}
	}
}

// String names the instance for people: "MySQL on 127.0.0.1:20001".
func (in *Instance) String() string {
	name := in.name
	if name == "" {
		name = in.kind.String()
	}
	return fmt.Sprintf("%s on %s", name, in.Addr())
}

// Kind is what the instance runs; zero for what is built and not installed.
func (in *Instance) Kind() Kind { return in.kind }

// Port is the TCP port on 127.0.0.1. It stays the same through restarts.
func (in *Instance) Port() int { return in.port }

// Addr is host:port of the instance.
func (in *Instance) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(in.port)) }

// Pid is the process id, or 0 while the instance does not run.
func (in *Instance) Pid() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.running() {
		return 0
	}
	return in.proc.Pid()
}

// Running says whether the process is there; a frozen one is.
func (in *Instance) Running() bool { return in.Pid() != 0 }

func (in *Instance) running() bool { return in.proc != nil && !in.proc.Ended() }

// Stop ends the instance as an administrator would (SIGTERM) and waits until it is
// gone; its data stay for Restart. When ctx ends first the process is killed, and
// that is an error. A frozen instance is thawed. It is no error if nothing runs.
// MySQL takes a second and a half, and two more if a client is connected.
func (in *Instance) Stop(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stop(ctx)
}

func (in *Instance) stop(ctx context.Context) error {
	if !in.running() {
		return nil
	}
	in.hangUp() // MySQL waits two seconds for connections that are open
	if err := in.proc.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := in.thaw(); err != nil {
		return err
	}
	select {
	case <-in.proc.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop %s: %w; it was killed", in, ctx.Err()), in.proc.Kill())
	}
}

// Kill ends the instance with SIGKILL, frozen or not, and waits until it is gone;
// its data stay for Restart. It is no error if nothing runs.
func (in *Instance) Kill() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.running() {
		return nil
	}
	return in.proc.Kill()
}

// Freeze stops every thread of the process where it stands (SIGSTOP): connections
// stay open and nothing answers, as when a machine hangs. It returns when all
// stand still. It is no error to freeze twice.
func (in *Instance) Freeze() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.running() {
		return fmt.Errorf("freeze %s: it does not run", in)
	}
	if in.frozen {
		return nil
	}
	if err := in.proc.Freeze(); err != nil {
		return err
	}
	in.frozen = true
	return nil
}

// Thaw lets a frozen instance go on. It is no error if it was not frozen.
func (in *Instance) Thaw() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.running() {
		return fmt.Errorf("thaw %s: it does not run", in)
	}
	return in.thaw()
}

func (in *Instance) thaw() error {
	if !in.frozen {
		return nil
	}
	if err := in.proc.Thaw(); err != nil {
		return err
	}
	in.frozen = false
	return nil
}

// Restart starts the instance again on the same port and, for a database, on the
// same data, and returns when it answers. One that runs is stopped first.
func (in *Instance) Restart(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return fmt.Errorf("restart %s: it is closed", in)
	}
	if err := in.stop(ctx); err != nil {
		return err
	}
	return in.run(ctx)
}

// Close kills the instance and removes its scratch folder with all data. It may be
// called again, and then does nothing.
func (in *Instance) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed = true
	if in.running() {
		if err := in.proc.Kill(); err != nil {
			return err
		}
	}
	if in.release != nil {
		in.release()
	}
	return in.remove()
}

// Log is the end of what the process has said, through all its restarts.
func (in *Instance) Log() string { return string(tail(in.logFrom(0))) }

func (in *Instance) logPath() string { return filepath.Join(in.dir, "log") }

// logFrom is the log from an offset on. Where it cannot be read it says so instead:
// it is for people, in the message of another error.
func (in *Instance) logFrom(offset int64) []byte {
	text, err := os.ReadFile(in.logPath())
	if err != nil {
		return []byte(err.Error())
	}
	return text[min(offset, int64(len(text))):]
}

// tail is the last lines of a text.
func tail(text []byte) []byte {
	const most = 8 << 10
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return bytes.TrimSpace(text)
}
