package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// speed measures a group's shapes on both servers in turns.
func (b *bench) speed(ctx context.Context, g group) (err error) {
	need := 2 * int64(g.filling.megabytes()) << 20
	if free, err := available(); err != nil {
		return err
	} else if free < need+1<<30 {
		b.report.leftOut("%s %s: both servers need %d MiB, and the machine can give %d", g.layout.name, g.filling, need>>20, free>>20)
		return nil
	}
	b.say("%s, %s: filling", g.layout.name, g.filling)
	t := newItems(g.filling.count, g.filling.size)
	var sides [2]*server
	for i, s := range b.starters {
		v, err := s.launch(ctx, g, t)
		if err != nil {
			return err
		}
		sides[i] = v
		defer func() { err = errors.Join(err, v.Close()) }()
	}
	for _, s := range g.shapes {
		r, err := b.shape(ctx, g, s, t, sides)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name(s), err)
		}
		b.report.rows = append(b.report.rows, r)
		b.say("%-42s %s", g.name(s), r.brief())
	}
	return nil
}

// shape measures one shape.
func (b *bench) shape(ctx context.Context, g group, s shape, t *items, sides [2]*server) (_ row, err error) {
	r := row{group: g, shape: s}
	var clients [2]*client
	for i, v := range sides {
		if clients[i], err = newClient(g.layout, s, t, v); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, clients[i].close()) }()
	}
	for round := range b.rounds {
		for i := range sides {
			if round%2 == 1 {
				i = 1 - i
			}
			if err := ctx.Err(); err != nil {
				return r, context.Cause(ctx)
			}
			c := clients[i]
			if err := c.server.arrange(g.layout); err != nil {
				return r, err
			}
			o, err := watchOthers(c.server.cpu, processClock(os.Getpid()))
			if err != nil {
				return r, err
			}
			s, err := c.measure(round, b.warm, b.seconds)
			if err != nil {
				return r, fmt.Errorf("%s: %w", c.server.name, err)
			}
			share, err := o.share()
			if err != nil {
				return r, err
			}
			r.spans[i] = append(r.spans[i], s)
			r.others = append(r.others, share)
		}
	}
	if s.latency && g.layout.pinned && !b.noLatency {
		return r, b.latency(ctx, &r, clients)
	}
	return r, nil
}

// client is what asks one server in one shape: its connections live through all rounds.
type client struct {
	server  *server
	shape   shape
	items   *items
	loops   []*loop
	popular []uint32
	at      uint64 // where the next deletes begin
}

func newClient(l layout, s shape, t *items, v *server) (_ *client, err error) {
	c := &client{server: v, shape: s, items: t}
	if s.zipf {
		c.popular = newZipf(t.count, 1).list(1 << 20)
	}
	for range l.loops {
		one, err := dial(t, v.addr, s.conns/l.loops, s.udp)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		one.load = s.load
		c.loops = append(c.loops, one)
	}
	return c, nil
}

func (c *client) close() error {
	if c == nil {
		return nil
	}
	var failed []error
	for _, l := range c.loops {
		failed = append(failed, l.close())
	}
	return errors.Join(failed...)
}

// measure runs one round.
func (c *client) measure(round int, warm, measured time.Duration) (span, error) {
	for i, l := range c.loops {
		seed := uint64(round*len(c.loops)+i)*0x9e3779b97f4a7c15 + 1
		l.pick = &uniform{seed, uint64(c.items.count)}
		if c.shape.zipf {
			l.pick = &sequence{c.popular, int(seed % uint64(len(c.popular)))}
		}
		l.flags = '1' + byte(round%9)
	}
	switch c.shape.load.verb {
	case verbDelete:
		return c.deletes(measured)
	case verbSet:
		before := make([]int, len(c.loops))
		for i, l := range c.loops {
			before[i] = l.keys
		}
		s, err := c.run(warm, measured)
		if err != nil {
			return s, err
		}
		// Every loop's first keys have been set for certain, for all that it has begun with
		// is answered: of a loop that hardly got a processor these are few.
		for i, l := range c.loops {
			seed := uint64(round*len(c.loops)+i)*0x9e3779b97f4a7c15 + 1
			again := &limited{&uniform{seed, uint64(c.items.count)}, min(1000, l.keys-before[i])}
			if err := c.server.check(c.items, again, l.flags); err != nil {
				return s, err
			}
		}
		return s, nil
	}
	return c.run(warm, measured)
}

// deletes deletes keys that are there, each once, a stretch at a time until it has
// taken long enough; the stretches are filled again in between, which is not measured.
func (c *client) deletes(measured time.Duration) (total span, err error) {
	const most = 100_000
	count, n := uint64(c.items.count), uint64(min(c.items.count, most))
	for total.wall < measured {
		all := stretch{at: c.at, end: c.at + n, step: strideOf(c.items.count), count: count}
		share := n / uint64(len(c.loops))
		for i, l := range c.loops {
			part := all
			part.at += uint64(i) * share
			if i < len(c.loops)-1 {
				part.end = part.at + share
			}
			l.pick = &part
		}
		s, err := c.run(0, time.Hour)
		if err != nil {
			return total, err
		}
		if s.keys != int(n) {
			return total, fmt.Errorf("%d of %d keys were deleted", s.keys, n)
		}
		total = total.plus(s)
		if err := c.server.fill(c.items, &all); err != nil {
			return total, err
		}
		c.at = (c.at + n) % count
	}
	return total, nil
}

// run runs all loops at once, each on a thread of its own, with no garbage collection
// meanwhile.
func (c *client) run(warm, length time.Duration) (span, error) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	// The loops' threads keep their processors while they wait in the kernel.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(c.loops) + 2))
	all := make([]measured, len(c.loops))
	from := clock() + int64(warm)
	var group errgroup.Group
	for i, l := range c.loops {
		group.Go(func() (err error) {
			all[i], err = l.closed(c.server.cpu, from, length)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return span{}, err
	}
	total := together(all)
	if total.lost*100 > total.keys {
		return total, fmt.Errorf("%d of %d datagrams were lost, more than one in a hundred", total.lost, total.keys)
	}
	return total, nil
}

// latency measures in an open loop, at half of what memcached took.
func (b *bench) latency(ctx context.Context, r *row, clients [2]*client) error {
	perSecond := median(r.rates(0)) / float64(r.shape.load.batch) / 2
	r.halfRate = perSecond * float64(r.shape.load.batch)
	for round := range b.rounds {
		for i := range clients {
			if round%2 == 1 {
				i = 1 - i
			}
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			h, err := clients[i].open(round, perSecond, b.warm, b.seconds)
			if err != nil {
				return fmt.Errorf("%s: open loop: %w", clients[i].server.name, err)
			}
			for k, q := range quantiles {
				r.times[i][k] = append(r.times[i][k], float64(h.quantile(q)))
			}
		}
	}
	return nil
}

// quantiles of times that are printed.
var quantiles = [...]float64{0.5, 0.99, 0.999}

func (c *client) open(round int, perSecond float64, warm, measured time.Duration) (*histogram, error) {
	if err := c.server.arrange(layout{pinned: true}); err != nil {
		return nil, err
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	l := c.loops[0]
	l.pick = &uniform{uint64(round) + 77, uint64(c.items.count)}
	h := new(histogram)
	done := make(chan error, 1)
	go func() { done <- l.open(perSecond, warm, measured, h) }()
	return h, <-done
}

// ratio is what mccache's figure is of memcached's: in each round, since both were
// measured under the same conditions there, and over all rounds.
type ratio struct{ median, least, most float64 }

func ratioOf(ours, theirs []float64) ratio {
	each := make([]float64, len(ours))
	for i := range ours {
		each[i] = ours[i] / theirs[i]
	}
	return ratio{median(each), slices.Min(each), slices.Max(each)}
}

// median of a set that is not empty.
func median(set []float64) float64 {
	sorted := slices.Sorted(slices.Values(set))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
