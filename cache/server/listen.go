package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// listener is a bound socket.
type listener struct {
	net.Listener                // of connections; nil for datagrams
	packets      net.PacketConn // of datagrams; nil otherwise
	// file is of the same socket: the net package lets nobody accept but itself.
	file    *os.File
	raw     syscall.RawConn // file's
	address net.Addr
	taken   bool // by the event loops: a socket for datagrams
	tls     TLSMode
	tag     string
}

// open makes l.file and l.raw.
func (l *listener) open() (err error) {
	l.file, err = l.Listener.(interface{ File() (*os.File, error) }).File() //nolint:errcheck // net's listeners have one
	if err == nil {
		l.raw, err = l.file.SyscallConn()
	}
	return err
}

func (l *listener) close() error {
	var errs []error
	closing := func(c io.Closer) {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if l.file != nil {
		closing(l.file)
	}
	if l.Listener != nil {
		closing(l.Listener)
	} else {
		closing(l.packets)
	}
	return errors.Join(errs...)
}

// Addrs are the addresses listened on, in the order of the options.
func (srv *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(srv.listeners))
	for i, l := range srv.listeners {
		addrs[i] = l.address
	}
	return addrs
}

// inherit takes over a socket that listens already.
func inherit(file *os.File) (*listener, error) {
	l, streamErr := net.FileListener(file)
	if streamErr == nil {
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the file is its maker's
		}
		return &listener{Listener: l, address: l.Addr()}, file.Close()
	}
	p, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("take over the inherited socket %s: it neither listens (%w) nor takes datagrams (%w)", file.Name(), streamErr, err)
	}
	return &listener{packets: p, address: p.LocalAddr()}, file.Close()
}

// bind listens on every address of an endpoint. What was bound before an error is
// returned with it.
func bind(at Endpoint, backlog int) ([]*listener, error) {
	if at.Network == "unix" {
		l, err := bindUnix(at, backlog)
		if err != nil {
			return nil, fmt.Errorf("listen on Unix socket %s: %w", at.Path, err)
		}
		return []*listener{{Listener: l, address: l.Addr(), tls: at.TLS, tag: at.Tag}}, nil
	}
	hosts, err := resolve(at.Host)
	if err != nil {
		return nil, fmt.Errorf("listen on %s port %d of %q: %w", at.Network, at.Port, at.Host, err)
	}
	var bound []*listener
	for _, host := range hosts {
		l, err := bindAddr(at, host, backlog)
		if err != nil {
			return bound, fmt.Errorf("listen for mccache: %w", err)
		}
		bound = append(bound, l)
	}
	return bound, nil
}

// resolve gives the addresses of a name; an empty name is all addresses there are.
func resolve(host string) ([]string, error) {
	if host == "" {
		return []string{""}, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	return net.DefaultResolver.LookupHost(context.Background(), host)
}

func bindAddr(at Endpoint, host string, backlog int) (*listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(at.Port))
	var lc net.ListenConfig
	if at.Network == "udp" {
		p, err := lc.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			return nil, err
		}
		return &listener{packets: p, address: p.LocalAddr(), tag: at.Tag}, nil
	}
	// The event loops accept without the net package: what it would set on each
	// connection is set here, and inherited.
	lc.Control = func(_, _ string, c syscall.RawConn) error { return control(c, setStreamOptions) }
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	tcp := l.(*net.TCPListener) //nolint:errcheck // that is what listening on tcp gives
	if err := setBacklog(tcp, backlog); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &listener{Listener: l, address: l.Addr(), tls: at.TLS, tag: at.Tag}, nil
}

func bindUnix(at Endpoint, backlog int) (net.Listener, error) {
	// A socket that a killed server has left is in the way; anything else stays.
	if info, err := os.Lstat(at.Path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(at.Path); err != nil {
			return nil, err
		}
	}
	l, err := listenMasked(at.Path, at.Mask)
	if err != nil {
		return nil, err
	}
	if err := setBacklog(l, backlog); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// setBacklog replaces the length of the queue of those not accepted yet, which the net
// package takes from the system.
func setBacklog(l syscall.Conn, backlog int) error {
	c, err := l.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(fd int) error { return os.NewSyscallError("listen", syscall.Listen(fd, backlog)) })
}

// control runs f on the socket and hands on its error.
func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// setStreamOptions is for sockets whose connections are answered command by command.
func setStreamOptions(fd int) error {
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	return os.NewSyscallError("setsockopt SO_KEEPALIVE", syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1))
}
