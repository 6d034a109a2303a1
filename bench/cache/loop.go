package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// loop is a client: many connections to one server, driven by one thread with epoll.
// It shares the machine with what it measures and so must cost little: edge-triggered,
// no second read after a short one, requests built from prepared parts, answers
// compared as they come.
type loop struct {
	*dialect
	load  load
	pick  picker
	udp   bool
	conns []conn

	epoll    int
	events   []unix.EpollEvent
	in       []byte
	turn     int   // exchanges since the last that was a set
	busy     int   // connections with an exchange on the way
	keys     int   // answered
	lost     int   // datagrams that never came
	lastScan int64 // for lost datagrams
	free     ring  // connections without an exchange, in an open loop
}

// load is what a client asks for.
type load struct {
	verb     verb
	batch    int // keys in an exchange
	setEvery int // every so many exchanges one is a set instead; 0: none
}

// conn is a connection. Closed connections are never used again.
type conn struct {
	exchange
	fd       int
	id       uint16 // of the last datagram sent
	unsent   bool   // the socket took only a part of the request
	inFlight bool
	began    int64 // when it was to be sent; with UDP, when it was
}

// epoch is where clock begins.
var epoch = time.Now()

// clock is the time in nanoseconds.
func clock() int64 { return int64(time.Since(epoch)) }

const (
	// stall is how long nothing may come at all.
	stall  = int64(time.Minute)
	inSize = 256 << 10
)

// lostAfter is how long an answer by datagram may take.
var lostAfter = int64(250 * time.Millisecond)

// dial opens the connections, to a TCP port or, with udp, to a UDP port.
func dial(t *items, addr netip.AddrPort, conns int, udp bool) (_ *loop, err error) {
	l := &loop{dialect: newDialect(t), udp: udp, events: make([]unix.EpollEvent, min(conns, 512)), in: make([]byte, inSize)}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	l.conns = make([]conn, 0, conns)
	for i := range conns {
		fd, err := connect(addr, udp)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open connection %d of %d to %s: %w", i+1, conns, addr, err), l.close())
		}
		l.conns = append(l.conns, conn{fd: fd})
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET&math.MaxUint32, Fd: int32(i)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return nil, errors.Join(fmt.Errorf("epoll_ctl: %w", err), l.close())
		}
	}
	return l, nil
}

func connect(addr netip.AddrPort, udp bool) (int, error) {
	kind := unix.SOCK_STREAM
	if udp {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
	if err == nil && !udp {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func (l *loop) close() error {
	var failed []error
	for i := range l.conns {
		failed = append(failed, unix.Close(l.conns[i].fd))
	}
	return errors.Join(append(failed, unix.Close(l.epoll))...)
}

// begin sends the next request of the load. It does nothing when no keys are left.
func (l *loop) begin(c *conn, now int64) error {
	c.verb = l.load.verb
	if l.load.setEvery > 0 {
		if l.turn++; l.turn >= l.load.setEvery {
			l.turn = 0
			c.verb = verbSet
		}
	}
	c.n, c.sent, c.at, c.off, c.began = 0, 0, 0, 0, now
	for c.n < l.load.batch {
		k, ok := l.pick.next()
		if !ok {
			break
		}
		c.keys[c.n] = k
		c.n++
	}
	if c.n == 0 {
		return nil
	}
	c.inFlight = true
	l.busy++
	if l.udp {
		return l.sendDatagram(c)
	}
	return l.send(c)
}

// send sends the request, or goes on with it.
func (l *loop) send(c *conn) error {
	all, err := l.write(c.fd, &c.exchange)
	c.unsent = !all
	return err
}

// sendDatagram sends the request, for the first time or again, under a new number.
func (l *loop) sendDatagram(c *conn) error {
	c.id++
	l.request(&c.exchange)
	n := len(l.out)
	l.out = append(l.out, "12345678"...)
	copy(l.out[frameLen:], l.out[:n])
	putFrame(l.out, c.id)
	c.sent = n
	if sent, err := rawWrite(c.fd, l.out); err != nil || sent != len(l.out) {
		return fmt.Errorf("a datagram of %d bytes: %d sent: %w", len(l.out), sent, err)
	}
	return nil
}

// ready deals with what epoll says of a connection; ended is true when its exchange is
// over.
func (l *loop) ready(c *conn, events uint32) (ended bool, err error) {
	if c.unsent && events&unix.EPOLLOUT != 0 {
		if err := l.send(c); err != nil {
			return false, err
		}
	}
	for {
		n, closed, err := rawRead(c.fd, l.in)
		switch {
		case err != nil:
			return false, err
		case closed:
			return false, errors.New("the server closed the connection")
		case n == 0:
			return ended, nil
		}
		b := l.in[:n]
		if l.udp {
			if b, err = l.frame(c, b); err != nil {
				return false, err
			}
		}
		if !c.inFlight && len(b) > 0 {
			return false, fmt.Errorf("%w: nothing was asked, and %q came", errWrong, clip(b))
		}
		if err := l.take(&c.exchange, b); err != nil {
			return false, err
		}
		if c.inFlight && c.done() {
			c.inFlight = false
			l.busy--
			l.keys += c.n
			ended = true
		}
		if n < len(l.in) && !l.udp || l.udp && ended {
			return ended, nil
		}
	}
}

// frame takes the header off a datagram. What answers an earlier request, which was
// given up, is dropped.
func (l *loop) frame(c *conn, b []byte) ([]byte, error) {
	if len(b) < frameLen {
		return nil, fmt.Errorf("%w: a datagram of %d bytes", errWrong, len(b))
	}
	if binary.BigEndian.Uint16(b) != c.id || !c.inFlight {
		return nil, nil
	}
	if string(b[2:frameLen]) != "\x00\x00\x00\x01\x00\x00" {
		return nil, fmt.Errorf("%w: the frame %x, want datagram 0 of 1", errWrong, b[:frameLen])
	}
	return b[frameLen:], nil
}

// resend sends again what was lost.
func (l *loop) resend(now int64) error {
	if now-l.lastScan < lostAfter/4 {
		return nil
	}
	l.lastScan = now
	for i := range l.conns {
		c := &l.conns[i]
		if c.inFlight && now-c.began > lostAfter {
			l.lost++
			c.at, c.off, c.began = 0, 0, now
			if err := l.sendDatagram(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// span is one stretch of a run: how long it lasted, how many keys were answered in it,
// and what processor time it took.
type span struct {
	wall, client, server time.Duration
	keys, lost           int
}

func (s span) plus(o span) span {
	return span{s.wall + o.wall, s.client + o.client, s.server + o.server, s.keys + o.keys, s.lost + o.lost}
}

// mark is a moment of a run.
type mark struct {
	at, client, server int64
	keys, lost         int
}

func (l *loop) mark(server cpuClock) (mark, error) {
	spent, err := server.read()
	if err != nil {
		return mark{}, err
	}
	own, err := threadClock.read()
	return mark{clock(), own, spent, l.keys, l.lost}, err
}

// measured is what one loop measured, from one mark to the other.
type measured struct{ first, last mark }

// together is what loops measured that ran side by side.
func together(all []measured) span {
	first, last := all[0].first, all[0].last
	var s span
	for _, m := range all {
		if m.first.at < first.at {
			first = m.first
		}
		if m.last.at > last.at {
			last = m.last
		}
		s.client += time.Duration(m.last.client - m.first.client)
		s.keys += m.last.keys - m.first.keys
		s.lost += m.last.lost - m.first.lost
	}
	s.wall, s.server = time.Duration(last.at-first.at), time.Duration(last.server-first.server)
	return s
}

// closed runs a closed loop: each connection sends its next request when it has its
// answers. It warms up until the clock shows from, and is then measured for so long or
// until the keys are used up.
func (l *loop) closed(server cpuClock, from int64, length time.Duration) (m measured, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := clock()
	until := int64(math.MaxInt64) // known once the warming up is over
	var first, last mark
	if from <= now {
		if first, err = l.mark(server); err != nil {
			return m, err
		}
		until = first.at + int64(length)
	}
	for i := range l.conns {
		if err := l.begin(&l.conns[i], now); err != nil {
			return m, err
		}
	}
	lastKeys, lastCame := l.keys, now
	for l.busy > 0 {
		n, err := rawWait(l.epoll, l.events, 100)
		if err != nil {
			return m, err
		}
		now = clock()
		for _, e := range l.events[:n] {
			c := &l.conns[e.Fd]
			ended, err := l.ready(c, e.Events)
			if err == nil && ended && now < until {
				err = l.begin(c, now)
			}
			if err != nil {
				return m, err
			}
		}
		if first.at == 0 && now >= from {
			if first, err = l.mark(server); err != nil {
				return m, err
			}
			until = first.at + int64(length)
		}
		// A thread that was kept waiting so long has measured nothing yet.
		if last.at == 0 && now >= until && l.keys > first.keys {
			if last, err = l.mark(server); err != nil {
				return m, err
			}
		}
		if l.udp {
			if err := l.resend(now); err != nil {
				return m, err
			}
		}
		if l.keys != lastKeys {
			lastKeys, lastCame = l.keys, now
		} else if now-lastCame > stall {
			return m, fmt.Errorf("nothing came for %v; %d of %d connections wait", time.Duration(stall), l.busy, len(l.conns))
		}
	}
	if last.at == 0 { // the keys were used up
		if last, err = l.mark(server); err != nil {
			return m, err
		}
	}
	return measured{first, last}, nil
}

// open runs an open loop: requests are due at random times, so many a second on
// average, whatever has become of those before them. The time from when a request was
// due, be it sent later for want of a free connection, until its last answer goes into
// the histogram. The thread never sleeps.
func (l *loop) open(rate float64, warm, measured time.Duration, h *histogram) error {
	if !(rate > 0) || math.IsInf(rate, 1) {
		return fmt.Errorf("%v requests a second cannot be sent", rate)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	random := rand.New(rand.NewPCG(3, uint64(rate)))
	gap := func() int64 { return int64(random.ExpFloat64() / rate * 1e9) }
	begin := clock()
	from := begin + int64(warm)
	until := from + int64(measured)
	l.free = ring{conns: make([]int32, len(l.conns))}
	for i := range l.conns {
		l.free.push(int32(i))
	}
	due, lastCame := begin, begin
	for {
		now := clock()
		for due <= now && due < until && l.free.n > 0 {
			if err := l.begin(&l.conns[l.free.pop()], due); err != nil {
				return err
			}
			due += gap()
		}
		if due >= until && l.busy == 0 {
			return nil
		}
		n, err := rawWait(l.epoll, l.events, 0)
		if err != nil {
			return err
		}
		for _, e := range l.events[:n] {
			c := &l.conns[e.Fd]
			ended, err := l.ready(c, e.Events)
			if err != nil {
				return err
			}
			if !ended {
				continue
			}
			lastCame = clock()
			if c.began >= from {
				h.add(lastCame - c.began)
			}
			l.free.push(e.Fd)
		}
		if l.busy == 0 {
			lastCame = now
		} else if now-lastCame > stall {
			return fmt.Errorf("nothing came for %v; %d of %d connections wait", time.Duration(stall), l.busy, len(l.conns))
		}
	}
}

// ring is a queue of connections; it holds as many as there are.
type ring struct {
	conns   []int32
	head, n int
}

func (r *ring) push(i int32) {
	r.conns[(r.head+r.n)%len(r.conns)] = i
	r.n++
}

func (r *ring) pop() int32 {
	i := r.conns[r.head]
	r.head = (r.head + 1) % len(r.conns)
	r.n--
	return i
}
