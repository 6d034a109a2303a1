package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const lockName = "lock"

// LockedError says that another process works in the state directory.
type LockedError struct {
	Dir string
	PID int // 0 if it did not say
}

func (e *LockedError) Error() string {
	who := "another mcsqueal"
	if e.PID > 0 {
		who += " (process " + strconv.Itoa(e.PID) + ")"
	}
	return fmt.Sprintf("state_dir %s is locked by %s; stop it first, or give this one a state_dir of its own", e.Dir, who)
}

// acquire takes the directory's lock. The system gives it back when the process
// ends, however it ends.
func acquire(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock state_dir: %w", mended(err))
	}
	if err := give(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock state_dir: %w", err), f.Close())
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		locked := error(&LockedError{Dir: dir, PID: holder(f)})
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			locked = fmt.Errorf("lock state_dir %s: %w", dir, err)
		}
		return nil, errors.Join(locked, f.Close())
	}
	// For people and for the message above only; the lock is the system's.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock state_dir: %w", mended(err)), f.Close())
		}
	}
	return f, nil
}

func holder(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// Holder tells whether a process works in a state directory, and which: 0 if it did not
// say. It disturbs nobody, but a process that would start in the very same moment is
// told that the directory is locked.
func Holder(dir string) (pid int, held bool, err error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock of state_dir: %w", err)
	}
	defer func() { _ = f.Close() }() // the lock goes with it
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
	case err == nil:
		return 0, false, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return holder(f), true, nil
	default:
		return 0, false, fmt.Errorf("look at the lock of state_dir %s: %w", dir, err)
	}
}
