package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process of the demo's own that is not one of package servers'. It dies
// with the demo, whatever ends that.
type child struct {
	pid  int
	log  string        // the file that has what it says
	done chan struct{} // closed once it has ended and been reaped
	err  error         // how it ended; to be read after done
}

// startChild runs the command. What it says goes to the file log.
func startChild(cmd *exec.Cmd, log string) (*child, error) {
	said, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make a file for what %s says: %w", cmd.Path, err)
	}
	defer said.Close() // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // a ^C at the terminal is for the demo, which then ends it
		Pdeathsig: syscall.SIGKILL,
	}
	c := &child{log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent at the death of the thread that forked (prctl(2),
		// PR_SET_PDEATHSIG), so that thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// ended says whether it has.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop ends the child as an administrator would, and waits until it is gone; err
// then says how it ended. It is an error if it had to be killed.
func (c *child) stop() error {
	const patient = 10 * time.Second
	if err := c.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(patient):
	}
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	return fmt.Errorf("process %d did not end within %v of SIGTERM and was killed", c.pid, patient)
}

// signal sends s to the child's group. A child that has just ended is no error.
func (c *child) signal(s syscall.Signal) error {
	if c.ended() {
		return nil
	}
	if err := syscall.Kill(-c.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(s), c.pid, err)
	}
	return nil
}

// said is the end of what it has said.
func (c *child) said() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
