// Package deploy holds what is here to what its users' own tools say of it: systemd,
// helm and kubeconform, promtool and Prometheus, dpkg; and to the daemon as it is.
package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMain(m *testing.M) {
	status := m.Run()
	if err := built.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// binaries are the commands, built once in a run of the tests as releases are.
type binaries struct {
	once sync.Once
	dir  string
	err  error
}

var built binaries

// path is where the command is.
func (b *binaries) path(t *testing.T, name string) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "mcsqueal-deploy-"); b.err != nil {
			return
		}
		// Not bound to the test that happens to be the first.
		cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", b.dir, "../cmd/...")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build the commands: %w\n%s", err, said)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, name)
}

func (b *binaries) remove() error {
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// need ends the test if a tool cannot be had: without a network that is no failure,
// unless everything is required.
func need(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case servers.Required():
		t.Fatalf("%s cannot be had: %v", what, err)
	default:
		t.Skipf("%s cannot be had: %v", what, err)
	}
}

// on says that a program is on this machine.
func on(t *testing.T, program string) {
	t.Helper()
	_, err := exec.LookPath(program)
	need(t, program, err)
}

// said is what a command says, which must end well.
func said(t *testing.T, cmd *exec.Cmd, err error) string {
	t.Helper()
	out, status := outcome(t, cmd, err)
	if status != 0 {
		t.Fatalf("%s: exit status %d:\n%s", strings.Join(cmd.Args, " "), status, out)
	}
	return out
}

// outcome is what a command says, and its exit status.
func outcome(t *testing.T, cmd *exec.Cmd, err error) (out string, status int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err = cmd.Run()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		return both.String(), ended.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return both.String(), 0
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
