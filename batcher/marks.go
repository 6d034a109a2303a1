package batcher

import (
	"sort"
	"sync"
	"time"
)

// marks remembers when something that only grows came where, all of it, with a fixed
// number of marks: what is long ago is told less exactly, as later by a thirtieth of its
// age at most. The zero value is ready; any goroutine may use it.
type marks[T any] struct {
	mu   sync.Mutex
	each [maxMarks]marked[T] // oldest first; guarded by mu
	n    int                 // guarded by mu
}

type marked[T any] struct {
	at    int64 // microseconds since 1970
	place T
}

const (
	maxMarks = 1024
	// grain is what part of their age marks stand apart at most for one between them to
	// be dropped. Those of a week are some 600 then, so that there is room for new ones.
	grain = 32
)

// note says that it is at a place now.
func (m *marks[T]) note(place T) {
	now := time.Now().UnixMicro()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == maxMarks {
		m.thin(now)
	}
	m.each[m.n] = marked[T]{now, place}
	m.n++
}

// thin makes room. mu is held.
func (m *marks[T]) thin(now int64) {
	kept := 1
	for i := 1; i < m.n; i++ {
		mark := m.each[i]
		if last := i == m.n-1; last || m.each[i+1].at-m.each[kept-1].at > (now-mark.at)/grain {
			m.each[kept] = mark
			kept++
		}
	}
	if most := maxMarks * 3 / 4; kept > most {
		// Of what was before these it is known only that it was.
		copy(m.each[:], m.each[kept-most:kept])
		kept = most
	}
	clear(m.each[kept:m.n])
	m.n = kept
}

// since is when it came to where reached says yes, which it says of all places from
// some on; 0 if it never did. It is in microseconds since 1970.
func (m *marks[T]) since(reached func(T) bool) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := sort.Search(m.n, func(i int) bool { return reached(m.each[i].place) })
	if i == m.n {
		return 0
	}
	return m.each[i].at
}

// first is like since where reached may say no again behind a yes: it is asked of each
// place, from the oldest on.
func (m *marks[T]) first(reached func(*T) bool) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.n {
		if reached(&m.each[i].place) {
			return m.each[i].at
		}
	}
	return 0
}
