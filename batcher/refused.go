package batcher

import "github.com/mcsqueal/mcsqueal/binlog"

// Refused is commands that the cache has answered and refused for now. Their
// batches have been acknowledged, but the cursor's position waits for them.
//
// A position is not copied for each such command. There are two groups of them at
// most, an older and a younger. Each has a copy of the position as it was before
// its first batch, so before the transaction of each of its commands:
//
//	──────────┬───────────────┬────────────────► acknowledged
//	          │ older: its    │ younger: its
//	          │ commands …    │ commands …
//	     Position()      Position(), when the older is empty
//
// What is refused joins the younger group, or begins the older if there is none.
// When the older is empty, the younger takes its place. So the position never
// passes a refused command, and goes on however many keep being refused for a
// while. Their number is bounded by who takes batches: it stops (refused_max).
type Refused struct {
	cursor *Cursor
	before binlog.Position
	time   int64 // of the first transaction, in microseconds since 1970
	n      int   // guarded by cursor.mu
}

// refuse notes n commands of the batch that is about to be acknowledged. mu is held.
func (c *Cursor) refuse(n int, time int64) *Refused {
	i := 0
	if c.refused[0] != nil {
		i = 1
	}
	if c.refused[i] == nil {
		c.refused[i] = &Refused{cursor: c, before: c.position.Clone(), time: time}
	}
	c.refused[i].n += n
	return c.refused[i]
}

// Resolve says that n of the commands have been delivered, or set aside for good.
// Any goroutine may call it, also after the cursor has fallen out or been closed.
func (r *Refused) Resolve(n int) {
	c := r.cursor
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.n -= n; r.n < 0 {
		panic("batcher: more commands resolved than were refused")
	}
	if r.n > 0 {
		return
	}
	if r == c.refused[0] {
		c.refused[0] = c.refused[1]
		c.refused[1] = nil
	} else {
		c.refused[1] = nil
	}
}
