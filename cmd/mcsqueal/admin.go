package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/config"
)

// adminServer is a daemon's listener; without a server there is none.
type adminServer struct {
	server *admin.Server
	logger *slog.Logger
}

// startAdmin listens where the configuration says. A port that was asked for and is
// taken is an error; when it is only the default's, the second daemon on a host goes
// on without, and says so.
func startAdmin(ctx context.Context, c *config.Config, metrics prometheus.Gatherer, ready func() error, logger *slog.Logger) (*adminServer, error) {
	a := &adminServer{logger: logger}
	if c.Admin.Listen == "" {
		return a, nil
	}
	s, err := admin.Start(ctx, admin.Config{Listen: c.Admin.Listen, Metrics: metrics, Ready: ready, Logger: logger})
	if err != nil {
		if c.Given("admin.listen") {
			return nil, err
		}
		logger.Warn("no metrics and no health: the default port is taken; set admin.listen to another, or to \"\" for none", "error", err)
		return a, nil
	}
	a.server = s
	logger.Info("serving metrics and health", "listen", s.Addr(), "paths", "/metrics /healthz /readyz")
	return a, nil
}

func (a *adminServer) close() {
	if a.server == nil {
		return
	}
	if err := a.server.Close(); err != nil {
		a.logger.Warn("the listener for metrics and health did not close", "error", err)
	}
}
