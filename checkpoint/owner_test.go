package checkpoint

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// nobody is an account that is not root's.
const nobody = 65534

// An administrator changes a checkpoint as root, and the daemon, whose state it is, goes on
// from there under its own account.
func TestWhatRootMakesIsTheDaemons(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to make files for others")
	}
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if err := s.Save(map[string]binlog.Position{"east": position(t, binlog.MariaDB, "0-1-5")}); err != nil {
		t.Fatal(err)
	}
	prepare(t, openSpool(t, filepath.Join(dir, "xa")), mariaA, 4, binlog.XID{Named: true, Global: 1, Data: "a"}, []said{{"tag", "shop", "users", "user:1"}})
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != nobody || owner.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", path, owner.Uid, owner.Gid)
		}
		return nil
	})
	if err != nil || seen != 5 {
		t.Errorf("%d files and folders, want the state, its lock, the checkpoint, the spool and a transaction: %v", seen, err)
	}
}

// What the daemon's account puts there leads root nowhere else.
func TestNoLinkInTheStateIsFollowed(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, Path(dir)+".new"); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if err := s.Save(map[string]binlog.Position{"east": position(t, binlog.MariaDB, "0-1-5")}); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.Symlink(victim, filepath.Join(other, lockName)); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(other); err == nil {
		t.Errorf("a link was taken for the lock: %v", s.Close())
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "theirs" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
}
