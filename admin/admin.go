// Package admin serves what a running daemon says of itself over HTTP: its metrics,
// whether it lives, whether it does its work, and a page for people that shows what it
// is at and what it has deleted. What comes in is a registry and functions that know;
// what goes out is text. It keeps the sixth promise for whoever watches from outside,
// and the seventh: it changes nothing, and however many ask, and however slowly they
// read, nobody but they waits for it.
//
//	/              the status page, whose data is that of /api/
//	/api/status    what it is at (Status), as of the last second
//	/api/history   the last minutes (History)
//	/api/latest    the last invalidations (Memory)
//	/api/keys      those of a key (Memory): ?key=KEY, and &part=1 for keys with that in them
//	/api/config    the effective configuration, without secrets
//	/metrics       every metric, as Prometheus reads them
//	/healthz       200 as long as the process answers and its work goes on or waits;
//	               503 when it is stuck, which only a new process mends
//	/readyz        200 when the log is being tailed and every cluster is in step; otherwise
//	               503, and a line for each thing that is not as it should be
//	/debug/pprof/  profiles, if they are asked for
//
// Where there is a token, everything but health and the page itself, which holds no
// data, wants it shown.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config says what is served. Its fields are read only. Any goroutine may call its
// functions.
type Config struct {
	// Listen is host:port. Port 0 is any that is free.
	Listen string
	// TLS, if set, makes it HTTPS.
	TLS *tls.Config
	// Token, if set, must be shown: Authorization: Bearer TOKEN.
	Token string
	// Pprof serves profiles.
	Pprof bool
	// Metrics are served at /metrics.
	Metrics prometheus.Gatherer
	// Alive tells whether the work is stuck, which it may do by not returning; nil: never.
	Alive func() error
	// Ready tells what keeps the daemon from its work; nil: nothing. It does not wait.
	Ready func() error
	// Status tells what the daemon is at, save rates. It is asked once a second. nil:
	// there is nothing to tell but metrics and health, and neither page nor API.
	Status func() Status
	// Latest are the last invalidations, so many if they are at hand; Recall those that
	// are asked for, as far back as they are remembered.
	Latest func(ctx context.Context, most int) ([]Invalidation, error)
	Recall func(ctx context.Context, q Query) (Memory, error)
	// Configuration is the effective one, as YAML, without secrets.
	Configuration func() (string, error)
	Logger        *slog.Logger
}

// Server is a listener at work.
type Server struct {
	listener net.Listener
	http     http.Server
	recorder recorder
	stop     context.CancelFunc
	ended    sync.WaitGroup
}

const (
	// requestTimeout bounds a request from its first byte to its answer's last: whoever
	// sends a byte a minute, or never reads, is let go.
	requestTimeout = 10 * time.Second
	idleTimeout    = time.Minute
	// maxHeader bounds what a request may say before it is asked for.
	maxHeader = 16 << 10
	// maxConnections is how many there may be at once; others wait to be let in.
	maxConnections = 64
)

// Start listens, and serves until Close.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics and health (admin.listen): %w", err)
	}
	s := &Server{listener: l, recorder: recorder{ask: cfg.Status}}
	s.http = http.Server{
		Handler:           s.handler(cfg),
		ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug), // of clients, who see it too
	}
	served := limit(l, maxConnections)
	if cfg.TLS != nil {
		served = tls.NewListener(served, cfg.TLS)
	}
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if cfg.Status != nil {
		s.recorder.record() // so that whoever comes first is told something
		s.ended.Go(func() { s.recorder.run(recording) })
	}
	s.ended.Go(func() {
		if err := s.http.Serve(served); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("metrics and health are served no more", "listen", l.Addr().String(), "error", err)
		}
	})
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Local tells whether only this machine can reach it.
func (s *Server) Local() bool { return loopback(s.listener.Addr()) }

// Close ends the listener and every connection, and waits for the goroutines that serve.
func (s *Server) Close() error {
	err := s.http.Close()
	s.stop()
	s.ended.Wait()
	return err
}

func (s *Server) handler(cfg Config) http.Handler {
	guard := newGuard(cfg.Token, s.listener.Addr(), cfg.Logger)
	api := &api{cfg: cfg, recorder: &s.recorder, searching: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	closed := func(pattern string, h http.Handler) { mux.Handle(pattern, guard.closed(h)) }
	closed("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelError), EnableOpenMetrics: true,
	}))
	if cfg.Status != nil {
		closed("GET /api/status", http.HandlerFunc(api.status))
		closed("GET /api/history", http.HandlerFunc(api.history))
		closed("GET /api/latest", http.HandlerFunc(api.latest))
		closed("GET /api/keys", http.HandlerFunc(api.keys))
		closed("GET /api/config", http.HandlerFunc(api.configuration))
		for _, path := range pagePaths {
			mux.HandleFunc("GET "+path, servePage)
		}
	}
	if cfg.Pprof {
		closed("GET /debug/pprof/", http.HandlerFunc(pprof.Index))
		closed("GET /debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline))
		closed("GET /debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
		closed("GET /debug/pprof/profile", patient(pprof.Profile))
		closed("GET /debug/pprof/trace", patient(pprof.Trace))
	}
	p := &pulse{ask: cfg.Alive}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.alive(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		var err error
		if cfg.Ready != nil {
			err = cfg.Ready()
		}
		switch {
		case err == nil:
			say(w, http.StatusOK, "ok")
		case guard.lets(r):
			say(w, http.StatusServiceUnavailable, err.Error())
		default:
			say(w, http.StatusServiceUnavailable, "not ready; who shows the token is told why")
		}
	})
	return guard.all(mux)
}

// maxProfile is how long a profile may take.
const maxProfile = 2 * time.Minute

// patient gives a profile, whose length is its asker's choice, the time it takes.
func patient(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A writer that has no deadline needs none moved.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxProfile))
		h(w, r)
	})
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // whoever asked has gone
}
