// Package admin serves what a running daemon says of itself over HTTP: its metrics,
// whether it lives, and whether it does its work. What comes in is a registry and a
// function that knows; what goes out is text. It keeps the sixth promise for whoever
// watches from outside, and changes nothing.
//
//	/metrics   every metric, as Prometheus reads them
//	/healthz   200 as long as the process answers
//	/readyz    200 when the log is being tailed and every cluster is in step; otherwise
//	           503, and a line for each thing that is not as it should be
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config says what is served. Its fields are read only.
type Config struct {
	// Listen is host:port. Port 0 is any that is free.
	Listen string
	// Metrics are served at /metrics.
	Metrics prometheus.Gatherer
	// Ready tells what keeps the daemon from its work; nil: nothing. Any goroutine may
	// call it, and it does not wait.
	Ready  func() error
	Logger *slog.Logger
}

// Server is a listener at work.
type Server struct {
	listener net.Listener
	http     http.Server
	ended    chan struct{}
}

const (
	// requestTimeout bounds a request from its first byte to its answer's last: whoever
	// sends a byte a minute, or never reads, is let go.
	requestTimeout = 10 * time.Second
	idleTimeout    = time.Minute
	// maxHeader bounds what a request may say before it is asked for.
	maxHeader = 16 << 10
)

// Start listens, and serves until Close.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics and health (admin.listen): %w", err)
	}
	s := &Server{listener: l, ended: make(chan struct{})}
	s.http = http.Server{
		Handler:           handler(cfg),
		ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("metrics and health are served no more", "listen", l.Addr().String(), "error", err)
		}
	}()
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the listener and every connection, and waits for the goroutine that serves.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return err
}

func handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelError), EnableOpenMetrics: true,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := cfg.Ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ok")
	})
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // whoever asked has gone
}
