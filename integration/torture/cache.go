package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// cache is one cache of a cluster, and what is known to be in it.
//
// A key that the cache has confirmed is held until it is seen gone; so what is held
// of committed writes, and stays, is lost. What can no longer prove anything is let
// go and counted.
type cache struct {
	*servers.Memcached
	name string // "east/2"

	mu sync.Mutex // guards what follows
	// life is odd while the cache is, or may just have been, killed: nothing that is
	// seen then says anything.
	life   uint64
	frozen bool
	healed chan struct{} // closed and replaced when it is neither killed nor frozen any more
	held   map[string]*holding
	counts pairs
}

// holding is a key in a cache, with the value that names its write.
type holding struct{ write *write }

// pairs counts pairs of a key and a cache.
type pairs struct {
	gone        int // held of a committed write, and deleted
	lost        int // held of a committed write, and still there in the end
	unset       int // the cache had not confirmed the key when the write began
	emptied     int // the cache was killed
	overwritten int // the key was set for a later write before it was looked for
	void        int // the write was rolled back, or is not known to have been committed
}

func (p *pairs) add(q pairs) {
	p.gone += q.gone
	p.lost += q.lost
	p.unset += q.unset
	p.emptied += q.emptied
	p.overwritten += q.overwritten
	p.void += q.void
}

// letGo counts a pair that is no longer held: as the given count if its write was, or
// may yet be, committed.
func (p *pairs) letGo(f fate, count *int) {
	switch f {
	case open, committed:
		*count++
	case void:
		p.void++
	}
}

// provable are those that could have been found to be lost.
func (p *pairs) provable() int { return p.gone + p.lost }

func newCache(ctx context.Context, name string, old bool) (*cache, error) {
	m, err := servers.StartMemcached(ctx, servers.MemcachedConfig{
		Old: old,
		// Nothing may be evicted, and no writer be turned away.
		Args: []string{"-m", "1024", "-c", "8192"},
	})
	if err != nil {
		return nil, err
	}
	return &cache{Memcached: m, name: name, held: make(map[string]*holding), healed: make(chan struct{})}, nil
}

// fill sets all keys of a write, which has not begun.
func (c *cache) fill(ctx context.Context, l *link, w *write) {
	life, well := c.begin(w.keys)
	stored := 0
	if well {
		// Why it failed does not matter: the keys then prove nothing.
		stored, _ = l.set(ctx, w.keys, w.value())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life != life {
		stored = 0
	}
	for _, key := range w.keys[:stored] {
		c.held[key] = &holding{w}
	}
	c.counts.unset += len(w.keys) - stored
}

// begin lets go of keys that are about to be set: what they held cannot be looked
// for any more.
func (c *cache) begin(keys []string) (life uint64, well bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		if h := c.held[key]; h != nil {
			delete(c.held, key)
			c.counts.letGo(h.write.fate(), &c.counts.overwritten)
		}
	}
	return c.life, c.life%2 == 0 && !c.frozen
}

// well tells whether the cache answers, and gives what is closed when it does again.
func (c *cache) well() (bool, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life%2 == 0 && !c.frozen, c.healed
}

// sweep looks for what is held of committed writes and lets go of what is gone.
func (c *cache) sweep(ctx context.Context, l *link) error {
	life, keys, held := c.due()
	for len(keys) > 0 {
		n := min(atOnce, len(keys))
		values, err := l.get(ctx, keys[:n])
		if err != nil {
			return fmt.Errorf("look into %s: %w", c.name, err)
		}
		c.seen(life, keys[:n], held[:n], values)
		keys, held = keys[n:], held[n:]
	}
	return nil
}

// due is what a sweep looks for.
func (c *cache) due() (life uint64, keys []string, held []*holding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life%2 != 0 || c.frozen {
		return c.life, nil, nil
	}
	for key, h := range c.held {
		switch h.write.fate() {
		case committed:
			keys, held = append(keys, key), append(held, h)
		case void:
			delete(c.held, key)
			c.counts.void++
		}
	}
	return c.life, keys, held
}

// seen takes note of what the cache had of some keys when it was asked.
func (c *cache) seen(life uint64, keys []string, held []*holding, values map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life != life {
		return // it was killed meanwhile
	}
	for i, key := range keys {
		if c.held[key] != held[i] {
			continue // set again meanwhile
		}
		switch value, there := values[key]; {
		case !there:
			c.counts.gone++
		case value != held[i].write.value():
			// A set that was not confirmed, because the cache was frozen, came late.
			c.counts.overwritten++
		default:
			continue
		}
		delete(c.held, key)
	}
}

// kill ends the process, and with it all it held.
func (c *cache) kill() error {
	c.empty(1)
	return c.Kill()
}

// revive starts a killed cache again, empty.
func (c *cache) revive(ctx context.Context) error {
	if err := c.Restart(ctx); err != nil {
		return err
	}
	c.empty(0) // what was set in between may have gone to either process
	return nil
}

// empty lets go of everything, and makes the life odd or even.
func (c *cache) empty(odd uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life++
	if c.life%2 != odd {
		c.life++
	}
	for key, h := range c.held {
		delete(c.held, key)
		c.counts.letGo(h.write.fate(), &c.counts.emptied)
	}
	c.heal()
}

// setFrozen says whether the cache stands still.
func (c *cache) setFrozen(frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = frozen
	c.heal()
}

// heal wakes who waits for the cache, if it is well. mu is held.
func (c *cache) heal() {
	if c.life%2 == 0 && !c.frozen {
		close(c.healed)
		c.healed = make(chan struct{})
	}
}

// left is what is held of committed writes.
func (c *cache) left() map[string]*holding {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := make(map[string]*holding)
	for key, h := range c.held {
		if h.write.fate() == committed {
			left[key] = h
		}
	}
	return left
}

// holds tells whether a key is still held of the same write.
func (c *cache) holds(key string, h *holding) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[key] == h
}

// tally is what has come of all that was ever held; what is still held of committed
// writes is lost.
func (c *cache) tally() pairs {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.counts
	for _, h := range c.held {
		p.letGo(h.write.fate(), &p.lost)
	}
	return p
}
