package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Root often does with a state directory what an account of its own will go on with: the
// daemon's could not read what root has saved, nor open a lock that root has made. So what
// is made here belongs to whom the directory around it belongs to, where that is allowed.
// Files are opened so that no link which that account has put there is followed.

// give gives a file that this process has opened to the owner of the directory around it.
func give(f *os.File) error { return giveTo(filepath.Dir(f.Name()), f.Name(), f.Chown) }

// giveDir does so with a directory.
func giveDir(path string) error {
	return giveTo(filepath.Dir(path), path, func(uid, gid int) error { return os.Lchown(path, uid, gid) })
}

func giveTo(around, path string, chown func(uid, gid int) error) error {
	owner, err := ownerOf(os.Stat(around))
	if err != nil {
		return err
	}
	own, err := ownerOf(os.Lstat(path))
	if err != nil || own.Uid == owner.Uid {
		return err
	}
	if err := chown(int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func ownerOf(info fs.FileInfo, err error) (*syscall.Stat_t, error) {
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("look whose %s is: the system does not say", info.Name())
	}
	return stat, nil
}
