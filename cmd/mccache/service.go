package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/mcsqueal/mcsqueal/systemd"
)

// service is the server as systemd sees it, if it was started by that: see
// deploy/systemd/mccache.service.
type service struct {
	notifier *systemd.Notifier
	logger   *slog.Logger
	ended    chan struct{} // closed by stop
	stopping sync.WaitGroup
}

// startService says that the server serves, and that it stops when the context ends or it
// is stopped. What systemd cannot be told is logged, and stops nothing.
func startService(ctx context.Context, env environment, logger *slog.Logger) *service {
	n, err := systemd.New(env.getenv)
	if err != nil {
		logger.Warn("not started by systemd as it is known here: it is told nothing", "error", err)
	}
	s := &service{notifier: n, logger: logger, ended: make(chan struct{})}
	s.told(n.Ready())
	s.stopping.Go(func() {
		select {
		case <-ctx.Done():
		case <-s.ended:
		}
		s.told(n.Stopping())
	})
	return s
}

// stop returns when that is said.
func (s *service) stop() {
	close(s.ended)
	s.stopping.Wait()
}

// reload says that files are read again, and when that is over.
func (s *service) reload(read func()) {
	s.told(s.notifier.Reloading())
	read()
	s.told(s.notifier.Ready())
}

func (s *service) told(err error) {
	if err != nil {
		s.logger.Warn("systemd was not told", "error", err)
	}
}
