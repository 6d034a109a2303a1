package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/cache/server"
)

// metricsServer serves metrics over HTTP; the zero one does not.
type metricsServer struct {
	server *admin.Server
	logger *slog.Logger
}

func startMetrics(ctx context.Context, listen string, srv *server.Server, logger *slog.Logger) (metricsServer, error) {
	if listen == "" {
		return metricsServer{}, nil
	}
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), server.NewCollector(srv))
	s, err := admin.Start(ctx, admin.Config{Listen: listen, Metrics: r, Ready: func() error { return nil }, Logger: logger})
	if err != nil {
		return metricsServer{}, fmt.Errorf("--metrics: %w", err)
	}
	logger.Info("serving metrics and health", "listen", s.Addr(), "paths", "/metrics /healthz")
	return metricsServer{s, logger}, nil
}

func (m metricsServer) close() {
	if m.server == nil {
		return
	}
	if err := m.server.Close(); err != nil {
		m.logger.Warn("the listener for metrics and health did not close", "error", err)
	}
}
