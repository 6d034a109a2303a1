package batcher

import (
	"slices"
	"sync"
	"time"
)

// risen remembers when the watermark came where, so that it can be told since when a
// transaction has been visible. It remembers all of it with a fixed number of marks: what
// is long ago is told less exactly, as later by a thirtieth of its age at most.
type risen struct {
	mu    sync.Mutex
	marks [maxMarks]rise // oldest first; guarded by mu
	n     int            // guarded by mu
}

// rise is one step of the watermark.
type rise struct {
	seq uint64
	at  int64 // microseconds since 1970
}

const (
	maxMarks = 1024
	// grain is what part of their age marks stand apart at most for one between them to
	// be dropped. Those of a week are some 600 then, so that there is room for new ones.
	grain = 32
)

// note says that the watermark is at seq now.
func (r *risen) note(seq uint64) {
	now := time.Now().UnixMicro()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == maxMarks {
		r.thin(now)
	}
	r.marks[r.n] = rise{seq, now}
	r.n++
}

// thin makes room. mu is held.
func (r *risen) thin(now int64) {
	kept := 1
	for i := 1; i < r.n; i++ {
		m := r.marks[i]
		if last := i == r.n-1; last || r.marks[i+1].at-r.marks[kept-1].at > (now-m.at)/grain {
			r.marks[kept] = m
			kept++
		}
	}
	if most := maxMarks * 3 / 4; kept > most {
		// Of what was before these it is known only that it was.
		copy(r.marks[:], r.marks[kept-most:kept])
		kept = most
	}
	r.n = kept
}

// since is when the watermark came to seq, in microseconds since 1970; 0 if it never
// did.
func (r *risen) since(seq uint64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.marks[:r.n], seq, func(m rise, seq uint64) int {
		switch {
		case m.seq < seq:
			return -1
		case m.seq > seq:
			return 1
		}
		return 0
	})
	if i == r.n {
		return 0
	}
	return r.marks[i].at
}
