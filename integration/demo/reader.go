package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// popularity draws products so that some are asked for far more often than others
// (Zipf's law), the same ones in both halves.
type popularity struct{ zipf *rand.Zipf }

func newPopularity(random *rand.Rand) popularity {
	return popularity{rand.NewZipf(random, 1.1, 20, productCount-1)}
}

// product is from 0 to productCount-1.
func (p popularity) product() int { return int(p.zipf.Uint64()) }

// reader reads pages as an application does that looks aside: in the cache, and on
// a miss in the database, to set what it found. One goroutine runs it.
type reader struct {
	workload *workload
	random   *rand.Rand
	popular  popularity

	hits     int
	staleFor []time.Duration
}

// run reads until over is closed.
func (r *reader) run(ctx context.Context, over <-chan struct{}) error {
	for {
		think := time.NewTimer(time.Duration(r.random.ExpFloat64() * float64(thinkTime)))
		select {
		case <-over:
			think.Stop()
			return nil
		case <-ctx.Done():
			think.Stop()
			return context.Cause(ctx)
		case <-think.C:
		}
		n := r.popular.product()
		if r.random.IntN(4) == 0 {
			n = customerPage(1 + r.random.IntN(customerCount))
		}
		if err := r.read(ctx, n); err != nil {
			return err
		}
	}
}

// read reads one page and judges what it got.
func (r *reader) read(ctx context.Context, n int) error {
	w := r.workload
	newest := w.shop.ledger.committed(n)
	began := time.Now()
	p, err := r.page(ctx, n)
	if err != nil {
		return err
	}
	w.reads.Add(1)
	if p.Version < newest {
		w.stale.Add(1)
		r.staleFor = append(r.staleFor, began.Sub(w.shop.ledger.superseded(n, p.Version)))
	}
	return nil
}

// page gets a page from the cache, or else from the database into the cache.
func (r *reader) page(ctx context.Context, n int) (page, error) {
	cache, key := r.workload.caches.client, pageKey(n)
	item, err := cache.Get(key)
	if err == nil {
		r.hits++
		return decodePage(item.Value)
	}
	if !errors.Is(err, memcache.ErrCacheMiss) {
		return page{}, fmt.Errorf("get %s: %w", key, err)
	}
	p, err := r.workload.shop.load(ctx, n)
	if err != nil {
		return page{}, err
	}
	value, err := p.encode()
	if err != nil {
		return page{}, fmt.Errorf("encode %s: %w", key, err)
	}
	if err := cache.Set(&memcache.Item{Key: key, Value: value, Expiration: int32(pageTTL.Seconds())}); err != nil {
		return page{}, fmt.Errorf("set %s: %w", key, err)
	}
	return p, nil
}
