//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These system calls do not wait: sockets are non-blocking, and so they go to the kernel
// without telling the Go scheduler, which costs a good part of what a small read or write
// costs. epollBlock is the one that may wait, and tells it.
//
// What they return is checked by the callers; a call that was interrupted is made again
// where it can be (those that do not wait never are).

// recv reads into p, which is not empty.
func recv(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0) //nolint:gosec // p stays where it is until the call is over
	return int(n), errno
}

// inputWaits tells whether something has come that was not read.
func inputWaits(fd int) bool {
	var b [1]byte
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(&b[0])), 1, syscall.MSG_PEEK, 0, 0) //nolint:gosec // as in recv
	return errno == 0 && n > 0
}

// recvv reads into several pieces.
func recvv(fd int, pieces []syscall.Iovec) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READV, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(pieces))), uintptr(len(pieces))) //nolint:gosec // as in recv
	return int(n), errno
}

// send writes p, which is not empty.
func send(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0) //nolint:gosec // as in recv
	return int(n), errno
}

// sendv writes several pieces, at most maxPieces.
func sendv(fd int, pieces []syscall.Iovec) (int, syscall.Errno) {
	header := syscall.Msghdr{Iov: unsafe.SliceData(pieces)} //nolint:gosec // as in recv
	header.Iovlen = uint64(len(pieces))
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&header)), syscall.MSG_NOSIGNAL) //nolint:gosec // as in recv
	return int(n), errno
}

// maxPieces is the kernel's bound on the pieces of a call.
const maxPieces = 1024

// piece describes p, which is not empty, to the kernel.
func piece(p []byte) syscall.Iovec {
	v := syscall.Iovec{Base: unsafe.SliceData(p)} //nolint:gosec // the caller keeps p until the call is over
	v.SetLen(len(p))
	return v
}

// epollPoll asks which sockets are ready now.
func epollPoll(epfd int, events []syscall.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0) //nolint:gosec // as in recv
	return int(n), errno
}

// epollBlock waits for one of the sockets to be ready, at most so many milliseconds.
func epollBlock(epfd int, events []syscall.EpollEvent, ms int) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(ms), 0, 0) //nolint:gosec // as in recv
	return int(n), errno
}

func closeFD(fd int) {
	// Whatever it returns, Linux has closed it.
	_ = syscall.Close(fd)
}

// recvMessages takes as many datagrams as there are and there is room for.
func recvMessages(fd int, m []message) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(len(m)), syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // as in recv
	return int(n), errno
}

// sendMessages sends datagrams, at least one or it is an error.
func sendMessages(fd int, m []message) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(len(m)), syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // as in recv
	return int(n), errno
}
