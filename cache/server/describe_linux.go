//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// describe says what the loops' connections are.
func (ls *loops) describe(say func(connDescription)) {
	for _, l := range ls.all {
		l.describe(say)
	}
}

func (l *loop) describe(say func(connDescription)) {
	l.mu.Lock() // no socket is closed meanwhile
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if c != nil {
			say(c.describe())
		}
	}
}

// describe says what a connection is, whose socket is not closed meanwhile.
func (c *conn) describe() connDescription {
	now := uint32(time.Since(c.loop.srv.started) / time.Second)
	// A client that has just gone has no address any more.
	peer, _ := syscall.Getpeername(c.fd)
	own, _ := syscall.Getsockname(c.fd)
	return connDescription{
		fd: c.fd, state: "conn_read", idle: int(now - min(now, atomic.LoadUint32(&c.seen))),
		address: addressText(addrOf(peer)), listenAddress: addressText(addrOf(own)),
	}
}

func addrOf(sa syscall.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return nil
}
