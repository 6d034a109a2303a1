package memcache

import "time"

const (
	// outageQuiet is how long a connection must have held for its end to be a new
	// outage, which is logged at once.
	outageQuiet = 10 * time.Second
	// The lines about one outage come after pauses that double between these.
	outagePause    = time.Second
	outageMaxPause = time.Minute
)

// target is what a Sink knows of one router or server.
type target struct {
	address string
	probed  bool      // it honours the action
	reached time.Time // when it was last connected to; zero if never
	outage  outage
}

// outage is one router or server that fails again and again.
type outage struct {
	failures int
	pause    time.Duration
	next     time.Time // no line before
}

// failed takes note of a failure, and tells whether it is to be logged. held is how
// long there was a connection.
func (o *outage) failed(now time.Time, held time.Duration) bool {
	if held >= outageQuiet {
		*o = outage{}
	}
	o.failures++
	if now.Before(o.next) {
		return false
	}
	o.pause = min(max(2*o.pause, outagePause), outageMaxPause)
	o.next = now.Add(o.pause)
	return true
}
