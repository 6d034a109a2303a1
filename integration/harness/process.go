package harness

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/process"
)

// Call is one use of the command: its arguments and what is around it.
type Call struct {
	Args  []string
	Stdin io.Reader // nil: empty
	Env   []string  // beside the usual
	// Terminal, if set, is standard error; what the process says there is its reader's.
	Terminal *os.File
	As       *syscall.Credential // nil: the test's own
}

// Process is the command at work.
type Process struct {
	*process.Process
	Stdout, Stderr Transcript
}

// Mcsqueal runs the command to its end.
func Mcsqueal(t *testing.T, args ...string) *Process {
	t.Helper()
	return Call{Args: args}.Run(t)
}

// Run runs the command to its end.
func (c Call) Run(t *testing.T) *Process {
	t.Helper()
	p := c.Start(t)
	p.Wait(t)
	return p
}

// Start starts the command. It is killed with the test, if it has not ended by then;
// what it said must never be a panic or a race.
func (c Call) Start(t *testing.T) *Process {
	t.Helper()
	cmd := exec.Command(Binary(t), c.Args...)
	p := &Process{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, &p.Stdout, &p.Stderr
	if c.Terminal != nil {
		cmd.Stderr = c.Terminal
	}
	cmd.Env = append([]string{
		"HOME=" + t.TempDir(), "PATH=/nonexistent", "TMPDIR=" + os.TempDir(),
		"MCSQUEAL_PASSWORD=" + Password,
		"GORACE=halt_on_error=1 atexit_sleep_ms=0",
	}, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.As}
	var err error
	if p.Process, err = process.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill(t)
		said := p.Stderr.String()
		for _, word := range []string{"panic:", "fatal error:", "DATA RACE", "SIGQUIT"} {
			if strings.Contains(said, word) {
				t.Errorf("mcsqueal %s: %s", c.Args, word)
			}
		}
		if t.Failed() {
			t.Logf("mcsqueal %s said:\n%s%s", c.Args, Tail(p.Stdout.String()), Tail(said))
		}
	})
	return p
}

// Wait waits for the end and gives the exit status.
func (p *Process) Wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(Patience):
		p.Signal(t, syscall.SIGQUIT) // where do its goroutines stand?
		<-p.Done()
		t.Fatalf("mcsqueal has not ended within %v", Patience)
	}
	return p.Status()
}

// Signal sends a signal; it is no error if the process has ended.
func (p *Process) Signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Stop ends a daemon as an administrator does, and holds it to a clean end.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	if status := p.Wait(t); status != 0 {
		t.Fatalf("exit status %d after SIGTERM, want 0:\n%s", status, Tail(p.Stderr.String()))
	}
}

// Kill ends it without a warning.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Says waits until a line of its log matches.
func (p *Process) Says(t *testing.T, pattern string) {
	t.Helper()
	p.SaysTimes(t, 1, pattern)
}

// SaysTimes waits until so many lines of its log match.
func (p *Process) SaysTimes(t *testing.T, n int, pattern string) {
	t.Helper()
	Await(t, fmt.Sprintf("mcsqueal says %q %d times", pattern, n), func() bool {
		ended := p.Ended() // asked first: what it says last counts, too
		if len(p.Said(pattern)) >= n {
			return true
		}
		if ended {
			t.Fatalf("mcsqueal has ended (%d) without saying %q", p.Status(), pattern)
		}
		return false
	})
}

// Said are the lines of its log, so far, that match.
func (p *Process) Said(pattern string) []string {
	re := regexp.MustCompile(pattern)
	return slices.DeleteFunc(p.Stderr.Lines(), func(line string) bool { return !re.MatchString(line) })
}

// MustNotHaveSaid holds it to never having said something.
func (p *Process) MustNotHaveSaid(t *testing.T, pattern string) {
	t.Helper()
	if lines := p.Said(pattern); len(lines) > 0 {
		t.Errorf("mcsqueal has said %s", lines[0])
	}
}

// MustEnd holds it to an exit status and to a last sentence with all these parts.
func (p *Process) MustEnd(t *testing.T, status int, parts ...string) {
	t.Helper()
	if got := p.Wait(t); got != status {
		t.Errorf("exit status %d, want %d:\n%s", got, status, Tail(p.Stderr.String()))
	}
	sentence := "\n" + p.Stderr.String()
	if i := strings.LastIndex(sentence, "\nmcsqueal: "); i >= 0 {
		sentence = sentence[i:]
	} else if status != 0 {
		t.Errorf("no sentence on standard error: %q", sentence)
	}
	for _, part := range parts {
		if !strings.Contains(sentence, part) {
			t.Errorf("it says %q, want %q in it", sentence, part)
		}
	}
}

// Transcript is what a process has written so far. Any goroutine may use it.
type Transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

// Write takes what is written.
func (s *Transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *Transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// Lines are the whole lines.
func (s *Transcript) Lines() []string {
	lines := strings.Split(s.String(), "\n")
	return lines[:len(lines)-1]
}

// Tail is the end of what may be too long to print.
func Tail(s string) string {
	const most = 12 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// Clip is its beginning.
func Clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
