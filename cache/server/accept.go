package server

import (
	"errors"
	"net"
	"slices"
	"time"
)

// tooMany is what a connection over the limit is told.
const tooMany = "ERROR Too many open connections\r\n"

// serve accepts a listener's clients until it is closed.
func (srv *Server) serve(l *listener) {
	switch {
	case l.taken: // the event loops have it
	case l.packets != nil:
		srv.serveDatagrams(l)
	case l.streamed():
		srv.acceptStreams(l)
	default:
		srv.acceptAll(l)
	}
}

// streamed reports whether a goroutine serves each of a listener's connections.
func (l *listener) streamed() bool {
	return l.packets == nil && (l.tls != TLSOff || !haveLoops)
}

func (srv *Server) haveStreams() bool {
	return slices.ContainsFunc(srv.listeners, (*listener).streamed)
}

// admit counts a connection in, unless there are too many. Whoever was admitted calls
// release.
func (srv *Server) admit() bool {
	c := &srv.conns
	if c.current.Add(1) > int64(srv.options.MaxConns) {
		c.current.Add(-1)
		c.rejected.Add(1)
		return false
	}
	c.total.Add(1)
	return true
}

func (srv *Server) release() {
	srv.conns.current.Add(-1)
	select {
	case srv.freed <- struct{}{}:
	default:
	}
}

// waitForRoom waits while there are as many connections as there may be, where that is
// what the options want, and reports whether the server is still to accept.
func (srv *Server) waitForRoom() bool {
	full := func() bool { return srv.conns.current.Load() >= int64(srv.options.MaxConns) }
	if !srv.options.WaitAtLimit || !full() {
		return true
	}
	began := time.Now()
	srv.conns.disabled.Add(1)
	srv.conns.accepting.Store(false)
	defer func() {
		srv.conns.disabledNs.Add(int64(time.Since(began)))
		srv.conns.accepting.Store(true)
	}()
	for full() {
		select {
		case <-srv.freed:
		case <-srv.stop:
			return false
		}
	}
	return true
}

// pause waits after the system could not give another socket, and reports whether the
// server is still to accept.
func (srv *Server) pause(err error) bool {
	srv.logger.Warn("a connection cannot be accepted; trying again", "error", err)
	began := time.Now()
	srv.conns.disabled.Add(1)
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-srv.freed:
	case <-timer.C:
	case <-srv.stop:
		return false
	}
	srv.conns.disabledNs.Add(int64(time.Since(began)))
	return true
}

// acceptStreams gives every connection of a listener a goroutine, until it is closed.
func (srv *Server) acceptStreams(l *listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !srv.pause(err) {
				return
			}
		case srv.admit():
			srv.streams.start(srv, c, l.tls)
		default:
			if l.tls == TLSOff {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = c.Write([]byte(tooMany)) // as far as it goes
			}
			_ = c.Close()
		}
		if !srv.waitForRoom() {
			return
		}
	}
}
