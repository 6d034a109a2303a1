package main

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The loop's system calls, without the runtime's bookkeeping around them: a thread of
// its own makes them, none of them blocks but rawWait, and that for a tenth of a second
// at most. They report EAGAIN as 0 bytes and try again after EINTR.

// rawRead reads what is there. closed: the server has closed the connection.
func rawRead(fd int, b []byte) (n int, closed bool, err error) {
	for {
		//nolint:gosec // the kernel writes into b, which lives
		r, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch e {
		case 0:
			return int(r), r == 0, nil
		case syscall.EAGAIN:
			return 0, false, nil
		case syscall.EINTR:
		default:
			return 0, false, fmt.Errorf("read: %w", e)
		}
	}
}

// rawWrite writes as much as the socket takes.
func rawWrite(fd int, b []byte) (int, error) {
	for {
		//nolint:gosec // the kernel reads from b, which lives
		r, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch e {
		case 0:
			return int(r), nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, fmt.Errorf("write: %w", e)
		}
	}
}

// rawWritev is rawWrite of several pieces, none of them empty.
func rawWritev(fd int, pieces []unix.Iovec) (int, error) {
	for {
		//nolint:gosec // the kernel reads the pieces, which live
		r, _, e := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(pieces))), uintptr(len(pieces)))
		switch e {
		case 0:
			return int(r), nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, fmt.Errorf("writev: %w", e)
		}
	}
}

// rawWait waits for events, at most so many milliseconds.
func rawWait(epoll int, events []unix.EpollEvent, milliseconds int) (int, error) {
	//nolint:gosec // the kernel writes into events, which live
	r, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(milliseconds), 0, 0)
	switch e {
	case 0:
		return int(r), nil
	case syscall.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_wait: %w", e)
}

// piece is a piece of memory for rawWritev; b is not empty.
func piece(b []byte) unix.Iovec {
	//nolint:gosec // no pointer is made of a number
	v := unix.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	return v
}
