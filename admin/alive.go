package admin

import (
	"errors"
	"sync"
	"time"
)

// aliveWithin is how long the daemon may take to say that it lives: it waits for nothing
// but its own locks.
const aliveWithin = 3 * time.Second

// pulse asks whether the daemon lives, once for all who want to know at the same time:
// one that is stuck never answers.
type pulse struct {
	ask func() error

	mu      sync.Mutex
	pending *verdict // guarded by mu
}

// verdict is what has been asked for; err is to be read once it has come.
type verdict struct {
	come chan struct{}
	err  error
}

// alive is nil if the daemon lives, and otherwise why not.
func (p *pulse) alive() error {
	if p.ask == nil {
		return nil
	}
	p.mu.Lock()
	a := p.pending
	if a == nil {
		a = &verdict{come: make(chan struct{})}
		p.pending = a
		go func() {
			a.err = p.ask()
			p.mu.Lock()
			p.pending = nil
			p.mu.Unlock()
			close(a.come)
		}()
	}
	p.mu.Unlock()
	t := time.NewTimer(aliveWithin)
	defer t.Stop()
	select {
	case <-a.come:
		return a.err
	case <-t.C:
		return errors.New("the daemon has not been able to say for seconds whether it does its work: it is stuck")
	}
}
