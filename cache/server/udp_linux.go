//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udpSocket is a loop's view of a socket for datagrams, which all loops share: whichever
// comes first takes as many requests as there are, up to udpBatch, and answers them.
type udpSocket struct {
	datagrams

	fd       int
	buffers  []byte // udpBatch of maxRequest bytes
	froms    [udpBatch]syscall.RawSockaddrInet6
	pieces   [udpBatch]syscall.Iovec
	requests [udpBatch]message

	frames  []byte // answers, datagram behind datagram
	answers []message
	outs    []syscall.Iovec
}

// message is the kernel's mmsghdr.
type message struct {
	header syscall.Msghdr
	size   uint32
	_      [4]byte
}

const (
	// udpBatch is how many requests are taken at once.
	udpBatch = 32
	// udpFlush is how many bytes of answers are gathered before they are sent.
	udpFlush = 128 << 10
)

func newUDPSocket(srv *Server, t *tally, fd int) *udpSocket {
	u := &udpSocket{datagrams: datagrams{srv: srv, tally: t}, fd: fd, buffers: make([]byte, udpBatch*maxRequest)}
	for i := range u.requests {
		u.pieces[i] = piece(u.buffers[i*maxRequest : (i+1)*maxRequest])
		h := &u.requests[i].header
		h.Name = (*byte)(unsafe.Pointer(&u.froms[i])) //nolint:gosec // u stays where it is, and the kernel knows the size
		h.Iov = &u.pieces[i]
		h.Iovlen = 1
	}
	return u
}

// takeDatagrams gives the socket of a listener to the loops. The net package's own hold
// on it would be woken by every datagram, so that is given up.
func takeDatagrams(l *listener) (fd int, err error) {
	raw, err := l.packets.(syscall.Conn).SyscallConn() //nolint:errcheck // net's are such
	if err != nil {
		return 0, err
	}
	err = control(raw, func(socket int) error {
		fd, err = unix.FcntlInt(uintptr(socket), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	})
	if err != nil {
		return 0, err
	}
	l.taken = true
	if err := l.packets.Close(); err != nil {
		closeFD(fd)
		return 0, err
	}
	return fd, nil
}

// serve answers the requests that have come, up to udpBatch.
func (u *udpSocket) serve() {
	for i := range u.requests {
		u.requests[i].header.Namelen = uint32(unsafe.Sizeof(u.froms[i]))
	}
	n, errno := recvMessages(u.fd, u.requests[:])
	if errno != 0 {
		return // another loop was first, or an answer could not be delivered
	}
	u.frames, u.answers, u.outs = u.frames[:0], u.answers[:0], u.outs[:0]
	for i := range n {
		request := &u.requests[i]
		if request.header.Flags&syscall.MSG_TRUNC != 0 {
			u.srv.conns.badDatagrams.Add(1)
			continue
		}
		before := len(u.frames)
		u.frames = u.answer(u.buffers[i*maxRequest:][:request.size], u.frames)
		for at := before; at < len(u.frames); at += maxDatagram {
			size := min(maxDatagram, len(u.frames)-at)
			// Where the bytes lie is filled in by flush: frames may have to move.
			u.outs = append(u.outs, syscall.Iovec{Len: uint64(size)})
			u.answers = append(u.answers, message{header: syscall.Msghdr{Name: request.header.Name, Namelen: request.header.Namelen, Iovlen: 1}})
		}
		if len(u.frames) >= udpFlush {
			u.flush()
		}
	}
	u.flush()
}

// flush sends what is in frames. What the socket does not take is lost, as datagrams may
// be.
func (u *udpSocket) flush() {
	at := 0
	for i := range u.answers {
		u.outs[i].Base = &u.frames[at]
		u.answers[i].header.Iov = &u.outs[i]
		at += int(u.outs[i].Len)
	}
	for left := u.answers; len(left) > 0; {
		n, errno := sendMessages(u.fd, left)
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 {
			n = 1 // the first one cannot be delivered; the others may
		}
		left = left[n:]
	}
	u.frames, u.answers, u.outs = u.frames[:0], u.answers[:0], u.outs[:0]
}
