// Package server serves memcached's protocols over a store. What comes in is a store and
// the places to listen on; what goes out are answers as memcached gives them. The
// protocol is a function from bytes to bytes (Session), and does no I/O; transports drive
// it: event loops of their own threads (Linux), a goroutine for each connection (TLS,
// other systems), datagrams.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
)

// Server serves a store to the clients of its listeners.
type Server struct {
	options Options
	store   *cache.Store
	logger  *slog.Logger

	listeners []*listener
	certs     *certificates  // nil: no endpoint is encrypted
	auth      *authenticator // nil: nobody has to say who they are
	started   time.Time

	// conns counts what the transports do.
	conns connCounts

	// tallies are of the loops, and behind them of the streams and of datagrams. There
	// are no others.
	tallies []*tally

	loops *loops
	// streams are served by a goroutine each.
	streams streams

	// freed has an element when a connection has ended, for those who wait for that.
	freed chan struct{}

	// verbosity and crawlerOff are what clients last asked for; neither changes anything.
	verbosity  atomic.Int32
	crawlerOff atomic.Bool
	watchers   watchers

	stopOnce sync.Once
	stop     chan struct{} // closed by Shutdown
}

// connCounts are the transports' counters, for stats and metrics. Any goroutine may read
// them.
type connCounts struct {
	current    atomic.Int64 // clients' connections
	total      atomic.Uint64
	rejected   atomic.Uint64 // over the limit
	structures atomic.Int64  // connections there is memory for, used or not
	idleKicks  atomic.Uint64
	yields     atomic.Uint64 // turns that ended before the work did
	disabled   atomic.Uint64 // times that the limit made others wait in the backlog
	disabledNs atomic.Int64  // for how long
	accepting  atomic.Bool

	held     atomic.Int64  // bytes of answers and unfinished commands that wait
	pinned   atomic.Int64  // bytes of values that wait to be sent
	partial  atomic.Int64  // bytes of values that are half received
	slowCuts atomic.Uint64 // closed for holding such memory too long

	handshakeErrors atomic.Uint64
	protocolErrors  atomic.Uint64
	tlsSessions     atomic.Uint64
	datagrams       atomic.Uint64
	badDatagrams    atomic.Uint64
}

const (
	// lingerBytes and Options.lingerSeconds bound what is discarded of a client to which
	// all has been said.
	lingerBytes = 4 << 20
	// drainRead is for how long a client may say nothing, when the server stops, before it
	// is taken to have no more to say.
	drainRead = 100 * time.Millisecond
)

// slowBytes is what a connection must move in Options.slowSeconds: else it holds what it
// holds in vain.
const slowBytes = 64 << 10

// holdings is what is kept for clients that decide for how long, in bytes: beginnings of
// commands and answers, values that are being sent, values that are being received.
type holdings struct{ held, pinned, partial int64 }

func (h *holdings) add(o holdings) {
	h.held += o.held
	h.pinned += o.pinned
	h.partial += o.partial
}

// tooMuch reports whether there is too much of something that a connection holds, also
// without what is going already. Of values being received, half of what the store gives
// for them: the other half is for those who finish.
func (srv *Server) tooMuch(own, going holdings) bool {
	totals, share := &srv.conns, srv.options.Memory/8
	return own.held > 0 && totals.held.Load()-going.held > srv.options.heldBound ||
		own.pinned > 0 && totals.pinned.Load()-going.pinned > share ||
		own.partial > 0 && totals.partial.Load()-going.partial > share/2
}

// New binds the listeners of a server; it accepts nobody before Run. The store stays the
// caller's, who closes it after Run.
func New(options Options, store *cache.Store, logger *slog.Logger) (*Server, error) {
	srv := &Server{options: options.withDefaults(), store: store, logger: logger, started: time.Now(), stop: make(chan struct{}), freed: make(chan struct{}, 1)}
	for range srv.options.Threads + streamTallies {
		srv.tallies = append(srv.tallies, new(tally))
	}
	if err := srv.prepare(); err != nil {
		return nil, errors.Join(err, srv.closeListeners())
	}
	return srv, nil
}

func (srv *Server) prepare() (err error) {
	encrypted := false
	for _, file := range srv.options.Inherited {
		l, err := inherit(file)
		if err != nil {
			return err
		}
		srv.listeners = append(srv.listeners, l)
		if l.Listener != nil {
			l.tls = srv.options.InheritedTLS
			encrypted = encrypted || l.tls != TLSOff
		}
	}
	for _, at := range srv.options.Endpoints {
		bound, err := bind(at, srv.options.Backlog)
		srv.listeners = append(srv.listeners, bound...)
		if err != nil {
			return err
		}
		encrypted = encrypted || at.TLS != TLSOff
	}
	if len(srv.listeners) == 0 {
		return errors.New("nowhere to listen: neither endpoints nor inherited sockets")
	}
	if encrypted {
		if srv.certs, err = newCertificates(srv.options.TLS); err != nil {
			return err
		}
	}
	if srv.options.AuthFile != "" {
		if srv.auth, err = newAuthenticator(srv.options.AuthFile); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the listeners of a server that was never run.
func (srv *Server) Close() error { return srv.closeListeners() }

func (srv *Server) closeListeners() error {
	var errs []error
	for _, l := range srv.listeners {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, or Shutdown or a client with leave to do so says stop. Then
// it accepts nobody any more, answers what has been received, and closes, within the
// options' DrainTimeout.
func (srv *Server) Run(ctx context.Context) error {
	loops, err := startLoops(srv)
	if err != nil {
		return errors.Join(fmt.Errorf("start the event loops: %w", err), srv.closeListeners())
	}
	srv.loops = loops
	srv.conns.accepting.Store(true)
	var accepting, reaping sync.WaitGroup
	reaped := make(chan struct{})
	if srv.haveStreams() {
		reaping.Go(func() { srv.streams.reap(reaped) })
	}
	for _, l := range srv.listeners {
		accepting.Go(func() { srv.serve(l) })
	}
	select {
	case <-ctx.Done():
	case <-srv.stop:
	}
	srv.Shutdown()
	err = srv.closeListeners()
	accepting.Wait()
	deadline := time.Now().Add(srv.options.DrainTimeout)
	srv.streams.drain(deadline)
	close(reaped)
	reaping.Wait()
	srv.loops.drain(deadline)
	return err
}

// Shutdown makes Run stop and return. Any goroutine may call it, more than once.
func (srv *Server) Shutdown() { srv.stopOnce.Do(func() { close(srv.stop) }) }

// Reload reads the authentication file and the certificates again. What cannot be read
// stays as it was.
func (srv *Server) Reload() error {
	var errs []error
	if srv.auth != nil {
		errs = append(errs, srv.auth.load())
	}
	if srv.certs != nil {
		errs = append(errs, srv.certs.refresh())
	}
	return errors.Join(errs...)
}

// refreshCerts is the refresh_certs command.
func (srv *Server) refreshCerts() error {
	if srv.certs == nil {
		return errNoTLS
	}
	return srv.certs.refresh()
}

// waker is how a session that has something to say without having been asked calls its
// transport: Session.Consume is then called soon, if Session.More still holds. Any
// goroutine may call it; it does not wait.
type waker interface{ wake() }
