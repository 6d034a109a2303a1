package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Unpack puts packages of a Debian suite, with all they depend on, into a folder that
// is not there yet, as [Install] does with the servers: for other programs that tests
// want in a version which this machine need not have. [CommandIn] runs them. The
// folder appears by one rename; a folder that is there already is left alone.
func Unpack(ctx context.Context, suite string, packages []string, dir string, out io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	work := dir + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove an unfinished installation: %w", err)
	}
	defer os.RemoveAll(work) // what cannot be removed now is removed by the next
	tree := filepath.Join(work, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := unpack(ctx, suite, packages, filepath.Join(work, "apt"), tree, out); err != nil {
		return err
	}
	return settle(tree, dir)
}

// unpack asks apt, with its state in a folder of its own, and unpacks into tree.
func unpack(ctx context.Context, suite string, packages []string, state, tree string, out io.Writer) error {
	apt, err := newApt(ctx, state, suite)
	if err != nil {
		return err
	}
	list := strings.Join(packages, ", ")
	fmt.Fprintf(out, "asking %s for %s of Debian %s\n", apt.mirror, list, suite)
	if err := apt.run(ctx, "update", "--error-on=any"); err != nil {
		return err
	}
	debs, err := apt.download(ctx, packages)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "unpacking %d packages for %s\n", len(debs), list)
	for _, deb := range debs {
		if err := run(exec.CommandContext(ctx, "dpkg-deb", "--extract", deb, tree)); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	return nil
}

// CommandIn prepares a program of a folder that [Unpack] made, by its path below it.
// It runs with that folder's libraries.
func CommandIn(ctx context.Context, dir, program string, args ...string) (*exec.Cmd, error) {
	return loaded(ctx, dir, filepath.Join(dir, program), args...)
}
