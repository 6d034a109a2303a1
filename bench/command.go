package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is a running mcsqueal, or a peer that runs as a process of its own.
type program struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

// start runs a program whose standard output nobody reads.
func start(ctx context.Context, stdin io.Reader, path string, args ...string) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, path, args...)}
	p.cmd.Stdin, p.cmd.Stderr = stdin, &p.stderr
	// Without a Cancel it would be killed; it may have something to say.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	return p, nil
}

// wait waits until it has ended by itself.
func (p *program) wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w; it said:\n%s", strings.Join(p.cmd.Args, " "), err, p.stderr.Bytes())
	}
	return nil
}

// stop asks it to end and waits until it has.
func (p *program) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.Args[0], err)
	}
	return p.wait()
}

// start starts the command that is measured, without the HTTP listener that two at
// a time could quarrel about.
func (w *workbench) start(ctx context.Context, stdin io.Reader, args ...string) (*program, error) {
	return start(ctx, stdin, w.mcsqueal, append(args, "--admin-listen=")...)
}

// replay runs mcsqueal replay and tells how long it took from its start to its end.
// It must have found so many keys: else it is not what was to be measured.
func (w *workbench) replay(ctx context.Context, keys int, args ...string) (time.Duration, error) {
	began := time.Now()
	p, err := w.start(ctx, nil, append([]string{"replay"}, args...)...)
	if err != nil {
		return 0, err
	}
	if err := p.wait(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if found := fmt.Appendf(nil, " keys=%d\n", keys); !bytes.Contains(p.stderr.Bytes(), found) {
		return 0, fmt.Errorf("mcsqueal replay %s: expected %q in what it said:\n%s", strings.Join(args, " "), found, p.stderr.Bytes())
	}
	return took, nil
}
