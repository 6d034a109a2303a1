package main

import (
	"sync"
	"time"
)

// ledger knows, of every page's row, which versions have been committed and when
// each commit was acknowledged to the writer. It is what reads are judged by, apart
// from database and caches. Its methods may be called from any goroutine.
type ledger struct {
	mu sync.RWMutex
	// acknowledged has, for each page, the times of versions 2, 3, …; guarded by mu.
	// Version 1 was there before anybody read.
	acknowledged [][]time.Time
}

func newLedger(pages int) *ledger {
	return &ledger{acknowledged: make([][]time.Time, pages)}
}

// committed is the newest version that has been acknowledged.
func (l *ledger) committed(page int) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return 1 + len(l.acknowledged[page])
}

// commit notes that the pages' next versions were acknowledged at a time.
func (l *ledger) commit(at time.Time, pages ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, page := range pages {
		l.acknowledged[page] = append(l.acknowledged[page], at)
	}
}

// superseded is when a version stopped being the newest. It must not be the newest.
func (l *ledger) superseded(page, version int) time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.acknowledged[page][version-1]
}
