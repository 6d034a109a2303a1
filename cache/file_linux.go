package cache

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate takes the whole of a file's size on its file system.
func allocate(file *os.File, size int64) error {
	for {
		// A large one takes its time, and a signal that comes meanwhile ends it.
		if err := unix.Fallocate(int(file.Fd()), 0, 0, size); err != unix.EINTR {
			return err
		}
	}
}
