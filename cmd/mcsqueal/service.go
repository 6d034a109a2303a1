package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/systemd"
)

// service is a daemon as systemd sees it, if it was started by that: see
// deploy/systemd/mcsqueal.service.
type service struct {
	notifier *systemd.Notifier
	logger   *slog.Logger
	unbind   func() bool
	end      func()
	watcher  sync.WaitGroup
}

// readyWithin is how long the source's log may take to be read before the daemon counts as
// started all the same: the source was there a moment ago, and is waited for now.
const readyWithin = 10 * time.Second

// startService says that the daemon is ready once the source's log is read: until then a
// privilege may turn out to be missing, or the log that every cluster needs, which ends it.
// It keeps the watchdog fed as long as the pipeline makes its turns, and says so when the
// context ends. What systemd cannot be told is logged, and stops nothing.
func startService(ctx context.Context, d *daemon) *service {
	n, err := systemd.New(d.env.getenv)
	if err != nil {
		d.logger.Warn("not started by systemd as it is known here: it is told nothing", "error", err)
	}
	s := &service{notifier: n, logger: d.logger}
	s.unbind = context.AfterFunc(ctx, func() { s.told(n.Stopping()) })
	starting, started := context.WithCancel(ctx)
	s.watcher.Go(func() {
		s.told(n.ReadyOnce(starting, readyWithin, func() bool { return d.now().pipeline.Status().Source.Tailing }))
	})
	// It goes on while what is in the Log is delivered.
	watching, watched := context.WithCancel(context.WithoutCancel(ctx))
	s.end = func() { started(); watched() }
	s.watcher.Go(func() {
		n.Watch(watching, systemd.Work{
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
