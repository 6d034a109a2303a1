package mccache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// inMemory is a folder on a tmpfs with room for so many bytes.
func inMemory(t *testing.T, bytes uint64) string {
	t.Helper()
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(shm, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < bytes {
		t.Skipf("no tmpfs at %s with room for %d bytes (%v)", shm, bytes, err)
	}
	dir, err := os.MkdirTemp(shm, "mccache-test-")
	if err != nil {
		t.Skipf("no tmpfs at %s: %v", shm, err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A restart of a server that was stopped in order keeps the values, and nothing by which
// an older value could come back: tokens are void, stale values gone, hold-offs hold.
func TestAWarmRestartKeepsValuesAndVoidsTokens(t *testing.T) {
	t.Parallel()
	file := filepath.Join(inMemory(t, 256<<20), "items")
	m := start(t, "-m", "32", "-e", file)
	w, err := connect(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	values := make(map[string]string)
	for i := range 3000 {
		key := fmt.Sprintf("warm:%d", i)
		values[key] = key + strings.Repeat("v", min(20_000, sizes(random)))
		if err := w.set(key, values[key]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.set("large", strings.Repeat("l", 900_000)); err != nil {
		t.Fatal(err)
	}
	values["large"] = strings.Repeat("l", 900_000)
	if err := errors.Join(w.set("deleted", "old"), w.set("held", "old")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"delete deleted", "delete held 60"} {
		if line, err := w.ask("%s\r\n", command); err != nil || line != "DELETED" {
			t.Fatalf("%s: %q, %v", command, line, err)
		}
	}
	if line, err := w.ask("set brief 0 1 1\r\nb\r\n"); err != nil || line != "STORED" {
		t.Fatalf("%q, %v", line, err)
	}
	text, meta := textDialect.open(w), metaDialect.open(w)
	a, errA := text.read("a")
	b, errB := meta.read("b")
	if err := errors.Join(errA, errB); err != nil || a.token == 0 || b.token == 0 {
		t.Fatalf("%+v, %+v, %v", a, b, err)
	}
	if err := errors.Join(w.close(), m.Stop(t.Context()), m.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}

	if w, err = connect(t.Context(), m.Addr()); err != nil {
		t.Fatal(err)
	}
	defer func() { w.close() }()
	text, meta = textDialect.open(w), metaDialect.open(w)
	for key, want := range values {
		if got, found, err := w.get(key); err != nil || !found || got != want {
			t.Fatalf("%s: %q, %v, %v, want %q", key, harness.Clip(got), found, err, harness.Clip(want))
		}
	}
	for _, f := range []struct {
		l     leaser
		key   string
		token uint64
	}{{text, "a", a.token}, {meta, "b", b.token}, {meta, "a", a.token}, {text, "b", b.token}} {
		if ok, err := f.l.fill(f.key, f.token, "from before the restart"); err != nil || ok {
			t.Errorf("a token of before: stored is %v, %v", ok, err)
		}
	}
	if r, err := text.read("deleted"); err != nil || r.hit || r.value != "" || r.token == 0 || r.token == a.token || r.token == b.token {
		t.Errorf("a key that was deleted before: %+v, %v", r, err)
	}
	if line, err := w.ask("add held 0 0 1\r\nx\r\n"); err != nil || line != "NOT_STORED" {
		t.Errorf("an add that is held off: %q, %v", line, err)
	}
	if err := w.set("held", "new"); err != nil {
		t.Error(err)
	}
	harness.Await(t, "what was to stay for a second is gone", func() bool {
		_, found, err := w.get("brief")
		if err != nil {
			t.Fatal(err)
		}
		return !found
	})

	// After a crash nothing is believed.
	w.close()
	if err := errors.Join(m.Kill(), m.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := m.Stat(t, "curr_items"); n != 0 {
		t.Errorf("after a crash it has %d items", n)
	}
	if w, err = connect(t.Context(), m.Addr()); err != nil {
		t.Fatal(err)
	}
	if err := w.set("k", "v"); err != nil {
		t.Error(err)
	}
}

// A tmpfs without room for all of it is found out at the start, not by a SIGBUS later.
func TestAFullTmpfsIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a tmpfs of 16 MiB cannot be mounted here: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	cmd := exec.CommandContext(t.Context(), plain.path(t), "-p", "0", "-U", "0", "-s", filepath.Join(t.TempDir(), "s"), "-m", "64", "-u", "root", "-e", filepath.Join(dir, "items"))
	cmd.WaitDelay = 10 * time.Second
	ended := time.AfterFunc(harness.Patience, func() { _ = cmd.Process.Kill() })
	defer ended.Stop()
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() < 0 || !strings.Contains(string(said), dir) {
		t.Errorf("%v, and it said %q; want a refusal that names the file", err, said)
	}
}
