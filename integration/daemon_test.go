package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// call is one use of the command: its arguments and what is around it.
type call struct {
	args  []string
	stdin io.Reader // nil: empty
	env   []string  // beside the usual
	// terminal, if set, is standard error; what the process says there is its reader's.
	terminal *os.File
	as       *syscall.Credential // nil: the test's own
}

// process is the command at work.
type process struct {
	pid    int
	stdout transcript
	stderr transcript
	ended  chan struct{} // closed once it has ended and all it said is there
	status int           // to be read after ended; -1: by a signal
}

// mcsqueal runs the command to its end.
func mcsqueal(t *testing.T, args ...string) *process {
	t.Helper()
	return call{args: args}.run(t)
}

func (c call) run(t *testing.T) *process {
	t.Helper()
	p := c.start(t)
	p.wait(t)
	return p
}

// start starts the command. It is killed with the test, if it has not ended by then;
// what it said must never be a panic or a race.
func (c call) start(t *testing.T) *process {
	t.Helper()
	cmd := exec.Command(binary.Path(t), c.args...)
	p := &process{ended: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, &p.stdout, &p.stderr
	if c.terminal != nil {
		cmd.Stderr = c.terminal
	}
	cmd.Env = append([]string{
		"HOME=" + t.TempDir(), "PATH=/nonexistent", "TMPDIR=" + os.TempDir(),
		"MCSQUEAL_PASSWORD=" + password,
		"GORACE=halt_on_error=1 atexit_sleep_ms=0",
	}, c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: c.as}
	started := make(chan error)
	go func() {
		defer close(p.ended)
		// Pdeathsig is sent at the death of the thread that forked.
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
		_ = cmd.Wait() // its status says it
		p.status = cmd.ProcessState.ExitCode()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill(t)
		said := p.stderr.String()
		for _, word := range []string{"panic:", "fatal error:", "DATA RACE", "SIGQUIT"} {
			if strings.Contains(said, word) {
				t.Errorf("mcsqueal %s: %s", c.args, word)
			}
		}
		if t.Failed() {
			t.Logf("mcsqueal %s said:\n%s%s", c.args, tail(p.stdout.String()), tail(said))
		}
	})
	return p
}

// wait waits for the end and gives the exit status.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.signal(t, syscall.SIGQUIT) // where do its goroutines stand?
		<-p.ended
		t.Fatalf("mcsqueal has not ended within %v", patience)
	}
	return p.status
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if !p.running() {
		return
	}
	if err := syscall.Kill(p.pid, s); err != nil && err != syscall.ESRCH {
		t.Fatalf("send %v: %v", s, err)
	}
}

// stop ends a daemon as an administrator does, and holds it to a clean end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if status := p.wait(t); status != 0 {
		t.Fatalf("exit status %d after SIGTERM, want 0:\n%s", status, tail(p.stderr.String()))
	}
}

// kill ends it without a warning.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// says waits until a line of its log matches.
func (p *process) says(t *testing.T, pattern string) {
	t.Helper()
	p.saysTimes(t, 1, pattern)
}

// saysTimes waits until so many lines of its log match.
func (p *process) saysTimes(t *testing.T, n int, pattern string) {
	t.Helper()
	await(t, fmt.Sprintf("mcsqueal says %q %d times", pattern, n), func() bool {
		if len(p.said(pattern)) >= n {
			return true
		}
		if !p.running() && len(p.said(pattern)) < n {
			t.Fatalf("mcsqueal has ended (%d) without saying %q", p.status, pattern)
		}
		return false
	})
}

// said are the lines of its log, so far, that match.
func (p *process) said(pattern string) []string {
	re := regexp.MustCompile(pattern)
	return slices.DeleteFunc(p.stderr.lines(), func(line string) bool { return !re.MatchString(line) })
}

// failed holds the command to an exit status and to a sentence with all these parts.
func (p *process) failed(t *testing.T, status int, parts ...string) {
	t.Helper()
	if got := p.wait(t); got != status {
		t.Errorf("exit status %d, want %d:\n%s", got, status, tail(p.stderr.String()))
	}
	sentence := p.stderr.String()
	if i := strings.LastIndex(sentence, "mcsqueal: "); i >= 0 {
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

// transcript is what a process has written so far. Any goroutine may use it.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// lines are the whole lines.
func (s *transcript) lines() []string {
	lines := strings.Split(s.String(), "\n")
	return lines[:len(lines)-1]
}

func tail(s string) string {
	const most = 8 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// settings are a configuration file and the state directory it names, so that a
// daemon can be started on them again.
type settings struct {
	path     string
	stateDir string
}

// configure writes a configuration for a source. Each of lines is a line of YAML, or
// several; what clusters there are is among them.
func configure(t *testing.T, url string, lines ...string) *settings {
	t.Helper()
	dir := t.TempDir()
	s := &settings{path: filepath.Join(dir, "mcsqueal.yaml"), stateDir: filepath.Join(dir, "state")}
	s.write(t, url, lines...)
	return s
}

// write replaces the file.
func (s *settings) write(t *testing.T, url string, lines ...string) {
	t.Helper()
	text := fmt.Sprintf("source: {url: %q}\nstate_dir: %s\nadmin: {listen: \"\"}\n%s\n", url, s.stateDir, strings.Join(lines, "\n"))
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// daemon starts `mcsqueal run` and returns when it has found where to begin.
func (s *settings) daemon(t *testing.T, args ...string) *process {
	t.Helper()
	p := call{args: append([]string{"run", "--config", s.path}, args...)}.start(t)
	p.says(t, "msg=(tailing|\"dry run: )")
	return p
}

// replay runs `mcsqueal replay` to its end.
func (s *settings) replay(t *testing.T, args ...string) *process {
	t.Helper()
	return mcsqueal(t, append([]string{"replay", "--config", s.path}, args...)...)
}

// position is a cluster's place in a checkpoint file.
type position struct {
	GTID    *string   `json:"gtid"`
	Flavor  string    `json:"flavor"`
	File    string    `json:"file"`
	Offset  uint64    `json:"offset"`
	Server  string    `json:"server"`
	Created time.Time `json:"created"`
}

// checkpointFile is the checkpoint as it is on disk.
type checkpointFile struct {
	Version  int                 `json:"version"`
	Saved    time.Time           `json:"saved"`
	Clusters map[string]position `json:"clusters"`
	Retired  []string            `json:"retired"`
}

// checkpoint reads the checkpoint; ok tells whether there is one.
func (s *settings) checkpoint(t *testing.T) (c checkpointFile, ok bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.stateDir, "checkpoint.json"))
	if os.IsNotExist(err) {
		return c, false
	}
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("the checkpoint %s: %v", data, err)
	}
	return c, true
}

// cluster is a line of YAML: a cluster that is a list of addresses.
func cluster(name, targets string, addresses ...string) string {
	return fmt.Sprintf("  - {name: %s, %s: [%s]}", name, targets, strings.Join(addresses, ", "))
}
