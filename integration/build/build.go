// Package build builds the commands of this checkout for what runs them: tests, the
// demo, the benchmarks. What comes in is a command's name; what goes out is the path of
// a program, as it is shipped unless more is asked for.
package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// Command builds a command, "mcsqueal" or "mccache", into the folder dir and gives its
// path. Flags are those of go build.
func Command(ctx context.Context, dir, name string, flags ...string) (path string, err error) {
	path = filepath.Join(dir, name)
	args := append([]string{"build", "-o", path}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/mcsqueal/mcsqueal/cmd/"+name)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go then removes its temporary files
	// A busy machine takes its time to end what has begun.
	cmd.WaitDelay = time.Minute
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, said)
	}
	return path, nil
}

// Checkout is the folder of the module that the working directory is in.
func Checkout(ctx context.Context) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the checkout's place: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}

// Raced tells whether this program was built with the race detector.
func Raced() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// AsTested are the flags for a command that has the race detector if this program does.
func AsTested() []string {
	if Raced() {
		return []string{"-race"}
	}
	return nil
}

// Once is a command that is built once in a run of the tests, by the first that asks.
type Once struct {
	// Name is the command's.
	Name string
	// Flags are those of go build.
	Flags []string

	once sync.Once
	dir  string
	path string
	err  error
}

// Path is where the command is; it is built if need be. Any user may run it.
func (o *Once) Path(tb testing.TB) string {
	tb.Helper()
	o.once.Do(func() {
		if o.dir, o.err = os.MkdirTemp("", "mcsqueal-built-"); o.err != nil {
			return
		}
		if o.err = os.Chmod(o.dir, 0o755); o.err != nil {
			return
		}
		// Not bound to the test that happens to be the first.
		o.path, o.err = Command(context.Background(), o.dir, o.Name, o.Flags...)
	})
	if o.err != nil {
		tb.Fatal(o.err)
	}
	return o.path
}

// Remove removes what was built, if it was.
func (o *Once) Remove() error {
	if o.dir == "" {
		return nil
	}
	if err := os.RemoveAll(o.dir); err != nil {
		return fmt.Errorf("remove the built %s: %w", o.Name, err)
	}
	return nil
}
