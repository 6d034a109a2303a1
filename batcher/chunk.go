package batcher

import "sync/atomic"

// chunk is a piece of the Log: a buffer of records without pointers, written once
// from front to back. Bytes that have been published are never written again as
// long as somebody may read them.
type chunk struct {
	// buf has its full length from the start. The writer writes behind published,
	// readers read before it.
	buf []byte
	// published is how many bytes may be read. It only grows, but for a truncation,
	// which lowers it to a place that no cursor has passed.
	published atomic.Int64
	// next is nil in the Log's last chunk. A chunk that has a next has its final
	// published. Changed under Log.mu.
	next atomic.Pointer[chunk]

	// What follows is written while the chunk is in nobody's hands.
	number uint64 // the next chunk's is greater by one
	start  int64  // bytes of the Log before this chunk

	// Guarded by Log.mu.
	pins    int  // readers that are in the chunk just now
	dropped bool // it is no longer in the Log; who takes the last pin off recycles it
}

func newChunk(size int) *chunk { return &chunk{buf: make([]byte, size)} }

// readable is how many bytes of c may be read.
func (c *chunk) readable() int { return int(c.published.Load()) }

// reset makes a chunk that nobody reads ready to be written from the front.
func (c *chunk) reset() {
	c.published.Store(0)
	c.next.Store(nil)
	c.dropped = false
}
