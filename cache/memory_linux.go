//go:build linux && !race

package cache

import "golang.org/x/sys/unix"

// adviseHuge asks for large pages; a system that has none goes on with small ones.
func adviseHuge(bytes []byte) { _ = unix.Madvise(bytes, unix.MADV_HUGEPAGE) }
