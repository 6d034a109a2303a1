package pipeline

import (
	"bytes"
	"context"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// Recalled is an invalidation that the Log remembers, and what has become of it.
type Recalled struct {
	batcher.Invalidation // its own copy
	// Acked has, for each cluster in the order of the configuration, when all its
	// connections had acknowledged the transaction.
	Acked []Acked
}

// Acked is whether, and when, a cluster acknowledged a transaction whole.
type Acked struct {
	Cluster string
	// Done: it has, by batches that were answered. Settled: and by its position, so that
	// no key of the transaction is being refused.
	Done, Settled bool
	// At is when, in microseconds since 1970; 0 where that is not remembered.
	At int64
	// Refused is how many keys the cluster's caches refuse for now, of whatever
	// transactions.
	Refused int
}

// Recall looks up what the main reading's Log remembers: the newest invalidations whose
// keys wanted says yes to, most of them, the newest first; and how far back it
// remembers. more says that there are older ones. Any goroutine may call it; it takes
// some hundredths of a second of a core for a full Log, and nobody waits for it.
func (p *Pipeline) Recall(ctx context.Context, most int, wanted func(key []byte) bool) (found []Recalled, more bool, reach batcher.Reach, err error) {
	main, _ := p.readings()
	if main == nil {
		return nil, false, reach, errNotRead
	}
	newest := recent{most: most}
	reach, err = main.reading.log.Recall(ctx, func(inv *batcher.Invalidation) bool {
		if wanted(inv.Key) {
			newest.add(inv)
		}
		return true
	})
	return p.outcomes(&newest), newest.more, reach, err
}

// latestChunks is in how much of the Log's end the latest invalidations are looked for.
const latestChunks = 2

// Latest are the newest invalidations, the newest first, as many as that if so many are
// at hand.
func (p *Pipeline) Latest(ctx context.Context, most int) ([]Recalled, error) {
	main, _ := p.readings()
	if main == nil {
		return nil, errNotRead
	}
	newest := recent{most: most}
	err := main.reading.log.Latest(ctx, latestChunks, func(inv *batcher.Invalidation) bool {
		newest.add(inv)
		return true
	})
	return p.outcomes(&newest), err
}

// recent keeps the last few invalidations that it is shown.
type recent struct {
	most int
	ring []batcher.Invalidation
	next int // where the next one goes, once there are as many as there may be
	more bool
}

// add keeps a copy, in the place of the oldest if there is no other.
func (r *recent) add(inv *batcher.Invalidation) {
	if r.most <= 0 {
		return
	}
	if len(r.ring) < r.most {
		r.ring = append(r.ring, batcher.Invalidation{})
		r.put(len(r.ring)-1, inv)
		return
	}
	r.more = true
	r.put(r.next, inv)
	r.next = (r.next + 1) % r.most
}

func (r *recent) put(i int, inv *batcher.Invalidation) {
	old := r.ring[i]
	r.ring[i] = *inv
	r.ring[i].Key = append(old.Key[:0], inv.Key...)
	r.ring[i].Schema = append(old.Schema[:0], inv.Schema...)
	r.ring[i].Table = append(old.Table[:0], inv.Table...)
}

// outcomes says what has become of invalidations, the newest first.
func (p *Pipeline) outcomes(r *recent) []Recalled {
	positions, refused := make([]binlog.Position, len(p.clusters)), make([]int, len(p.clusters))
	for i, c := range p.clusters {
		positions[i], refused[i] = c.position(), c.lag().Refused
	}
	found := make([]Recalled, 0, len(r.ring))
	for i := range r.ring {
		inv := r.ring[(r.next+len(r.ring)-1-i)%len(r.ring)]
		// Keys of one transaction are neighbours.
		if n := len(found); n > 0 && sameTransaction(&found[n-1].Invalidation, &inv) {
			found = append(found, Recalled{Invalidation: inv, Acked: found[n-1].Acked})
			continue
		}
		f := Recalled{Invalidation: inv}
		for i, c := range p.clusters {
			a := c.acked(&inv, positions[i])
			a.Refused = refused[i]
			f.Acked = append(f.Acked, a)
		}
		found = append(found, f)
	}
	return found
}

func sameTransaction(a, b *batcher.Invalidation) bool {
	return a.Start == b.Start && a.File == b.File && a.GTID == b.GTID
}

// acked is whether the cluster has acknowledged a transaction, its position being at.
func (c *cluster) acked(inv *batcher.Invalidation, at binlog.Position) Acked {
	a := Acked{Cluster: c.Name, Settled: at.Executed(inv.GTID, inv.File, inv.Start)}
	a.Done = true
	for _, l := range c.lanes {
		since := l.acks.Since(inv.File, inv.Start)
		if since == 0 {
			// What was acknowledged in another's log, or before this cluster was served.
			a.Done, a.At = a.Settled, 0
			return a
		}
		a.At = max(a.At, since)
	}
	return a
}

// KeyIs makes what Recall asks of keys: to be this one.
func KeyIs(key []byte) func([]byte) bool {
	return func(k []byte) bool { return bytes.Equal(k, key) }
}

// KeyHas makes what Recall asks of keys: to have this part.
func KeyHas(part []byte) func([]byte) bool {
	return func(k []byte) bool { return bytes.Contains(k, part) }
}
