package admin

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A daemon that is stuck does not answer, and must not gather whoever asks.
func TestHealthOfADaemonThatIsStuckIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		release := make(chan struct{})
		p := &pulse{ask: func() error {
			asked.Add(1)
			<-release
			return nil
		}}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := p.alive(); err == nil {
					t.Error("it is stuck, and called alive")
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
		close(release)
		synctest.Wait()
		if err := p.alive(); err != nil || asked.Load() != 2 {
			t.Errorf("it goes on, and: %v, asked %d times", err, asked.Load())
		}
	})
}

func TestHealthIsWhatTheDaemonSays(t *testing.T) {
	dead := errors.New("stuck")
	if err := (&pulse{ask: func() error { return dead }}).alive(); !errors.Is(err, dead) {
		t.Errorf("%v, want %v", err, dead)
	}
	if err := (&pulse{}).alive(); err != nil {
		t.Errorf("nobody to ask, and: %v", err)
	}
}
