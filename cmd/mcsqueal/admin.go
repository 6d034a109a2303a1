package main

import (
	"context"
	"log/slog"

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
func startAdmin(ctx context.Context, d *daemon, c *config.Config) (*adminServer, error) {
	a := &adminServer{logger: d.logger}
	if c.Admin.Listen == "" {
		return a, nil
	}
	secure, err := c.Admin.TLS.Server()
	if err != nil {
		return nil, usageError{err}
	}
	token, err := c.Admin.Token(d.env.getenv)
	if err == nil {
		err = config.CheckToken(token)
	}
	if err != nil {
		return nil, usageError{err}
	}
	s, err := admin.Start(ctx, admin.Config{
		Listen: c.Admin.Listen, TLS: secure, Token: token, Pprof: c.Admin.Pprof, Metrics: d.metrics,
		Alive: d.alive, Ready: d.ready,
		Status: d.status, Latest: d.latest, Recall: d.recall, Configuration: d.effective, Logger: d.logger,
	})
	if err != nil {
		if c.Given("admin.listen") {
			return nil, err
		}
		d.logger.Warn("no metrics and no health: the default port is taken; set admin.listen to another, or to \"\" for none", "error", err)
		return a, nil
	}
	a.server = s
	if token == "" && c.Admin.TLS.ClientCA == "" && !s.Local() {
		d.logger.Warn("whoever reaches the admin listener sees keys and addresses: it listens on more than a loopback address, and asks for neither a token nor certificates",
			"listen", s.Addr(), "mend", "admin.token_file or admin.tls.client_ca")
	}
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	d.logger.Info("serving metrics and health", "listen", s.Addr(), "scheme", scheme, "token", token != "", "paths", "/ /metrics /healthz /readyz")
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
