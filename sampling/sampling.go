// Package sampling thins out log lines that could come thousands of times a second.
//
// In comes every event that is worth a line, with its cause; out goes which of them are
// to be logged, and how many of the same cause were not. What is logged of one cause
// keeps no line of another away: nothing goes wrong unsaid because something else does,
// too.
package sampling

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// DefaultEvery is what a Sampler's zero Every stands for.
const DefaultEvery = time.Second

// maxCauses bounds the memory where causes are what others say: those beyond it count
// as one.
const maxCauses = 64

// Sampler chooses which events are logged: of each cause the first one, and then one
// in Every. The zero value is ready; any goroutine may use it.
type Sampler struct {
	// Every is the pause between two lines of one cause; 0 is DefaultEvery.
	Every time.Duration

	mu     sync.Mutex
	causes map[string]*seen // guarded by mu
}

// seen is what is known of one cause.
type seen struct {
	logged time.Time
	more   int // left out since then
}

// Take tells whether an event is to be logged, and how many of its cause were not since
// the last that was.
func (s *Sampler) Take(cause string) (more int, ok bool) {
	every := s.Every
	if every <= 0 {
		every = DefaultEvery
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.causes == nil {
		s.causes = make(map[string]*seen)
	}
	c := s.causes[cause]
	if c == nil && len(s.causes) >= maxCauses {
		const others = ""
		cause, c = others, s.causes[others]
	}
	now := time.Now()
	switch {
	case c == nil:
		s.causes[cause] = &seen{logged: now}
		return 0, true
	case now.Sub(c.logged) < every:
		c.more++
		return 0, false
	}
	more = c.more
	c.logged, c.more = now, 0
	return more, true
}

// Rest gives how many events were left out since the last line of their cause, for the
// end, when no other line will say so. Causes of which all were logged are not in it.
func (s *Sampler) Rest(each func(cause string, more int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cause := range slices.Sorted(maps.Keys(s.causes)) {
		if c := s.causes[cause]; c.more > 0 {
			each(cause, c.more)
			c.more = 0
		}
	}
}
