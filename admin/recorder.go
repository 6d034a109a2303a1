package admin

import (
	"context"
	"sync"
	"time"
)

const (
	// every is how often the daemon is asked what it is at, whoever wants to know.
	every = time.Second
	// kept is how much of the past is remembered.
	kept = 600
	// over is what rates are taken over.
	over = 10
)

// recorder asks the daemon what it is at, once a second, and keeps the answers: however
// many people look, the daemon is asked no oftener, and one who waits keeps nobody
// waiting but others who look.
type recorder struct {
	ask func() Status

	mu   sync.Mutex
	last Status           // guarded by mu
	past [kept + 1]sample // a ring; guarded by mu
	n    int              // how many there ever were; guarded by mu
}

// sample is what is kept of a moment.
type sample struct {
	at                 time.Time
	transactions, keys uint64
	clusters           []clusterSample
}

type clusterSample struct {
	name    string
	deletes uint64
	lag     float64
}

// run records until the context ends, a second from now for the first time.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.record()
		}
	}
}

// record asks once.
func (r *recorder) record() {
	s := r.ask()
	now := sample{at: s.Now, transactions: s.Read.Transactions, keys: s.Read.Keys}
	for _, c := range s.Clusters {
		now.clusters = append(now.clusters, clusterSample{c.Name, c.Deleted + c.NotFound, c.LagSeconds})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past[r.n%len(r.past)] = now
	r.n++
	then := r.back(min(over, r.n-1))
	s.Read.TransactionsPerSecond = rate(then.transactions, now.transactions, then.at, now.at)
	s.Read.KeysPerSecond = rate(then.keys, now.keys, then.at, now.at)
	for i := range s.Clusters {
		c := &s.Clusters[i]
		if was, ok := then.of(c.Name); ok {
			c.DeletesPerSecond = rate(was.deletes, c.Deleted+c.NotFound, then.at, now.at)
		}
	}
	r.last = s
}

// back is the sample that many before the last. mu is held.
func (r *recorder) back(n int) *sample {
	return &r.past[(r.n-1-n)%len(r.past)]
}

// of is a cluster's part.
func (s *sample) of(name string) (clusterSample, bool) {
	for _, c := range s.clusters {
		if c.name == name {
			return c, true
		}
	}
	return clusterSample{}, false
}

// rate is per second. A count that is lower than it was has begun anew.
func rate(was, is uint64, from, to time.Time) float64 {
	seconds := to.Sub(from).Seconds()
	if seconds <= 0 || is < was {
		return 0
	}
	return float64(is-was) / seconds
}

// status is the last answer.
func (r *recorder) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// unknown is a value of a time of which nothing is known.
const unknown = -1

// history is the past, of the clusters that there are now.
func (r *recorder) history() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := History{Until: r.last.Now, Seconds: every.Seconds(), KeysPerSecond: []float64{}, Clusters: []ClusterHistory{}}
	for _, c := range r.last.Clusters {
		h.Clusters = append(h.Clusters, ClusterHistory{Name: c.Name, LagSeconds: []float64{}, DeletesPerSecond: []float64{}})
	}
	for n := min(r.n, len(r.past)) - 2; n >= 0; n-- {
		then, now := r.back(n+1), r.back(n)
		h.KeysPerSecond = append(h.KeysPerSecond, rate(then.keys, now.keys, then.at, now.at))
		for i := range h.Clusters {
			c := &h.Clusters[i]
			is, ok := now.of(c.Name)
			if !ok {
				c.LagSeconds = append(c.LagSeconds, unknown)
				c.DeletesPerSecond = append(c.DeletesPerSecond, unknown)
				continue
			}
			was, ok := then.of(c.Name)
			if !ok {
				was = is
			}
			c.LagSeconds = append(c.LagSeconds, is.lag)
			c.DeletesPerSecond = append(c.DeletesPerSecond, rate(was.deletes, is.deletes, then.at, now.at))
		}
	}
	return h
}
