//go:build unix && race

package cache

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// growthReserve is how many times the memory asked for is reserved.
const growthReserve = 1

// region is memory of the heap here, since the race detector sees no other.
type region struct {
	bytes  []byte
	mapped bool
}

func reserve(size int, _ bool) (region, error) {
	return region{bytes: make([]byte, size)}, nil
}

func mapFile(file *os.File, size int) (region, error) {
	bytes, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return region{}, fmt.Errorf("map %s (%d MiB): %w", file.Name(), size>>20, err)
	}
	return region{bytes: bytes, mapped: true}, nil
}

func (r region) forget(from, to int) error {
	clear(r.bytes[from:to])
	return nil
}

func (r region) base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(r.bytes)) }

func (r region) lock() error { return nil }

func (r region) close() error {
	if !r.mapped {
		return nil
	}
	return unix.Munmap(r.bytes)
}
