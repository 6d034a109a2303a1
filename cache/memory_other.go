//go:build unix && !linux && !race

package cache

import "golang.org/x/sys/unix"

const (
	// mapNoReserve is nothing: the BSDs set no swap aside by themselves.
	mapNoReserve = 0
	// adviceForget: what MADV_DONTNEED leaves resident there (madvise(2)).
	adviceForget = unix.MADV_FREE
)

// adviseHuge does nothing where the system chooses page sizes by itself.
func adviseHuge([]byte) {}
