package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/process"
)

// child is a process of the demo's own that is not one of package servers'. It dies
// with the demo, whatever ends that.
type child struct {
	*process.Process
	log string // the file that has what it says
}

// startChild runs the command. What it says goes to the file log.
func startChild(cmd *exec.Cmd, log string) (*child, error) {
	said, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make a file for what %s says: %w", cmd.Path, err)
	}
	defer said.Close() // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = said, said
	p, err := process.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return &child{Process: p, log: log}, nil
}

// stop ends the child as an administrator would, and waits until it is gone; Err
// then says how it ended. It is an error if it had to be killed.
func (c *child) stop() error {
	const patient = 30 * time.Second
	if err := c.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.Done():
		return nil
	case <-time.After(patient):
	}
	if err := c.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("process %d did not end within %v of SIGTERM and was killed", c.Pid(), patient)
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
