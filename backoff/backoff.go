// Package backoff says how long to wait before trying again what has failed:
// longer each time, and never two in step.
//
// In comes one failure after another, out go delays, drawn evenly from nothing to
// a ceiling that doubles ("full jitter"): many daemons that lost the same server
// come back spread over time, not all at once. Whoever reconnects, to a source, a
// cache or a router, has one.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// What a Backoff's zero values stand for.
const (
	DefaultMin = 50 * time.Millisecond
	DefaultMax = 10 * time.Second
)

// Backoff is the delays of one thing that is tried again and again. The zero value
// is ready; one goroutine at a time may use it.
type Backoff struct {
	// Min is the ceiling of the first delay, Max the greatest ceiling there is.
	// Zero is DefaultMin and DefaultMax; a Max below Min is Min.
	Min, Max time.Duration

	failures int // since the last Reset; no further than the ceiling grows
}

// Next is how long to wait after one more failure: anything up to a ceiling
// that starts at Min and doubles with each call up to Max.
func (b *Backoff) Next() time.Duration {
	ceiling, limit := b.Min, b.Max
	if ceiling <= 0 {
		ceiling = DefaultMin
	}
	if limit <= 0 {
		limit = DefaultMax
	}
	limit = max(limit, ceiling)
	for range b.failures {
		if ceiling > limit/2 { // twice as much would be beyond it, or beyond all numbers
			ceiling = limit
			break
		}
		ceiling *= 2
	}
	if ceiling < limit {
		b.failures++
	}
	return 1 + rand.N(ceiling)
}

// Wait waits for Next. It returns early, with the context's cause, if the context
// is done.
func (b *Backoff) Wait(ctx context.Context) error {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reset makes the next delay the first again. Call it when the thing has worked,
// not when it merely seemed to begin: a router may accept every connection and
// answer on none, so that an acknowledged batch is the time, not a dialed
// connection.
func (b *Backoff) Reset() { b.failures = 0 }
