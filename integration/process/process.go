// Package process runs children that die with the process that starts them, whatever
// ends that. What comes in is a command; what goes out is a child in a process group of
// its own, which can be waited for, signalled and frozen.
package process

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is a child. Its methods may be called from any goroutine.
type Process struct {
	pid    int
	done   chan struct{} // closed once the child has ended and been reaped
	err    error         // how it ended; to be read after done
	status int           // likewise
}

// Start runs the command, whose SysProcAttr may ask for more, but not for another group
// or another signal at the death of its parent. Who starts it need not wait for it.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // a ^C at the terminal is for the parent, which then ends it
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent at the death of the thread that forked (prctl(2),
		// PR_SET_PDEATHSIG), so that thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		p.status = cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Pid is the process id, also when the child has ended.
func (p *Process) Pid() int { return p.pid }

// Done is closed once the child has ended and been reaped, and what it wrote to the
// command's writers is there.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says whether the child is gone.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err waits for the child's end and says how it was, as [exec.Cmd.Wait] does.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Status waits for the child's end and gives its exit status; -1 if a signal ended it.
func (p *Process) Status() int {
	<-p.done
	return p.status
}

// Signal sends sig to the child's group. A child that has just ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if p.Ended() {
		return nil
	}
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.pid, err)
	}
	return nil
}

// Kill ends the child without a warning and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Freeze stops the child and returns once all its threads stand still.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		// WNOWAIT leaves the child's end, if that is what happened, to cmd.Wait.
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil && !errors.Is(err, unix.ECHILD) {
			return fmt.Errorf("wait until process %d stands still: %w", p.pid, err)
		}
		return nil
	}
}

// Thaw lets a frozen child go on.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }
