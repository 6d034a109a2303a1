//go:build unix && !race

package cache

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// growthReserve is how many times the memory asked for is reserved.
const growthReserve = 4

// region is memory outside the garbage collector's sight: reserved as a whole, resident
// as far as it has been written to.
type region struct{ bytes []byte }

// reserve takes size bytes of address space. huge asks for large pages.
func reserve(size int, huge bool) (region, error) {
	bytes, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
	if err != nil {
		return region{}, fmt.Errorf("reserve %d MiB of memory: %w", size>>20, err)
	}
	if huge {
		adviseHuge(bytes)
	}
	return region{bytes: bytes}, nil
}

// mapFile maps size bytes of file, shared.
func mapFile(file *os.File, size int) (region, error) {
	bytes, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return region{}, fmt.Errorf("map %s (%d MiB): %w", file.Name(), size>>20, err)
	}
	return region{bytes: bytes}, nil
}

// forget gives the memory between two offsets back to the system, as far as whole pages
// of it lie there. What it reads as afterwards is up to the system.
func (r region) forget(from, to int) error {
	return unix.Madvise(r.bytes[from:to], adviceForget)
}

func (r region) base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(r.bytes)) }

// lock keeps the region resident.
func (r region) lock() error { return unix.Mlock(r.bytes) }

func (r region) close() error {
	if r.bytes == nil {
		return nil
	}
	return unix.Munmap(r.bytes)
}
