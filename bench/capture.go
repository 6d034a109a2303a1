package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// capture counts the deletes in each TCP segment that goes to a port of the
// loopback interface. It needs the right to open packet sockets (CAP_NET_RAW).
type capture struct {
	fd      int
	stopped atomic.Bool
	done    sync.WaitGroup
	counts  []float64 // of deletes, for each segment that has any
	err     error
}

// startCapture begins to count. The error is unix.EPERM where that is not allowed.
func startCapture(port int) (_ *capture, err error) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find the loopback interface: %w", err)
	}
	ip := binary.BigEndian.Uint16([]byte{unix.ETH_P_IP & 0xff, unix.ETH_P_IP >> 8}) // in network order
	// SOCK_DGRAM: packets come without a link's header, which on this interface says nothing.
	// None does before it is bound, when the filter is in its place (packet(7)): what others
	// send meanwhile would be counted.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		return nil, fmt.Errorf("make room for packets: %w", err)
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, toPort(port)); err != nil {
		return nil, fmt.Errorf("filter packets: %w", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
		return nil, fmt.Errorf("bound the wait for packets: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: lo.Index}); err != nil {
		return nil, fmt.Errorf("listen on the loopback interface: %w", err)
	}
	c := &capture{fd: fd}
	c.done.Go(func() { c.err = c.read() })
	return c, nil
}

// toPort is the filter for TCP segments to a port, in the kernel's language
// (socket(7), SO_ATTACH_FILTER): whatever else goes over the interface is not ours.
func toPort(port int) *unix.SockFprog {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9}, // the protocol
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_TCP, Jf: 4},
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // the length of the IP header
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},  // the destination's port
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(port), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}, // all of it
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
}

// stop ends the counting and gives how many deletes each segment had.
func (c *capture) stop() ([]float64, error) {
	c.stopped.Store(true)
	c.done.Wait()
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && stats.Drops > 0 {
		err = fmt.Errorf("%d packets came too fast to be counted", stats.Drops)
	}
	return c.counts, errors.Join(c.err, err, unix.Close(c.fd))
}

// read reads packets until it is stopped and none is left.
func (c *capture) read() error {
	buf := make([]byte, 128<<10)
	for {
		n, from, err := unix.Recvfrom(c.fd, buf, 0)
		switch {
		case err == unix.EAGAIN:
			if c.stopped.Load() {
				return nil
			}
			continue
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("read a packet: %w", err)
		}
		// The interface shows every packet twice: sent, and received.
		if l, ok := from.(*unix.SockaddrLinklayer); !ok || l.Pkttype != unix.PACKET_HOST {
			continue
		}
		payload := payloadOf(buf[:n])
		if bytes.HasPrefix(payload, []byte("version")) || bytes.HasPrefix(payload, []byte("mn")) {
			continue // how a connection begins
		}
		if deletes := bytes.Count(payload, []byte("\n")); deletes > 0 {
			c.counts = append(c.counts, float64(deletes))
		}
	}
}

// payloadOf is what a TCP segment carries (RFC 791, RFC 9293), given from its IP
// header on.
func payloadOf(packet []byte) []byte {
	if len(packet) < 20 {
		return nil
	}
	// A length of 0 is more than 64 KiB that is not cut up yet.
	if n := int(binary.BigEndian.Uint16(packet[2:])); n > 0 {
		packet = packet[:min(n, len(packet))]
	}
	segment := packet[min(len(packet), int(packet[0]&0xf)*4):]
	if len(segment) < 20 {
		return nil
	}
	return segment[min(len(segment), int(segment[12]>>4)*4):]
}
