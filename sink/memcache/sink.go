package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/backoff"
	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/sampling"
)

// Config says what a Sink delivers to and how. Its fields are read only.
type Config struct {
	// Cluster is the name in logs and metrics.
	Cluster string
	// Targets are addresses (host:port, or a Unix socket's path) of which any one
	// suffices: the next takes over when one fails. A cluster of plain servers,
	// each of which is to get every delete, takes a Sink for each.
	Targets []string
	// Second: what is delivered was delivered before, some time ago, so that how late it
	// is says nothing.
	Second bool
	// Servers: the targets are servers and not routers, for the log.
	Servers bool
	// Protocol is meta, text or, as its zero value, to be asked for.
	Protocol mcconn.Protocol
	// Prefix is put before every key. One that begins and ends with a slash is a
	// router's routing prefix, which does not count towards a key's length; such
	// routers speak text.
	Prefix string
	// Match lets only keys through that all of these match.
	Match []*regexp.Regexp
	// Stale, if not 0, keeps deleted values, marked stale, for that many whole
	// seconds, which takes the meta protocol; Holdoff deletes, and has servers that
	// know it refuse to add the key again for that many. At most one is set. Each
	// router and server is probed before anything is sent to it.
	Stale, Holdoff time.Duration
	// Window is how many batches may be in flight; 0 is 4.
	Window int
	// Timeout bounds connecting, and how long answers that are owed may not come;
	// 0 is 5 s.
	Timeout time.Duration
	// Linger is how long a batch that is not full waits for more; 0: not at all.
	Linger time.Duration
	// RefusedMax is how many keys that the caches refuse for now may wait to be
	// tried again before nothing else is sent; 0 is 100,000.
	RefusedMax int
	// Rate, if set, bounds the keys a second; several Sinks may share it.
	Rate *rate.Limiter
	TLS  *tls.Config
	// Dial, if set, replaces net.Dialer's DialContext.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Metrics *Metrics     // nil: not counted
	Logger  *slog.Logger // nil: discarded
}

const (
	defaultWindow     = mcconn.DefaultWindow
	defaultRefusedMax = 100_000
)

// Sink delivers what a cursor has to one router or server at a time.
type Sink struct {
	cfg      Config
	counters counters
	targets  []target // those of cfg
	current  int      // index of the one in use
	// refusals of this cluster's caches, to be tried again; used by one session at
	// a time.
	refused refusedKeys
	// aside and delayed choose which keys are logged that are set aside, and refused
	// for now, by the reasons that the caches give.
	aside, delayed sampling.Sampler

	mu       sync.Mutex // guards what follows
	setAside uint64
	state    State
	troubles troubles
}

// New makes a Sink; it connects in Run.
func New(cfg Config) *Sink {
	if cfg.Window <= 0 {
		cfg.Window = defaultWindow
	}
	if cfg.RefusedMax <= 0 {
		cfg.RefusedMax = defaultRefusedMax
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With("cluster", cfg.Cluster)
	s := &Sink{cfg: cfg, counters: cfg.Metrics.of(cfg.Cluster), targets: make([]target, len(cfg.Targets))}
	for i, address := range cfg.Targets {
		s.targets[i].address = address
	}
	s.state.Kind = s.kind()
	if len(cfg.Targets) > 0 {
		s.state.Address = cfg.Targets[0]
	}
	return s
}

// SetAside is how many keys were set aside: refused for good, and never sent
// again. Any goroutine may call it.
func (s *Sink) SetAside() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setAside
}

// Run delivers until the cursor says that there is nothing more to come, and then
// returns nil once everything is acknowledged; or until the context ends, and
// then returns its cause; or until the cursor fails, with its error
// (batcher.ErrFellOut). Whatever the caches and the network do, it goes on.
func (s *Sink) Run(ctx context.Context, cursor *batcher.Cursor) error {
	retry := backoff.Backoff{Max: 5 * time.Second}
	defer s.logRest()
	// What another cursor's keys were refused for comes again with this one.
	s.refused = nil
	for {
		var held time.Duration
		conn, err := s.dial(ctx)
		if err == nil {
			began := time.Now()
			s.targets[s.current].reached = began
			var done bool
			done, err = s.deliver(ctx, cursor, conn, &retry)
			conn.Close()
			if done {
				s.parted()
				return err
			}
			held = time.Since(began)
		}
		if ctx.Err() != nil {
			s.parted()
			return context.Cause(ctx)
		}
		s.counters.lost.Inc()
		s.fail(s.targets[s.current].address, err)
		lost := &s.targets[s.current]
		s.current = (s.current + 1) % len(s.targets)
		if lost.outage.failed(time.Now(), held) {
			s.logLost(lost, err)
		}
		cursor.Rewind()
		if err := retry.Wait(ctx); err != nil {
			return err
		}
	}
}

// kind is what the log calls a target.
func (s *Sink) kind() string {
	if s.cfg.Servers {
		return "server"
	}
	return "router"
}

// logLost says that a target has failed, after its failures were counted.
func (s *Sink) logLost(t *target, err error) {
	attrs := []any{s.kind(), t.address, "failures", t.outage.failures}
	if len(s.targets) > 1 {
		attrs = append(attrs, "next", s.targets[s.current].address)
	}
	attrs = append(attrs, "error", err)
	switch {
	case errors.Is(err, ErrNotHonoured):
		s.cfg.Logger.Error("nothing is sent there, since the action is not honoured", attrs...)
	case t.reached.IsZero() && s.cfg.Servers:
		s.cfg.Logger.Warn("server cannot be reached; it is tried again until it can", attrs...)
	case t.reached.IsZero():
		s.cfg.Logger.Warn("router cannot be reached; it is tried again until one can", attrs...)
	case s.cfg.Servers:
		s.cfg.Logger.Warn("server lost; all that it has not acknowledged goes out again", attrs...)
	default:
		s.cfg.Logger.Warn("router lost; all that it has not acknowledged goes out again", attrs...)
	}
}

func (s *Sink) dial(ctx context.Context) (*mcconn.Conn, error) {
	t := &s.targets[s.current]
	if !t.probed {
		if err := probe(ctx, &s.cfg, t.address); err != nil {
			return nil, err
		}
		t.probed = true
	}
	conn, err := mcconn.Dial(ctx, mcconn.Config{
		Address: t.address, Protocol: s.cfg.Protocol, Window: s.cfg.Window,
		Timeout: s.cfg.Timeout, TLS: s.cfg.TLS, Dial: s.cfg.Dial,
	})
	if err != nil {
		return nil, err
	}
	s.counters.made.Inc()
	s.connected(t.address, conn.Version(), conn.Protocol().String())
	if s.cfg.Protocol == mcconn.Auto {
		s.cfg.Logger.Info("connected", s.kind(), conn.Address(), "protocol", conn.Protocol().String(), "version", conn.Version())
	} else {
		s.cfg.Logger.Info("connected", s.kind(), conn.Address(), "version", conn.Version())
	}
	return conn, nil
}

// deliver runs one connection. It is done when the cursor is: with nil at the log's
// end, or with the cursor's error. Otherwise err is what ended the connection.
func (s *Sink) deliver(ctx context.Context, cursor *batcher.Cursor, conn *mcconn.Conn, retry *backoff.Backoff) (done bool, err error) {
	d := newDelivery(s, cursor, conn, retry)
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	sending, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	received := make(chan error, 1)
	go func() {
		err := d.receive()
		lost(errLost)
		received <- err
	}()
	err = d.send(sending)
	conn.Close()
	ended := <-received
	d.abandon()
	switch {
	case errors.Is(err, errEnd):
		return true, nil
	case errors.Is(err, batcher.ErrFellOut), errors.Is(err, batcher.ErrClosed):
		return true, err
	case errors.Is(ended, net.ErrClosed):
		return false, err // the sender met it first
	}
	return false, ended
}

// setKeyAside takes note of a key, without the prefix, that can never be sent.
func (s *Sink) setKeyAside(key []byte, why string) {
	s.counters.setAside.Inc()
	s.mu.Lock()
	s.setAside++
	s.troubles.note(key, OutcomeSetAside, why)
	s.mu.Unlock()
	if more, ok := s.aside.Take(why); ok {
		s.cfg.Logger.Error("key set aside: it can never be deleted in this cluster", "key", string(key), "reason", why, "more", more)
	}
}

// refusedNow takes note that the caches refuse a key for now.
func (s *Sink) refusedNow(command []byte, why string) {
	s.counters.refused.Inc()
	s.troubled(command, OutcomeRefused, why)
	if more, ok := s.delayed.Take(why); ok {
		s.cfg.Logger.Warn("key refused for now; it is tried again until it is taken", "key", string(s.bare(command)), "reason", why, "more", more)
	}
}

// logRest says how many keys no line has told of yet.
func (s *Sink) logRest() {
	s.aside.Rest(func(why string, more int) {
		s.cfg.Logger.Error("more keys set aside: they can never be deleted in this cluster", "keys", more, "reason", why)
	})
	s.delayed.Rest(func(why string, more int) {
		s.cfg.Logger.Warn("more keys were refused for a while", "keys", more, "reason", why)
	})
}
