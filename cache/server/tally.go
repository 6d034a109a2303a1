package server

import "sync"

// tally is the counters of one event loop's sessions. Consume holds mu while it works, so
// that counting costs no atomic operation.
type tally struct {
	mu sync.Mutex
}
