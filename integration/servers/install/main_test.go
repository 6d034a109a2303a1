package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// TestMain is the command itself where a test asks for it.
func TestMain(m *testing.M) {
	if os.Getenv("INSTALL_TEST_MAIN") == "1" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// install runs the command with its folder at dir and these further variables, and
// gives all it said and its exit status.
func install(t *testing.T, dir string, env ...string) (said string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), "INSTALL_TEST_MAIN=1", "MCSQUEAL_REQUIRE_SERVERS=", "MCSQUEAL_SERVERS="+dir), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestSecondInstallationDoesNothing(t *testing.T) {
	servers.Need(t, servers.KindMySQL, servers.KindMariaDB, servers.KindMemcached, servers.KindMemcachedOld)
	dir, err := servers.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if said, status := install(t, dir); status != 0 { // the templates may have to be made
		t.Fatalf("exit status %d: %s", status, said)
	}
	// Without a PATH it can run no program: that is why it is quick.
	begin := time.Now()
	said, status := install(t, dir, "PATH=")
	t.Logf("took %v", time.Since(begin))
	if status != 0 {
		t.Errorf("exit status %d: %s", status, said)
	}
	for _, k := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB, servers.KindMemcached, servers.KindMemcachedOld} {
		version, err := servers.Version(k)
		if err != nil || !strings.Contains(said, version) {
			t.Errorf("%s %s (%v) is not in what it said:\n%s", k, version, err, said)
		}
	}
	if strings.Contains(said, "asking") || strings.Contains(said, "initialising") {
		t.Errorf("it did something:\n%s", said)
	}
}

func TestInstallationWithoutAptSaysSo(t *testing.T) {
	said, status := install(t, t.TempDir(), "PATH=")
	if status != 1 || !strings.Contains(said, "apt-get is missing") {
		t.Errorf("exit status %d: %s", status, said)
	}
}

func TestInstallationThatFailsLeavesNothingHalfDone(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("apt-get is missing")
	}
	dir := t.TempDir()
	// What an installation that was killed leaves.
	if err := os.MkdirAll(filepath.Join(dir, "debian-sid.partial", "tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(dir, "no-such-archive")
	said, status := install(t, dir, "MCSQUEAL_DEBIAN_MIRROR=file://"+nowhere)
	if status != 1 {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{"MySQL", "MariaDB", "memcached", "could not be installed", nowhere} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what it said:\n%s", want, said)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "debian-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMySQLAloneMissingFailsOnlyWhereItIsRequired(t *testing.T) {
	servers.Need(t, servers.KindMariaDB)
	installed, err := servers.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(installed, "debian-bookworm"), filepath.Join(dir, "debian-bookworm")); err != nil {
		t.Fatal(err)
	}
	for require, want := range map[string]int{"": 0, "1": 1} {
		said, status := install(t, dir, "PATH=", "MCSQUEAL_REQUIRE_SERVERS="+require)
		if status != want {
			t.Errorf("required %q: exit status %d, want %d: %s", require, status, want, said)
		}
		if !strings.Contains(said, "MySQL and memcached with its proxy could not be installed") {
			t.Errorf("it does not say what is missing:\n%s", said)
		}
	}
}
