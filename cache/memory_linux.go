//go:build linux && !race

package cache

import "golang.org/x/sys/unix"

const (
	// mapNoReserve: swap is not set aside for what is only reserved (mmap(2)).
	mapNoReserve = unix.MAP_NORESERVE
	adviceForget = unix.MADV_DONTNEED
)

// adviseHuge asks for large pages; a system that has none goes on with small ones.
func adviseHuge(bytes []byte) { _ = unix.Madvise(bytes, unix.MADV_HUGEPAGE) }
