package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Scratch folders are scratchPrefix plus a random end below the system's folder for
// temporary files, each with a file "owner" that is locked as long as the process
// that made the folder lives. A folder whose owner is not locked was left by a test
// that was killed, and goes when the next one is made.
const scratchPrefix = "mcsqueal-"

// newScratch makes a folder; remove deletes it.
func newScratch(ctx context.Context) (dir string, remove func() error, err error) {
	parent := os.TempDir()
	// A Unix socket's path has at most 107 bytes (unix(7)).
	if len(parent) > 60 {
		parent = "/tmp"
	}
	if err := sweep(parent); err != nil {
		return "", nil, err
	}
	// Under another name until the owner is locked, so that nobody sweeps it away.
	unowned, err := os.MkdirTemp(parent, ".new-"+scratchPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	release, err := lock(ctx, filepath.Join(unowned, "owner"))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(unowned))
	}
	dir = filepath.Join(parent, strings.TrimPrefix(filepath.Base(unowned), ".new-"))
	if err := os.Rename(unowned, dir); err != nil {
		release()
		return "", nil, errors.Join(fmt.Errorf("name the scratch folder: %w", err), os.RemoveAll(unowned))
	}
	return dir, func() error {
		defer release()
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the scratch folder: %w", err)
		}
		return nil
	}, nil
}

// sweep removes scratch folders that nobody owns any more.
func sweep(parent string) error {
	owners, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*", "owner"))
	if err != nil {
		return fmt.Errorf("look for scratch folders: %w", err)
	}
	for _, owner := range owners {
		f, err := os.OpenFile(owner, os.O_RDWR, 0)
		if err != nil {
			continue // another user's, or just removed
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			// Its servers die with it, but a moment later: what they have written meanwhile
			// is left to the next, to which the owner's file tells it.
			if os.RemoveAll(filepath.Dir(owner)) != nil {
				_ = os.WriteFile(owner, nil, 0o600)
			}
		}
		f.Close()
	}
	return nil
}

// settle gives the finished folder from its name to, when all of it is on disk: a
// folder under its final name is whole, even after a crash of the machine.
func settle(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open the finished folder: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", from, err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("put the finished folder in its place: %w", err)
	}
	return nil
}

// copyTree copies a folder of plain files, all but those that skip names. Blocks of
// zeros become holes: most of a fresh data directory is room to grow into.
func copyTree(from, to string, skip func(name string) bool) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		switch {
		case entry.IsDir():
			if err := os.Mkdir(filepath.Join(to, rel), 0o700); err != nil {
				return fmt.Errorf("copy: %w", err)
			}
		case entry.Type().IsRegular() && !skip(entry.Name()):
			if err := copySparse(path, filepath.Join(to, rel)); err != nil {
				return fmt.Errorf("copy %s: %w", path, err)
			}
		}
		return nil
	})
}

func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	var (
		block, zeros [64 << 10]byte
		at           int64
	)
	for {
		n, err := io.ReadFull(in, block[:])
		if n > 0 && string(block[:n]) != string(zeros[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := out.Truncate(at); err != nil {
		return err
	}
	return out.Close()
}
