package main

import (
	"fmt"
	"sync"
	"time"
)

// clock is the form of times.
const clock = "15:04:05.000"

// chronicle is what was done, and what was found wrong. Any goroutine may use it.
type chronicle struct {
	mu       sync.Mutex // guards what follows
	deeds    []*deed
	findings []string
}

// deed is one fault: what went wrong from when to when.
type deed struct {
	kind        string // "cache frozen"
	what        string // "east/1 frozen"
	from, until time.Time
}

// begin notes that something goes wrong; what it returns notes that it is over.
func (c *chronicle) begin(kind, what string) (over func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &deed{kind: kind, what: what, from: time.Now()}
	c.deeds = append(c.deeds, d)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		d.until = time.Now()
	}
}

// find notes something that must not be.
func (c *chronicle) find(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findings = append(c.findings, time.Now().Format(clock+" ")+fmt.Sprintf(format, args...))
}

func (c *chronicle) found() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.findings...)
}

// near is what went wrong in some time.
func (c *chronicle) near(from, until time.Time) (near []deed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.deeds {
		if d.from.Before(until) && (d.until.IsZero() || d.until.After(from)) {
			near = append(near, *d)
		}
	}
	return near
}

// kinds counts the deeds by their kind.
func (c *chronicle) kinds() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := make(map[string]int)
	for _, d := range c.deeds {
		n[d.kind]++
	}
	return n
}

func (d deed) String() string {
	until := "…"
	if !d.until.IsZero() {
		until = d.until.Format(clock)
	}
	return fmt.Sprintf("%s – %s %s", d.from.Format(clock), until, d.what)
}
