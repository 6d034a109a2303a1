package pipeline

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Progress is a Source that counts what it reads, be it only that an idle source is
// alive.
type Progress interface {
	// BytesRead is how much has come so far. Any goroutine may call it.
	BytesRead() int64
}

// stuckAfter is how long nothing may come of a log that is tailed: within two heartbeats
// something does, or the connection is given up.
const stuckAfter = 30 * time.Second

// pulse is what Alive has seen.
type pulse struct {
	mu      sync.Mutex
	streams map[*stream]seen // guarded by mu
}

// seen is how much a stream had read, and since when it is no more.
type seen struct {
	bytes int64
	since time.Time
}

// Alive is nil while the Pipeline makes its turns, and otherwise says what has stopped.
// A source, a cache or a decision that is waited for is no reason for an error: a new
// process would wait as well. What is one: a dump that delivers while nobody takes what
// it delivers. It takes every lock that the work takes, also the one under which the
// checkpoint is written, so where those are held for good, or the disk hangs, it does
// not return. Any goroutine may call it; it has to be called now and then, since it can
// tell only how long nothing has moved between calls.
func (p *Pipeline) Alive() error {
	now := time.Now()
	for _, c := range p.clusters { // every lane's and its cursors' locks
		_ = c.position()
	}
	var errs []error
	p.mu.Lock()
	streams := make([]*stream, 0, len(p.private)+1)
	if p.main != nil {
		streams = append(streams, p.main)
	}
	for s := range p.private {
		streams = append(streams, s)
	}
	p.mu.Unlock()

	p.pulse.mu.Lock()
	defer p.pulse.mu.Unlock()
	still := make(map[*stream]seen, len(streams))
	for _, s := range streams {
		_ = s.reading.log.Free() // the Log's lock
		bytes, tailing := s.progress()
		last, ok := p.pulse.streams[s]
		if !tailing || !ok || bytes != last.bytes {
			last = seen{bytes, now}
		}
		still[s] = last
		if since := now.Sub(last.since); since > stuckAfter {
			what := "the reading of the source's log"
			if s.private {
				what = "a reading for catching up"
			}
			errs = append(errs, fmt.Errorf("%s has been stuck for %s, with the connection open", what, since.Round(time.Second)))
		}
	}
	p.pulse.streams = still
	return errors.Join(errs...)
}

// progress is how much the stream has read, and whether it should be reading: it is not
// while its source is waited for, nor while its Log is full.
func (s *stream) progress() (bytes int64, tailing bool) {
	t, ok := s.reading.source.(Tailer)
	if !ok || !t.Tailing() {
		return 0, false
	}
	b, ok := s.reading.source.(Progress)
	if !ok {
		return 0, false
	}
	return b.BytesRead(), true
}
