package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"golang.org/x/sync/errgroup"
)

// workload is one half: a writer, readers, and with mcsqueal somebody who watches
// each order's key go.
type workload struct {
	shop   *shop
	caches *caches
	watch  *watch // nil: nobody deletes

	began   atomic.Int64 // nanoseconds since 1970; 0 before
	ended   atomic.Int64
	reads   atomic.Int64
	stale   atomic.Int64
	readers []*reader
	orders  atomic.Int64 // committed
	left    int          // pages that were old in the end
}

func newWorkload(s *shop, c *caches, watched bool) *workload {
	w := &workload{shop: s, caches: c}
	if watched {
		w.watch = newWatch(c)
	}
	for n := range readerCount {
		// The same reads in both halves.
		random := rand.New(rand.NewPCG(uint64(n), 1))
		w.readers = append(w.readers, &reader{workload: w, random: random, popular: newPopularity(random)})
	}
	return w
}

// run goes on for a while, and until there are so many reads and orders at least. It
// returns when all is quiet again: with mcsqueal when every key is gone that the commits
// named, or has not gone in quite some time.
func (w *workload) run(ctx context.Context, d time.Duration, least int64) error {
	w.began.Store(time.Now().UnixNano())
	// Work that has begun is done to its end: only ctx breaks it off.
	over := make(chan struct{})
	working, workCtx := errgroup.WithContext(ctx)
	working.Go(func() error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			select {
			case <-workCtx.Done():
				return context.Cause(workCtx)
			case <-timer.C:
			}
			if w.shows(least) {
				break
			}
			timer.Reset(10 * time.Millisecond)
		}
		w.ended.Store(time.Now().UnixNano())
		close(over)
		return nil
	})
	working.Go(func() error { return w.write(workCtx, over) })
	for _, r := range w.readers {
		working.Go(func() error { return r.run(workCtx, over) })
	}
	watching, watchCtx := errgroup.WithContext(ctx)
	if w.watch != nil {
		watching.Go(func() error { return w.watch.run(watchCtx) })
	}
	err := working.Wait()
	if w.watch != nil {
		w.watch.finish()
	}
	err = errors.Join(err, watching.Wait())
	if err != nil {
		return err
	}
	return w.sweep()
}

// write commits orders at a steady rate.
func (w *workload) write(ctx context.Context, over <-chan struct{}) error {
	random := rand.New(rand.NewPCG(1, 2))
	popular := newPopularity(random)
	tick := time.NewTicker(time.Second / ordersPerSecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		w.shop.lastOrder++
		order := w.shop.lastOrder
		// The order's own key is in the cache before it is committed, so that every
		// commit has a delete that can be seen.
		if err := w.caches.client.Set(&memcache.Item{Key: orderKey(order), Value: []byte("placed, not paid")}); err != nil {
			return fmt.Errorf("set %s: %w", orderKey(order), err)
		}
		at, err := w.shop.buy(ctx, order, 1+random.IntN(customerCount), 1+popular.product())
		if err != nil {
			return err
		}
		w.orders.Add(1)
		if w.watch != nil {
			w.watch.add(order, at)
		}
	}
}

// shows tells whether enough has happened to be shown.
func (w *workload) shows(least int64) bool {
	return w.reads.Load() >= least && w.orders.Load() >= least && (least == 0 || w.watch != nil || w.stale.Load() > 0)
}

// sweep counts the pages of which the cache still holds an old version. Nobody
// reads or writes meanwhile.
func (w *workload) sweep() error {
	for n := range pageCount {
		item, err := w.caches.client.Get(pageKey(n))
		if errors.Is(err, memcache.ErrCacheMiss) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for %s: %w", pageKey(n), err)
		}
		p, err := decodePage(item.Value)
		if err != nil {
			return err
		}
		if p.Version < w.shop.ledger.committed(n) {
			w.left++
		}
	}
	return nil
}

// progress is a line about how it goes.
func (w *workload) progress() string {
	var elapsed time.Duration
	if began, ended := w.began.Load(), w.ended.Load(); ended != 0 {
		elapsed = time.Duration(ended - began)
	} else if began != 0 {
		elapsed = time.Since(time.Unix(0, began))
	}
	return fmt.Sprintf("%3.0f s %9s reads %8s stale", elapsed.Truncate(time.Second).Seconds(),
		count(int(w.reads.Load())), count(int(w.stale.Load())))
}

// figures is what came of it, after run.
func (w *workload) figures() *figures {
	f := &figures{
		reads: int(w.reads.Load()), stale: int(w.stale.Load()),
		pages: pageCount, left: w.left, orders: int(w.orders.Load()),
	}
	var staleFor [][]time.Duration
	for _, r := range w.readers {
		f.hits += r.hits
		staleFor = append(staleFor, r.staleFor)
	}
	f.staleFor = merge(staleFor)
	if w.watch != nil {
		f.watched = true
		f.deleted = merge([][]time.Duration{w.watch.deleted})
	}
	return f
}
