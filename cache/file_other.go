//go:build unix && !linux

package cache

import "os"

// allocate takes the whole of a file's size on its file system, by writing where nothing
// was written yet.
func allocate(file *os.File, size int64) error {
	var block [4096]byte
	for at := int64(0); at < size; at += int64(len(block)) {
		n := min(int64(len(block)), size-at)
		if _, err := file.ReadAt(block[:n], at); err != nil {
			return err
		}
		if _, err := file.WriteAt(block[:n], at); err != nil {
			return err
		}
	}
	return nil
}
