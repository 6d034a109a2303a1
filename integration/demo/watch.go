package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// watch sees when orders' keys go, as a reader would: it asks the cache for those
// that are still there, again and again without a pause. What it measures is
// therefore never too short; it is too long by up to one round trip.
type watch struct {
	caches *caches
	// deleted is how long after its commit each key was first not found; run's.
	deleted []time.Duration

	mu       sync.Mutex
	added    []order // guarded by mu: not yet asked for
	finished bool    // guarded by mu: nothing more will be added
	more     chan struct{}
}

// order is one that was committed at a time.
type order struct {
	key string
	at  time.Time
}

const (
	// patience is how long keys are waited for that do not go.
	patience = 30 * time.Second
	// askAtOnce bounds a get of several keys.
	askAtOnce = 100
)

func newWatch(c *caches) *watch { return &watch{caches: c, more: make(chan struct{}, 1)} }

// add notes a commit that was acknowledged at a time.
func (w *watch) add(id int, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.added = append(w.added, order{orderKey(id), at})
	w.wake()
}

// finish says that nothing more will be added.
func (w *watch) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finished = true
	w.wake()
}

// wake lets run look again.
func (w *watch) wake() {
	select {
	case w.more <- struct{}{}:
	default: // it will look anyway
	}
}

// take gives what was added since the last time.
func (w *watch) take() (added []order, finished bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	added, w.added = w.added, nil
	return added, w.finished
}

// run asks until it has been told to finish and every key has gone, or none has in
// a long time.
func (w *watch) run(ctx context.Context) error {
	var waiting []order
	lastGone := time.Now()
	for {
		added, finished := w.take()
		waiting = append(waiting, added...)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case len(waiting) == 0 && finished:
			return nil
		case len(waiting) == 0:
			select {
			case <-w.more:
			case <-ctx.Done():
			}
			lastGone = time.Now()
			continue
		case finished && time.Since(lastGone) > patience:
			return nil
		}
		asked := waiting[:min(len(waiting), askAtOnce)]
		keys := make([]string, len(asked))
		for i, o := range asked {
			keys[i] = o.key
		}
		found, err := w.caches.client.GetMulti(keys)
		if err != nil {
			return fmt.Errorf("look for orders' keys: %w", err)
		}
		now := time.Now()
		left := slices.DeleteFunc(slices.Clone(asked), func(o order) bool {
			_, there := found[o.key]
			if !there {
				w.deleted = append(w.deleted, now.Sub(o.at))
				lastGone = now
			}
			return !there
		})
		waiting = append(left, waiting[len(asked):]...)
	}
}
