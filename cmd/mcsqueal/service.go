package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/mcsqueal/mcsqueal/systemd"
)

// service is a daemon as systemd sees it, if it was started by that: see
// deploy/systemd/mcsqueal.service.
type service struct {
	notifier *systemd.Notifier
	logger   *slog.Logger
	unbind   func() bool
	end      context.CancelFunc
	watcher  sync.WaitGroup
}

// startService says that the daemon is set up, keeps the watchdog fed as long as its
// pipeline makes its turns, and says so when the context ends. What systemd cannot be
// told is logged, and stops nothing.
func startService(ctx context.Context, d *daemon) *service {
	n, err := systemd.New(d.env.getenv)
	if err != nil {
		d.logger.Warn("not started by systemd as it is known here: it is told nothing", "error", err)
	}
	s := &service{notifier: n, logger: d.logger}
	s.unbind = context.AfterFunc(ctx, func() { s.told(n.Stopping()) })
	s.told(n.Ready())
	// It goes on while what is in the Log is delivered.
	ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.watcher.Go(func() {
		n.Watch(ctx, systemd.Work{
			Alive: d.alive, Logger: d.logger,
			Status: func() string { return statusLine(d.now().src.live.Server().Address, d.ready()) },
		})
	})
	return s
}

// statusLine is the daemon's state for `systemctl status`.
func statusLine(source string, ready error) string {
	if ready == nil {
		return fmt.Sprintf("tailing %s; every cluster is in step", source)
	}
	return fmt.Sprintf("%s: %s", source, strings.ReplaceAll(ready.Error(), "\n", "; "))
}

// stop ends the watching, and says that the daemon stops if nobody has told it to.
func (s *service) stop() {
	if s.unbind() {
		s.told(s.notifier.Stopping())
	}
	s.end()
	s.watcher.Wait()
}

// reloading says that the configuration is being read again; loaded that this is over,
// however it went.
func (s *service) reloading() { s.told(s.notifier.Reloading()) }
func (s *service) loaded()    { s.told(s.notifier.Ready()) }

func (s *service) told(err error) {
	if err != nil {
		s.logger.Warn("systemd was not told", "error", err)
	}
}
