package pipeline

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A Tailer is a Source that knows whether it is being read just now.
type Tailer interface {
	// Tailing tells whether there is a dump that delivers. Any goroutine may call it.
	Tailing() bool
}

// doing is what a lane is at.
type doing uint32

const (
	waiting doing = iota
	inStep
	catchingUp
	atGap
)

// doingNames are the values of the label state.
var doingNames = [...]string{waiting: "waiting", inStep: "in_step", catchingUp: "catching_up", atGap: "gap"}

func (d doing) String() string {
	switch d {
	case inStep:
		return "is in step"
	case catchingUp:
		return "is catching up"
	case atGap:
		return "is at a gap: it is flushed for it, or waits for somebody to decide; the log says what is missing"
	}
	return "waits for a reading of the log"
}

// state is a lane's doing; any goroutine may use it.
type state struct{ doing atomic.Uint32 }

func (s *state) set(d doing) { s.doing.Store(uint32(d)) }
func (s *state) get() doing  { return doing(s.doing.Load()) }

// Ready is nil while the log is being read and every cluster is served from that
// reading, and otherwise names what is not so, an error for each. Any goroutine may
// call it; it does not wait.
func (p *Pipeline) Ready() error {
	var errs []error
	p.mu.Lock()
	main := p.main
	p.mu.Unlock()
	if main == nil {
		return errors.New("the source's log is not read yet")
	}
	if main.reading.paused.Load() {
		errs = append(errs, errors.New("the source's log is not being read: the Log is full, and no cluster takes more; it goes on when half of it is free"))
	} else if t, ok := main.reading.source.(Tailer); ok && !t.Tailing() {
		errs = append(errs, errors.New("the source's log is not being read: the source is connected to, or waited for"))
	}
	if since := p.unreadable(time.Now()); since > stalled {
		errs = append(errs, fmt.Errorf("commits have been in the log for %s and cannot be read on the source yet; their keys wait", since.Round(time.Second)))
	}
	for _, c := range p.clusters {
		if d := c.doing(); d != inStep {
			errs = append(errs, fmt.Errorf("cluster %s %s", c.Name, d))
		}
	}
	return errors.Join(errs...)
}

// stalled is how long commits may take to be readable before that is worth saying.
const stalled = 5 * time.Second

// doing is what the worst of the cluster's lanes is at.
func (c *cluster) doing() doing {
	worst := inStep
	for _, l := range c.lanes {
		switch d := l.state.get(); {
		case d == atGap, worst == inStep:
			worst = d
		}
	}
	return worst
}
