package process_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
	"github.com/mcsqueal/mcsqueal/integration/process"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

func start(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(exec.Command("sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestTellsHowItEnded(t *testing.T) {
	well, badly := start(t, "exit 0"), start(t, "exit 3")
	if err := well.Err(); err != nil || well.Status() != 0 {
		t.Errorf("status %d, %v", well.Status(), err)
	}
	if err := badly.Err(); err == nil || badly.Status() != 3 {
		t.Errorf("status %d, %v, want 3", badly.Status(), err)
	}
	if !badly.Ended() {
		t.Error("it has ended, and does not say so")
	}
	if err := badly.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
}

func TestASignalReachesTheWholeGroup(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("sh", "-c", "sleep 60 & echo; wait")
	cmd.Stdout = in
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when the last that holds it has.
	if n, err := out.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if p.Status() != -1 {
		t.Errorf("status %d, want -1 for a signal", p.Status())
	}
}

func TestFreezeReturnsWhenItStandsStill(t *testing.T) {
	p := start(t, "while :; do :; done")
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if state := state(t, p.Pid()); state != "T" {
		t.Errorf("a frozen process is in state %s, want T", state)
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Freeze(); err != nil {
		t.Errorf("freeze one that has ended: %v", err)
	}
}

func TestWhatCannotStartSaysSo(t *testing.T) {
	if _, err := process.Start(exec.Command("/nonexistent")); err == nil {
		t.Error("no error")
	}
}

// state is the letter that proc(5) has for what a process is at.
func state(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}
