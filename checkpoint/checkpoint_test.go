package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

func position(t *testing.T, flavor binlog.Flavor, set string) binlog.Position {
	t.Helper()
	g, err := binlog.ParseGTIDSet(flavor, set)
	if err != nil {
		t.Fatal(err)
	}
	return binlog.Position{
		GTIDs:  g,
		File:   binlog.File{Name: "bin.000003", Server: "3e11fa47-71ca-11e1-9e33-c80aa9429562", Created: time.Unix(1700000000, 0).UTC()},
		Offset: 1234,
	}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some tests close it themselves
	return s
}

func TestWhatWasSavedIsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	s := open(t, dir)
	east := position(t, binlog.MySQL, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:1-3")
	west := position(t, binlog.MariaDB, "0-1-5,1-2-7")
	if err := s.Save(map[string]binlog.Position{"east": east}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(map[string]binlog.Position{"west": west}); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Clusters) != 2 || !got.Clusters["east"].Equal(east) || !got.Clusters["west"].Equal(west) {
		t.Errorf("read back %v, saved %v and %v", got.Clusters, east, west)
	}
	if err := s.Drop("east"); err != nil {
		t.Fatal(err)
	}
	if got, err = Read(dir); err != nil || len(got.Clusters) != 1 {
		t.Errorf("after a drop: %v, %v", got, err)
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	_, err := Open(dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("second Open: %v, expected a LockedError with this process's id", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestASaveThatFailsChangesNothing(t *testing.T) {
	if os.Getuid() == 0 {
		// Root writes anywhere: a directory in the file's place stops it.
		dir := t.TempDir()
		s := open(t, dir)
		east := position(t, binlog.MariaDB, "0-1-5")
		if err := s.Save(map[string]binlog.Position{"east": east}); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(Path(dir)+".new", "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(map[string]binlog.Position{"east": position(t, binlog.MariaDB, "0-1-6")}); err == nil {
			t.Fatal("the save did not fail")
		}
		got, err := Read(dir)
		if err != nil || !got.Clusters["east"].Equal(east) || !s.Checkpoint().Clusters["east"].Equal(east) {
			t.Errorf("after a failed save: %v, %v", got, err)
		}
		return
	}
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if err := s.Save(map[string]binlog.Position{"east": position(t, binlog.MariaDB, "0-1-6")}); err == nil {
		t.Fatal("the save did not fail")
	}
	if got, err := Read(dir); err != nil || len(got.Clusters) != 0 {
		t.Errorf("after a failed save: %v, %v", got, err)
	}
}

func TestABrokenFileIsAnErrorThatNamesIt(t *testing.T) {
	for name, content := range map[string]string{
		"cut":            `{"version":1,"clusters":{"east":{"gtid":"0-1-`,
		"other version":  `{"version":9}`,
		"misspelt field": `{"version":1,"clusters":{"east":{"gtdi":"0-1-5"}}}`,
		"empty":          ``,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(Path(dir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), Path(dir)) {
			t.Errorf("%s: %v, expected an error that names the file", name, err)
		}
		if _, err := Open(dir); errors.As(err, new(*LockedError)) {
			t.Errorf("%s: the lock was kept", name)
		}
	}
}
