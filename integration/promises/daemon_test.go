package promises

import (
	"bytes"
	"encoding/json"
	"fmt"
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

	"github.com/mcsqueal/mcsqueal/binlog"
)

// process is the command at work.
type process struct {
	pid    int
	stdout transcript
	stderr transcript
	ended  chan struct{} // closed once it has ended and all it said is there
	status int           // to be read after ended; -1: by a signal
}

// mcsqueal starts the command. It is killed with the test, if it has not ended by
// then; what it said must never be a panic or a race.
func mcsqueal(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary.Path(t), args...)
	p := &process{ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	cmd.Env = []string{
		"HOME=" + t.TempDir(), "PATH=/nonexistent", "TMPDIR=" + os.TempDir(),
		"MCSQUEAL_PASSWORD=" + password,
		"GORACE=halt_on_error=1",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
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
				t.Errorf("mcsqueal %s: %s", args, word)
			}
		}
		if t.Failed() {
			t.Logf("mcsqueal %s said:\n%s%s", args, tail(p.stdout.String()), tail(said))
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
		t.Fatalf("exit status %d after SIGTERM, want 0", status)
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
		running := p.running() // asked first: what it says last counts, too
		if len(p.said(pattern)) >= n {
			return true
		}
		if !running {
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

// mustNotHaveSaid holds it to never having said something.
func (p *process) mustNotHaveSaid(t *testing.T, pattern string) {
	t.Helper()
	if lines := p.said(pattern); len(lines) > 0 {
		t.Errorf("mcsqueal has said %s", lines[0])
	}
}

// fails holds it to an exit status and to a last sentence with all these parts.
func (p *process) fails(t *testing.T, status int, parts ...string) {
	t.Helper()
	if got := p.wait(t); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
	sentence := p.stderr.String()
	if i := strings.LastIndex(sentence, "\nmcsqueal: "); i >= 0 {
		sentence = sentence[i:]
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
	const most = 12 << 10
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

// configure writes a configuration. Each of lines is a line of YAML, or several; the
// source and the clusters are among them.
func configure(t *testing.T, lines ...string) *settings {
	t.Helper()
	dir := t.TempDir()
	s := &settings{path: filepath.Join(dir, "mcsqueal.yaml"), stateDir: filepath.Join(dir, "state")}
	s.write(t, lines...)
	return s
}

// write replaces the file.
func (s *settings) write(t *testing.T, lines ...string) {
	t.Helper()
	text := fmt.Sprintf("state_dir: %s\nadmin: {listen: \"\"}\n%s\n", s.stateDir, strings.Join(lines, "\n"))
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// from is a line of YAML: a source.
func from(urls ...string) string {
	if len(urls) == 1 {
		return fmt.Sprintf("source: {url: %q}", urls[0])
	}
	return fmt.Sprintf("source: {urls: [%s], failover_wait: %s}", strings.Join(urls, ", "), failoverWait)
}

// failoverWait is what daemons with several servers are told: short, for it must
// pass.
const failoverWait = 3 * time.Second

// to are lines of YAML: clusters, each from cluster.
func to(clusters ...string) string { return "clusters:\n" + strings.Join(clusters, "\n") }

// cluster is one line of YAML; what else there is to say comes as "name: value".
func cluster(name, targets, address string, more ...string) string {
	return fmt.Sprintf("  - {%s}", strings.Join(append([]string{"name: " + name, targets + ": [" + address + "]"}, more...), ", "))
}

// run starts `mcsqueal run`.
func (s *settings) run(t *testing.T, args ...string) *process {
	t.Helper()
	return mcsqueal(t, append([]string{"run", "--config", s.path}, args...)...)
}

// daemon is run, and returns when the daemon has found where to begin.
func (s *settings) daemon(t *testing.T, args ...string) *process {
	t.Helper()
	p := s.run(t, args...)
	p.says(t, "msg=tailing")
	return p
}

// do runs another subcommand to its end, which must be a good one.
func (s *settings) do(t *testing.T, args ...string) *process {
	t.Helper()
	p := mcsqueal(t, append(args, "--config", s.path)...)
	if status := p.wait(t); status != 0 {
		t.Fatalf("mcsqueal %s: exit status %d", args, status)
	}
	return p
}

// setCheckpoint makes a cluster go on from somewhere else.
func (s *settings) setCheckpoint(t *testing.T, cluster, point string) {
	t.Helper()
	s.do(t, "checkpoint", "set", "--cluster", cluster, "--to", point)
}

// position reads a cluster's place from the checkpoint on disk; the zero place if
// there is none.
func (s *settings) position(t *testing.T, cluster string) binlog.Position {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.stateDir, "checkpoint.json"))
	if os.IsNotExist(err) {
		return binlog.Position{}
	}
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Clusters map[string]binlog.Position `json:"clusters"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatalf("the checkpoint %s: %v", data, err)
	}
	return c.Clusters[cluster]
}

// has tells whether a cluster's checkpoint contains GTIDs.
func (s *settings) has(t *testing.T, cluster string, done *binlog.GTIDSet) bool {
	t.Helper()
	return s.position(t, cluster).GTIDs.Covers(done)
}

// awaitPosition waits until a cluster's checkpoint contains GTIDs.
func (s *settings) awaitPosition(t *testing.T, cluster string, done *binlog.GTIDSet) {
	t.Helper()
	await(t, fmt.Sprintf("the checkpoint of %s has %s", cluster, done), func() bool { return s.has(t, cluster, done) })
}
