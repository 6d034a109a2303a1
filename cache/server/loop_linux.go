//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// haveLoops says that connections are served by event loops.
const haveLoops = true

// loops serve unencrypted connections: each has a thread of its own, which waits for any
// of its sockets, reads what has come, answers it, and goes on to the next. A connection
// stays with one loop. So nothing is handed from one thread to another for an operation,
// no lock is contended, and all connections of a loop share its buffers.
type loops struct {
	all     []*loop
	sockets []int // for datagrams
	ended   sync.WaitGroup
}

// loop is one of them. What has no guard is its own thread's.
type loop struct {
	srv   *Server
	tally *tally
	epfd  int
	bell  int // an eventfd: something is in inbox, poked or draining

	in     []byte // what is being read, and before it what was left of it last time
	out    Output // what is being answered
	vector []syscall.Iovec
	events [maxEvents]syscall.EpollEvent

	ready   []*conn // have work though nothing comes: their turn was over before it
	again   []*conn // ready, while it is worked through
	udp     []*udpSocket
	holders holders // connections that hold memory between turns
	spare   []*conn // closed ones, to be used again
	now     uint32  // seconds since the server started, coarsely
	ticked  uint32  // now, of the last tick

	count    atomic.Int64 // connections, those in inbox too
	draining atomic.Int64 // when to give up, in nanoseconds since the server started; 0: serving

	mu     sync.Mutex
	rang   bool    // guarded by mu: bell is set
	inbox  []int   // guarded by mu: sockets to take over
	poked  []*conn // guarded by mu: have something to say
	conns  []*conn // by socket; written under mu by the loop, which alone reads without
	closed bool    // guarded by mu: nobody looks into inbox any more
}

const (
	maxEvents = 256
	// readSize is how much is read at once, and about how much one connection is given
	// in one turn: other connections wait meanwhile. It is a few hundred microseconds of
	// the shortest commands.
	readSize = 64 << 10
	// lineSize is how much is read of a connection that sends large values, beside what
	// goes straight into one.
	lineSize = 2 << 10
	// turnBound is how many bytes of answers and large values one connection may move
	// before others have their turn.
	turnBound = 256 << 10
	// busyFrom is how many events make a loop busy.
	busyFrom = 4
	// clockEvery is after how many rounds of a busy loop the clock is read.
	clockEvery = 32
	// spareConns is how many closed connections are kept for new ones.
	spareConns = 256
)

// startLoops starts a loop for each thread.
func startLoops(srv *Server) (*loops, error) {
	ls := &loops{}
	for i := range srv.options.Threads {
		l, err := newLoop(srv, srv.tallies[i])
		if err != nil {
			return nil, ls.abandon(err)
		}
		ls.all = append(ls.all, l)
	}
	for _, from := range srv.listeners {
		if from.packets == nil {
			if err := from.open(); err != nil {
				return nil, ls.abandon(err)
			}
			continue
		}
		fd, err := takeDatagrams(from)
		if err != nil {
			return nil, ls.abandon(err)
		}
		ls.sockets = append(ls.sockets, fd)
		for _, l := range ls.all {
			l.udp = append(l.udp, newUDPSocket(srv, l.tally, fd))
			if err := l.watch(fd, syscall.EPOLLIN|unix.EPOLLEXCLUSIVE, syscall.EPOLL_CTL_ADD); err != nil {
				return nil, ls.abandon(err)
			}
		}
	}
	for _, l := range ls.all {
		ls.ended.Go(l.run)
	}
	return ls, nil
}

// abandon gives back what loops have that do not run yet, and hands on why.
func (ls *loops) abandon(why error) error {
	for _, l := range ls.all {
		l.close()
	}
	for _, fd := range ls.sockets {
		closeFD(fd)
	}
	return why
}

func newLoop(srv *Server, t *tally) (*loop, error) {
	epfd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		closeFD(epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{srv: srv, tally: t, epfd: epfd, bell: bell}
	if err := l.watch(bell, syscall.EPOLLIN, syscall.EPOLL_CTL_ADD); err != nil {
		closeFD(bell)
		closeFD(epfd)
		return nil, err
	}
	l.in = make([]byte, inputBound+readSize)
	l.vector = make([]syscall.Iovec, 0, maxPieces)
	return l, nil
}

func (l *loop) watch(fd int, events uint32, op int) error {
	e := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.epfd, op, fd, &e))
}

// add hands a socket to the loop with the fewest connections.
func (ls *loops) add(fd int) {
	least := ls.all[0]
	for _, l := range ls.all[1:] {
		if l.count.Load() < least.count.Load() {
			least = l
		}
	}
	least.take(fd)
}

func (l *loop) take(fd int) {
	l.count.Add(1)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.forget(fd)
		return
	}
	l.inbox = append(l.inbox, fd)
	l.ringLocked()
	l.mu.Unlock()
}

// poke has a connection's session asked what it has to say.
func (l *loop) poke(c *conn) {
	l.mu.Lock()
	if !l.closed {
		l.poked = append(l.poked, c)
		l.ringLocked()
	}
	l.mu.Unlock()
}

// ringLocked makes the loop look at what is guarded by mu, which the caller holds.
func (l *loop) ringLocked() {
	if l.rang {
		return
	}
	l.rang = true
	one := [8]byte{0: 1} // little-endian, as all of these systems are
	// It cannot fail: the counter is 0, and the loop closes it under mu.
	_, _ = syscall.Write(l.bell, one[:])
}

// drain lets every loop answer what has been received, and waits until they have closed
// all connections.
func (ls *loops) drain(deadline time.Time) {
	for _, l := range ls.all {
		l.draining.Store(max(1, int64(deadline.Sub(l.srv.started))))
		l.mu.Lock()
		if !l.closed {
			l.ringLocked()
		}
		l.mu.Unlock()
	}
	ls.ended.Wait()
	for _, fd := range ls.sockets {
		closeFD(fd)
	}
}

func (l *loop) run() {
	// The thread is the loop's alone: the scheduler would otherwise move it to another
	// one, with cold caches, whenever it waits.
	runtime.LockOSThread()
	defer l.close()
	l.readClock()
	// A round that many events began is likely to have let others come meanwhile: these
	// are asked for without telling Go's scheduler. After few, asking in vain would cost
	// more than telling it.
	busy := false
	for rounds := 0; ; rounds++ {
		var n int
		var errno syscall.Errno
		if busy || len(l.ready) > 0 {
			n, errno = epollPoll(l.epfd, l.events[:])
		}
		if n == 0 && errno == 0 && len(l.ready) == 0 {
			n, errno = epollBlock(l.epfd, l.events[:], l.patience())
			l.readClock()
		} else if rounds%clockEvery == 0 {
			l.readClock()
		}
		if errno != 0 {
			if errno != syscall.EINTR {
				// The descriptor is good and so is the memory: there is nothing else it
				// could say.
				l.srv.logger.Error("an event loop cannot wait for its connections; it ends, and the server with it", "error", errno)
				l.srv.Shutdown()
				return
			}
			n = 0
		}
		busy = n >= busyFrom
		l.dispatch(l.events[:n])
		l.continueReady()
		if l.now != l.ticked {
			l.ticked = l.now
			l.tick()
		}
		if l.draining.Load() != 0 && l.drained() {
			return
		}
	}
}

// patience is for how long nothing has to be looked after, in milliseconds; -1: until
// something comes.
func (l *loop) patience() int {
	if l.draining.Load() != 0 {
		return 20
	}
	if l.holders.first != nil || l.srv.options.IdleTimeout > 0 && l.count.Load() > 0 {
		return 1000
	}
	return -1
}

func (l *loop) readClock() { l.now = uint32(time.Since(l.srv.started) / time.Second) }

func (l *loop) dispatch(events []syscall.EpollEvent) {
	for i := range events {
		fd := int(events[i].Fd)
		if fd == l.bell {
			l.answerBell()
			continue
		}
		if len(l.udp) > 0 && l.udpEvent(fd) {
			continue
		}
		// A connection may have been closed earlier in this round. If its socket's number
		// has a new one already, that is looked at in vain.
		if fd < len(l.conns) && l.conns[fd] != nil {
			l.event(l.conns[fd])
		}
	}
}

// udpEvent serves the socket for datagrams that fd is, and reports whether it is one.
func (l *loop) udpEvent(fd int) bool {
	for _, u := range l.udp {
		if u.fd == fd {
			u.serve()
			return true
		}
	}
	return false
}

// event is called when a connection's socket is ready for what it waits for.
func (l *loop) event(c *conn) {
	switch {
	case c.lingering:
		l.discard(c)
	case c.blocked:
		if l.resume(c) {
			l.serve(c, false)
		}
	case c.queued:
		// It has answers to give before anything more is read, which might be the end:
		// it gets its turn in this round.
	default:
		l.serve(c, true)
	}
}

// continueReady gives a turn to each connection that was interrupted.
func (l *loop) continueReady() {
	if len(l.ready) == 0 {
		return
	}
	l.ready, l.again = l.again[:0], l.ready
	for i, c := range l.again {
		l.again[i] = nil
		c.queued = false
		if c.open && !c.blocked && !c.lingering {
			l.serve(c, false)
		}
	}
}

// enqueue gives c another turn after the others have had theirs.
func (l *loop) enqueue(c *conn) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}

func (l *loop) answerBell() {
	l.mu.Lock()
	l.rang = false
	var count [8]byte
	_, _ = syscall.Read(l.bell, count[:]) // it is set
	inbox, poked := l.inbox, l.poked
	l.inbox, l.poked = nil, nil
	l.mu.Unlock()
	for _, fd := range inbox {
		l.adopt(fd)
	}
	for _, c := range poked {
		if c.open {
			l.enqueue(c)
		}
	}
}

// adopt begins to serve a socket.
func (l *loop) adopt(fd int) {
	var c *conn
	if n := len(l.spare); n > 0 {
		c = l.spare[n-1]
		l.spare[n-1] = nil
		l.spare = l.spare[:n-1]
	} else {
		c = new(conn)
		l.srv.conns.structures.Add(1)
	}
	*c = conn{loop: l, fd: fd, open: true, seen: l.now, session: *newSession(l.srv, l.tally)}
	c.session.waker, c.session.fd = c, fd
	l.mu.Lock()
	if fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, fd+1-len(l.conns))...)
	}
	l.conns[fd] = c
	l.mu.Unlock()
	l.srv.tellConn(c.describe, "conn_new", endedNot)
	if err := l.watch(fd, syscall.EPOLLIN, syscall.EPOLL_CTL_ADD); err != nil {
		l.srv.logger.Warn("a new connection cannot be watched and is closed", "error", err)
		l.shut(c)
	}
}

// shut closes a connection and forgets it.
func (l *loop) shut(c *conn) {
	c.open = false
	l.unhold(c)
	c.session.Close()
	l.srv.tellConn(c.describe, "conn_close", c.ending)
	l.mu.Lock()
	l.conns[c.fd] = nil
	l.forget(c.fd)
	l.mu.Unlock()
	if len(l.spare) < spareConns && !c.queued {
		l.spare = append(l.spare, c)
	} else {
		l.srv.conns.structures.Add(-1)
	}
}

// forget closes a socket that counts as a connection.
func (l *loop) forget(fd int) {
	closeFD(fd)
	l.count.Add(-1)
	l.srv.release()
}

// tick is called once a second while anything has to be looked after.
func (l *loop) tick() {
	l.reap()
	idle := uint32(l.srv.options.IdleTimeout / time.Second)
	if idle == 0 {
		return
	}
	for _, c := range l.conns {
		if c != nil && !c.blocked && !c.lingering && !c.queued && l.now-c.seen > idle && !c.session.Watching() && !inputWaits(c.fd) {
			l.srv.conns.idleKicks.Add(1)
			c.ending = endedIdle
			l.shut(c)
		}
	}
}

// drained answers what has come, closes what has nothing to wait for, and reports
// whether nothing is left or it is time to give up.
func (l *loop) drained() bool {
	for _, u := range l.udp {
		_ = l.watch(u.fd, 0, syscall.EPOLL_CTL_DEL) // it is there
	}
	l.udp = nil
	l.answerBell()
	for _, c := range l.conns {
		switch {
		case c == nil || c.blocked || c.queued:
			continue
		case c.lingering:
			if l.quiet(c) {
				l.discard(c) // what came just now, while this thread stood still
				if c.open && l.quiet(c) {
					l.shut(c)
				}
			}
			continue
		}
		l.serve(c, true)
		if !c.open || c.blocked || c.lingering || c.queued {
			continue
		}
		c.ending = endedByShutdown
		if c.seen+1 < l.now {
			l.shut(c)
		} else {
			l.linger(c, true) // it may be about to say more
		}
	}
	return l.count.Load() == 0 || int64(time.Since(l.srv.started)) > l.draining.Load()
}

// quiet tells whether a client that lingers has said nothing for a while.
func (l *loop) quiet(c *conn) bool { return time.Since(l.srv.started)-c.hold.heard > drainRead }

// close gives back everything; it is the last the loop does.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	inbox := l.inbox
	l.inbox, l.poked = nil, nil
	closeFD(l.bell)
	l.mu.Unlock()
	for _, fd := range inbox {
		l.forget(fd)
	}
	for _, c := range l.conns {
		if c != nil {
			c.ending = endedByShutdown
			l.shut(c)
		}
	}
	l.out.Release(l.srv.store)
	closeFD(l.epfd)
}

// acceptAll hands every connection of a listener to a loop, until it is closed.
func (srv *Server) acceptAll(l *listener) {
	for {
		var fd uintptr
		var errno syscall.Errno
		if l.raw.Read(func(socket uintptr) bool {
			fd, _, errno = syscall.RawSyscall6(syscall.SYS_ACCEPT4, socket, 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
			return errno != syscall.EAGAIN
		}) != nil {
			return // closed
		}
		switch {
		case errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOBUFS || errno == syscall.ENOMEM:
			if !srv.pause(errno) {
				return
			}
		case errno != 0:
			// The client is gone already, or was interrupted; the next one is not.
		case srv.admit():
			srv.loops.add(int(fd))
		default:
			_, _ = send(int(fd), []byte(tooMany)) // as far as it goes
			closeFD(int(fd))
		}
		if !srv.waitForRoom() {
			return
		}
	}
}
