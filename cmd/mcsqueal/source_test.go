package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcsqueal/mcsqueal/config"
)

// A source ends the older of two dumps with one id: daemons that share it would take
// the log from each other for ever.
func TestEveryStateDirHasAServerIDOfItsOwn(t *testing.T) {
	const name = "state"
	folder := func() string {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	one, two := folder(), folder()
	c := config.Default()
	t.Chdir(one)
	first := daemonServerID(c, name)
	t.Chdir(two)
	if id := daemonServerID(c, name); id == first {
		t.Errorf("state_dir %q in two folders has the server id %d in both", name, id)
	}
	link := filepath.Join(two, "link")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	for _, same := range []string{filepath.Join(one, name), filepath.Join(link, name), filepath.Join(one, ".", name) + "/"} {
		if id := daemonServerID(c, same); id != first {
			t.Errorf("state_dir %s has the server id %d, want that of the same folder by another name, %d", same, id, first)
		}
	}
	c.Source.ServerID = 7
	if id := daemonServerID(c, name); id != 7 {
		t.Errorf("server id %d, want the configured one, 7", id)
	}
}
