package pipeline

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/sink/stdout"
)

// tailed is a source that is tailed, as far as it says itself.
type tailed struct {
	away  atomic.Bool // it is being waited for
	bytes atomic.Int64
}

func (s *tailed) Run(ctx context.Context, _ *binlog.Position, _ binlog.Handler) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
func (s *tailed) Tailing() bool    { return !s.away.Load() }
func (s *tailed) BytesRead() int64 { return s.bytes.Load() }

// tailing binds a pipeline to a source.
func tailing(t *testing.T, spools string, s *tailed, save func(map[string]binlog.Position) error) *Pipeline {
	t.Helper()
	p, err := New(Config{
		Open: func() (Source, *binlog.Visibility) { return s, nil }, Tags: []string{"mc"}, Save: save,
		Spool:    checkpoint.TemporarySpool(spools),
		Clusters: []Cluster{{Name: "east", Connections: []Connection{{Sink: stdout.New(stdout.Config{Out: io.Discard})}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// alive runs a test on a pipeline that tails a source, with time that only passes when
// everything waits.
func alive(t *testing.T, test func(t *testing.T, p *Pipeline, s *tailed)) {
	t.Helper()
	spools := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := new(tailed)
		p := tailing(t, spools, s, func(map[string]binlog.Position) error { return nil })
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		test(t, p, s)
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// every looks at the pipeline's life for a while, as a watchdog does, and gives the
// last answer.
func every(p *Pipeline, interval, while time.Duration, do func()) error {
	var err error
	for end := time.Now().Add(while); time.Now().Before(end); {
		do()
		err = p.Alive()
		time.Sleep(interval)
	}
	return err
}

func TestAnIdleSourceIsAlive(t *testing.T) {
	alive(t, func(t *testing.T, p *Pipeline, s *tailed) {
		if err := every(p, 5*time.Second, 10*time.Minute, func() { s.bytes.Add(40) }); err != nil {
			t.Errorf("heartbeats come, and: %v", err)
		}
	})
}

func TestASourceThatIsAwayIsNoReasonToDie(t *testing.T) {
	alive(t, func(t *testing.T, p *Pipeline, s *tailed) {
		s.away.Store(true)
		if err := every(p, 5*time.Second, time.Hour, func() {}); err != nil {
			t.Errorf("it is waited for, and: %v", err)
		}
		s.away.Store(false) // and begins its time anew when it is back
		if err := p.Alive(); err != nil {
			t.Error(err)
		}
	})
}

func TestAReadingThatIsStuckIsNotAlive(t *testing.T) {
	alive(t, func(t *testing.T, p *Pipeline, s *tailed) {
		if err := every(p, 5*time.Second, stuckAfter, func() {}); err != nil {
			t.Errorf("too early: %v", err)
		}
		err := every(p, 5*time.Second, stuckAfter, func() {})
		if err == nil || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("nothing has come for a minute on an open connection, and: %v", err)
		}
		s.bytes.Add(1)
		if err := p.Alive(); err != nil {
			t.Errorf("it goes on, and: %v", err)
		}
	})
}

// A disk that hangs: whoever writes the checkpoint holds what Alive wants.
func TestASaverThatHangsIsNotAlive(t *testing.T) {
	hangs, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	ctx, end := context.WithCancel(t.Context())
	p := tailing(t, t.TempDir(), new(tailed), func(map[string]binlog.Position) error {
		once.Do(func() { close(hangs) })
		<-release
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-hangs
	answered := make(chan error, 1)
	go func() { answered <- p.Alive() }()
	select {
	case err := <-answered:
		t.Errorf("it answers, and: %v", err)
		answered <- err
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the disk is back, and: %v", err)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
