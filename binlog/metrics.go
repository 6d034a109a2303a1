package binlog

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts connections to sources, of all readings together.
type Metrics struct{ made, lost prometheus.Counter }

// NewMetrics makes the metrics and registers them at r, unless r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "mcsqueal", Name: name, Help: help})
		if r != nil {
			r.MustRegister(c)
		}
		return c
	}
	return &Metrics{
		made: counter("source_connections_total", "Dumps of the source's log that have delivered something, for the main reading and for catching up."),
		lost: counter("source_connections_lost_total", "Dumps that ended, or could not be begun, without being told to; a new one is begun."),
	}
}

// LiveState is what a Live is at.
type LiveState struct {
	// Address is that of the server that is being read, or tried, and Version what it
	// last said it is; empty before it was reached.
	Address, Version string
	// Tailing: a dump is open that has delivered something.
	Tailing bool
	// Heard is when something last came from it, a heartbeat at least; zero if nothing
	// ever did.
	Heard time.Time
	// Lost is why the last connection ended that was not told to, and when; nil if none
	// has.
	Lost   error
	LostAt time.Time
}

// State is what the reading is at. Any goroutine may call it; it does not wait.
func (l *Live) State() LiveState {
	s := LiveState{Address: l.Server().Address, Tailing: l.Tailing()}
	if v := l.version.Load(); v != nil {
		s.Version = *v
	}
	if at := l.heard.Load(); at != 0 {
		s.Heard = time.UnixMicro(at)
	}
	if lost := l.lost.Load(); lost != nil {
		s.Lost, s.LostAt = lost.err, lost.at
	}
	return s
}

// loss is a connection's end.
type loss struct {
	err error
	at  time.Time
}

// watched is what State tells beside the server's address.
type watched struct {
	tailing atomic.Bool  // a dump delivers
	heard   atomic.Int64 // when something came, in microseconds since 1970
	version atomic.Pointer[string]
	lost    atomic.Pointer[loss]
}
