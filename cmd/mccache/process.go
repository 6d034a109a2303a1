package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/cache/server"
)

// process is what the command does to the process it runs in. A test, which shares its
// process with others, has none of it done.
type process interface {
	// prepare raises limits, gives up root and locks memory, as the settings say.
	prepare(s *settings, logger *slog.Logger) error
	// inherited are the listening sockets this process was started with.
	inherited(getenv func(string) string, background bool) ([]*os.File, error)
	// parent is who waits for this process to be ready, or nil.
	parent(getenv func(string) string) *report
}

// thisProcess is the one the command was started as.
type thisProcess struct{}

// reserveFDs are the descriptors beside connections: listeners, event loops, files.
const reserveFDs = 64

func (thisProcess) prepare(s *settings, logger *slog.Logger) error {
	if s.core {
		if err := unlimitCore(); err != nil {
			return statusError{fmt.Errorf("-r: %w", err), exitSystem}
		}
	}
	if err := raiseFiles(s, logger); err != nil {
		return statusError{err, exitSystem}
	}
	if os.Getuid() == 0 || os.Geteuid() == 0 {
		if s.user == "" {
			return usagef("started as root: say with -u which user to become, or -u root to stay root")
		}
		if err := become(s.user); err != nil {
			return err
		}
	}
	return nil
}

func unlimitCore() error {
	limit := syscall.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if syscall.Setrlimit(syscall.RLIMIT_CORE, &limit) == nil {
		return nil
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		return os.NewSyscallError("getrlimit RLIMIT_CORE", err)
	}
	if limit.Max == 0 {
		return errors.New("core files are forbidden here (ulimit -Hc, LimitCORE=)")
	}
	limit.Cur = limit.Max
	return os.NewSyscallError("setrlimit RLIMIT_CORE", syscall.Setrlimit(syscall.RLIMIT_CORE, &limit))
}

// raiseFiles makes room for as many connections as there may be.
func raiseFiles(s *settings, logger *slog.Logger) error {
	conns := max(s.serve.MaxConns, 1)
	if s.serve.MaxConns == 0 {
		conns = 1024
	}
	want := uint64(conns + reserveFDs)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit RLIMIT_NOFILE", err)
	}
	if limit.Cur >= want {
		return nil
	}
	hard := limit.Max
	limit.Cur, limit.Max = want, max(want, limit.Max)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		return nil
	}
	if hard < uint64(conns) {
		return fmt.Errorf("-c %d needs %d open files, and this process may have %d: raise the limit (ulimit -n, LimitNOFILE=), or ask for fewer connections", conns, want, hard)
	}
	limit.Cur, limit.Max = hard, hard
	logger.Warn("the limit on open files leaves little beside the connections of -c", "limit", hard)
	return os.NewSyscallError("setrlimit RLIMIT_NOFILE", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}

// become gives up root for good.
func become(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return statusError{fmt.Errorf("-u: %w", err), exitNoUser}
	}
	uid, uerr := strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	if err := errors.Join(uerr, gerr); err != nil {
		return statusError{fmt.Errorf("-u %s: %w", name, err), exitNoUser}
	}
	// Without leave to do so there are none that could be given up.
	if err := syscall.Setgroups(nil); err != nil && !errors.Is(err, syscall.EPERM) {
		return statusError{fmt.Errorf("-u %s: %w", name, os.NewSyscallError("setgroups", err)), exitSystem}
	}
	if err := syscall.Setgid(gid); err != nil {
		return statusError{fmt.Errorf("-u %s: %w", name, os.NewSyscallError("setgid", err)), exitSystem}
	}
	if err := syscall.Setuid(uid); err != nil {
		return statusError{fmt.Errorf("-u %s: %w", name, os.NewSyscallError("setuid", err)), exitSystem}
	}
	return nil
}

// firstInherited is where systemd puts sockets, see sd_listen_fds(3).
const firstInherited = 3

func (thisProcess) inherited(getenv func(string) string, background bool) ([]*os.File, error) {
	count := getenv("LISTEN_FDS")
	if count == "" || !background && getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1024 {
		return nil, usagef("LISTEN_FDS is %q, which is no number of sockets", count)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	var files []*os.File
	for i := range n {
		name := "socket " + strconv.Itoa(i)
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		syscall.CloseOnExec(firstInherited + i)
		files = append(files, os.NewFile(uintptr(firstInherited+i), name))
	}
	return files, nil
}

// background is the variable that tells a process that it was put into the background:
// the descriptor on which the one that was called waits for it.
const background = "MCCACHE_BACKGROUND"

// report is how a process in the background tells how its start went. A nil report tells
// nobody.
type report struct{ pipe *os.File }

func (thisProcess) parent(getenv func(string) string) *report {
	fd, err := strconv.Atoi(getenv(background))
	if err != nil || fd < firstInherited {
		return nil
	}
	syscall.CloseOnExec(fd)
	return &report{os.NewFile(uintptr(fd), "parent")}
}

// readyMark is what is reported when the server serves; anything else is an error.
const readyMark = "serving\n"

func (r *report) ready() {
	if r != nil && r.pipe != nil {
		_, _ = r.pipe.WriteString(readyMark) // whoever waited may be gone
		_ = r.pipe.Close()
		r.pipe = nil
	}
}

// failed tells of an error before ready.
func (r *report) failed(err error) {
	if r != nil && r.pipe != nil && err != nil {
		_, _ = fmt.Fprintf(r.pipe, "%d %v", status(err), err)
		_ = r.pipe.Close()
		r.pipe = nil
	}
}

// daemonize starts the command again, in a session of its own, and returns when it
// serves or has failed to.
func daemonize(ctx context.Context, s *settings, args []string, env environment) error {
	sockets, err := env.process.inherited(env.getenv, false)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("-d: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("-d: %w", err)
	}
	defer func() { _ = read.Close() }()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	cmd.ExtraFiles = append(sockets, write)
	cmd.Env = append(os.Environ(), background+"="+strconv.Itoa(firstInherited+len(sockets)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !s.core {
		cmd.Dir = "/" // a core file is written where the process is
	}
	if s.verbose > 0 {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return fmt.Errorf("-d: start in the background: %w", err)
	}
	var said bytes.Buffer
	if _, err := said.ReadFrom(read); err != nil {
		return fmt.Errorf("-d: wait for the process in the background: %w", err)
	}
	if said.String() == readyMark {
		return cmd.Process.Release()
	}
	code, text, _ := strings.Cut(said.String(), " ")
	if n, err := strconv.Atoi(code); err == nil {
		return errors.Join(statusError{errors.New(text), n}, cmd.Process.Release())
	}
	return fmt.Errorf("-d: the process in the background ended before it served: %w", cmd.Wait())
}

// announce writes the files that tell others of the server: its process and its ports.
func announce(s *settings, env environment, srv *server.Server) error {
	if file := env.getenv("MEMCACHED_PORT_FILENAME"); file != "" {
		if err := writeFile(file, portsText(srv)); err != nil {
			return fmt.Errorf("write the ports to MEMCACHED_PORT_FILENAME: %w", err)
		}
	}
	if s.pidFile == "" {
		return nil
	}
	if err := writeFile(s.pidFile, strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return fmt.Errorf("-P: %w", err)
	}
	return nil
}

func portsText(srv *server.Server) string {
	var b strings.Builder
	for _, a := range srv.Addrs() {
		network, port, ip := "TCP", 0, net.IP(nil)
		switch a := a.(type) {
		case *net.TCPAddr:
			port, ip = a.Port, a.IP
		case *net.UDPAddr:
			network, port, ip = "UDP", a.Port, a.IP
		default:
			continue
		}
		family := "INET6"
		if ip.To4() != nil {
			family = "INET"
		}
		fmt.Fprintf(&b, "%s %s: %d\n", network, family, port)
	}
	return b.String()
}

// writeFile replaces a file as a whole.
func writeFile(path, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(text)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

func removePID(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("-P: %w", err)
	}
	return nil
}
