package memcache

import (
	"container/heap"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
)

// How long a refused key waits before it is tried again: doubling between these.
const (
	refusedWait    = 100 * time.Millisecond
	refusedMaxWait = 10 * time.Second
)

// refusedKey is a command that a cache refused for now.
type refusedKey struct {
	command []byte
	held    *batcher.Refused // what the position waits for
	delay   delay
	due     time.Time
	wait    time.Duration
}

// refusedKeys is a heap of them, the one that is due first in front.
type refusedKeys []*refusedKey

func (q refusedKeys) Len() int           { return len(q) }
func (q refusedKeys) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q refusedKeys) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *refusedKeys) Push(x any)        { *q = append(*q, x.(*refusedKey)) } //nolint:errcheck // nothing else is pushed
func (q *refusedKeys) Pop() any {
	old := *q
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return k
}

// add puts a key back that was refused just now, to wait longer than the last time.
func (q *refusedKeys) add(k *refusedKey, now time.Time) {
	k.wait = min(max(2*k.wait, refusedWait), refusedMaxWait)
	k.due = now.Add(k.wait)
	heap.Push(q, k)
}

// again puts a key back whose answer was lost with its connection.
func (q *refusedKeys) again(k *refusedKey) { heap.Push(q, k) }

// take removes up to n keys that are due.
func (q *refusedKeys) take(n int, now time.Time) []*refusedKey {
	var due []*refusedKey
	for len(*q) > 0 && len(due) < n && !(*q)[0].due.After(now) {
		due = append(due, heap.Pop(q).(*refusedKey)) //nolint:errcheck // nothing else is pushed
	}
	return due
}
