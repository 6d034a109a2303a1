package systemd

import (
	"context"
	"log/slog"
	"time"
)

// Work is a service as its watcher sees it.
type Work struct {
	// Alive tells whether the service does its work; an error is why it does not. It
	// may also hang, which says the same.
	Alive func() error
	// Status is a line for people on what the service does.
	Status func() string
	Logger *slog.Logger
}

const (
	// statusEvery is how often the status is looked at, without a watchdog.
	statusEvery = 10 * time.Second
	// perWatch is how often, within the time after which a silent service is killed, it
	// is looked at: one look that comes late kills nothing.
	perWatch = 4
)

// readyEvery is how often it is looked whether the work has begun.
const readyEvery = 10 * time.Millisecond

// ReadyOnce says that the service is ready as soon as its work has begun, or has not within
// a time, and says nothing when the context ends before.
func (n *Notifier) ReadyOnce(ctx context.Context, within time.Duration, begun func() bool) error {
	if n == nil || n.socket == nil {
		return nil
	}
	late := time.NewTimer(within)
	defer late.Stop()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for !begun() {
		select {
		case <-ctx.Done():
			return nil
		case <-late.C:
			return n.Ready()
		case <-tick.C:
		}
	}
	return n.Ready()
}

// Watch looks at the work until the context ends: it passes on the status when it has
// changed and, as long as the work is alive, keeps the watchdog from biting. When it is
// not alive that is logged, and systemd left to act.
func (n *Notifier) Watch(ctx context.Context, w Work) {
	if n == nil || n.socket == nil {
		return
	}
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/perWatch)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	dead := false
	for {
		if err := w.Alive(); err == nil {
			dead = false
			w.heard(n.Alive())
		} else if !dead {
			dead = true
			w.Logger.Error("the daemon does not do its work; systemd ends it unless that passes", "within", n.watchdog, "error", err)
		}
		if line := w.Status(); line != said {
			said = line
			w.heard(n.Status(line))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// heard says when the service manager cannot be told.
func (w Work) heard(err error) {
	if err != nil {
		w.Logger.Warn("systemd was not told", "error", err)
	}
}
