package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// wire is a proxy in this process that connections lead through, so that they can
// be tormented. Its methods are one goroutine's at a time.
type wire struct {
	name     string
	proxy    *toxiproxy.Proxy
	release  func() // gives its port up, which nobody else may have while it is cut
	up, down *line  // to the server, and from it
}

// newWire leads to a server, and is open.
func newWire(name, server string) (*wire, error) {
	toxics.Register(tormentType, new(torment))
	port, release, err := servers.ReservePort()
	if err != nil {
		return nil, err
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{
		name: name, release: release, up: newLine(), down: newLine(),
		proxy: toxiproxy.NewProxy(api, name, fmt.Sprintf("127.0.0.1:%d", port), server),
	}
	for direction, l := range map[string]*line{"upstream": w.up, "downstream": w.down} {
		t, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
			`{"name": %q, "type": %q, "stream": %[1]q}`, direction, tormentType)))
		if err != nil {
			return nil, fmt.Errorf("prepare the wire to %s: %w", name, err)
		}
		own, ok := t.Toxic.(*torment)
		if !ok {
			return nil, fmt.Errorf("prepare the wire to %s: it has a %T", name, t.Toxic)
		}
		own.line = l
	}
	if err := w.proxy.Start(); err != nil {
		return nil, fmt.Errorf("lead a wire to %s: %w", name, err)
	}
	return w, nil
}

func (w *wire) addr() string { return w.proxy.Listen }

// cut ends every connection; none is let in before mend.
func (w *wire) cut() { w.proxy.Stop() }

// mend lets connections in again.
func (w *wire) mend(ctx context.Context) error {
	for {
		err := w.proxy.Start()
		if err == nil || errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("mend the wire to %s: %w", w.name, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// close ends it for good.
func (w *wire) close() {
	w.up.ail(ailment{})
	w.down.ail(ailment{})
	w.proxy.Stop()
	w.release()
}

// illness is what can be wrong with one direction of a wire.
type illness uint8

const (
	_ illness = iota // well
	// delayed: everything takes longer.
	delayed
	// held: nothing gets through, and all of it does when that is over.
	held
	// swallowed: nothing gets through, and connections end when that is over.
	swallowed
	// clipped: each connection ends after so many bytes, wherever they end.
	clipped
)

// ailment is an illness for a while.
type ailment struct {
	illness
	delay time.Duration // delayed
	bytes int           // clipped
	over  chan struct{} // closed when another takes its place
}

// line is one direction of all connections of a wire.
type line struct {
	mu  sync.Mutex
	now *ailment // guarded by mu
}

func newLine() *line { return &line{now: &ailment{over: make(chan struct{})}} }

// ail ends what was wrong and begins something else; the zero ailment is health.
func (l *line) ail(a ailment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.now.over)
	a.over = make(chan struct{})
	l.now = &a
}

func (l *line) ailment() *ailment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// torment is the one toxic of every wire, there from the start, and does what its
// line ails from. Toxiproxy's own are added to and taken off connections at work,
// which can lose bytes in the middle of a stream, as no network does, and can hang
// on a connection whose peer is frozen.
type torment struct{ line *line }

const (
	tormentType = "torment"
	// stuck is how long a chunk may find no reader before the connection is given up:
	// longer than any freeze.
	stuck = time.Minute
)

// GetBufferSize implements toxics.BufferedToxic: some chunks may pile up, and then
// the sender feels it.
func (t *torment) GetBufferSize() int { return 16 }

// Pipe implements toxics.Toxic.
func (t *torment) Pipe(stub *toxics.ToxicStub) {
	var clip *ailment
	left := 0
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			a := t.wait(c)
			ends := false
			switch a.illness {
			case swallowed:
				<-a.over
				c.Data, ends = nil, true
			case clipped:
				if clip != a {
					clip, left = a, a.bytes
				}
				if ends = len(c.Data) >= left; ends {
					c.Data = c.Data[:left]
				}
				left -= len(c.Data)
			}
			if len(c.Data) > 0 && stub.WriteOutput(c, stuck) != nil {
				ends = true // nobody reads: the connection behind is gone
			}
			if ends {
				stub.Close()
				go drain(stub.Input) // until the connection in front has noticed
				return
			}
		}
	}
}

// wait keeps a chunk back as long as it takes, and gives what it meets then.
func (t *torment) wait(c *stream.StreamChunk) *ailment {
	for {
		a := t.line.ailment()
		switch a.illness {
		case held:
			<-a.over
		case delayed:
			d := time.NewTimer(time.Until(c.Timestamp.Add(a.delay)))
			select {
			case <-d.C:
				return a
			case <-a.over:
				d.Stop()
			}
		default:
			return a
		}
	}
}

func drain(input <-chan *stream.StreamChunk) {
	for c := range input {
		_ = c
	}
}
