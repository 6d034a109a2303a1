package cache

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate takes the whole of a file's size on its file system.
func allocate(file *os.File, size int64) error {
	return unix.Fallocate(int(file.Fd()), 0, 0, size)
}
