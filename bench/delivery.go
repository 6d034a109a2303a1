package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchDelivery replays a file of distinct keys into a memcached, beside a blaster
// that has nothing to do but send the same deletes.
func benchDelivery(ctx context.Context, w *workbench) (err error) {
	keys := w.scaled(2_000_000)
	const perTx = 20
	path := filepath.Join(w.dir, "keys")
	if err := keyFile(path, binlogtest.Config{}, keys, perTx); err != nil {
		return err
	}
	cache, err := servers.StartMemcached(ctx, servers.MemcachedConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	blaster := newBlaster(keys)
	rate := func(d time.Duration) float64 { return float64(keys) / d.Seconds() }
	results, err := interleave(ctx, w.rounds(),
		side{"mcsqueal replay", once(func(ctx context.Context) (float64, error) {
			d, err := w.replay(ctx, keys, "--files", path, "--cluster=c="+cache.Addr())
			return rate(d), err
		})},
		side{"blaster", once(func(ctx context.Context) (float64, error) {
			d, err := blaster.blast(ctx, cache.Addr())
			return rate(d), err
		})},
	)
	if err != nil {
		return err
	}
	w.table.compare("into memcached", "keys/s", results[0][0], "blaster", results[1][0], target{atLeast: 0.8})
	w.table.note("%s distinct keys, %d in a transaction. The blaster has its deletes ready in memory and pipelines them over one connection; mcsqueal is timed from its start to its end.", number(float64(keys)), perTx)
	return nil
}
