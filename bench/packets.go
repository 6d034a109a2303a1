package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
)

// benchPackets feeds mcsqueal 20,000 keys a second through a pipe and counts how
// many deletes each packet to the cache has: that is what batching saves.
func benchPackets(ctx context.Context, w *workbench) error {
	const rate = 20_000 // keys a second
	seconds := 3
	if w.short {
		seconds = 1
	}
	unit := "deletes/packet"
	var sides []side
	cases := []struct {
		perTx  int
		linger string
		want   target
	}{
		{20, "0s", target{atLeast: 18}},
		{1, "0s", target{}},
		{1, "500us", target{}},
		{1, "1ms", target{atLeast: 18}},
	}
	took := time.Duration(0)
	for _, c := range cases {
		sides = append(sides, side{fmt.Sprintf("%d keys a transaction, linger %s", c.perTx, c.linger), func(ctx context.Context) ([]float64, error) {
			p := &packetRun{perTx: c.perTx, transactions: rate * seconds / c.perTx, interval: time.Second * time.Duration(c.perTx) / rate, linger: c.linger}
			counts, raw, err := p.run(ctx, w)
			if err != nil {
				return nil, err
			}
			if !raw {
				unit = "deletes/read"
			}
			took = max(took, p.took)
			sum := 0.0
			for _, n := range counts {
				sum += n
			}
			return []float64{median(counts), sum / float64(len(counts))}, nil
		}})
	}
	results, err := interleave(ctx, 3, sides...)
	if err != nil {
		return err
	}
	for i, c := range cases {
		w.table.add(row{what: fmt.Sprintf("median, %s", sides[i].name), ours: median(results[i][0]), unit: unit, target: c.want})
		w.table.add(row{what: "  mean", ours: median(results[i][1]), unit: unit})
	}
	if unit != "deletes/packet" {
		w.table.note("Packets cannot be seen without CAP_NET_RAW; what is counted is the cache's reads.")
	}
	if late := took - time.Duration(seconds)*time.Second; late > time.Second/5 {
		w.table.note("The generator came up to %v late.", late.Round(time.Millisecond))
	}
	return nil
}

// packetRun is one stretch of transactions at a steady pace.
type packetRun struct {
	perTx        int
	transactions int
	interval     time.Duration
	linger       string
	took         time.Duration // from the first transaction to the last
}

// run gives the deletes of each packet, or (raw is false) of each of the cache's
// reads where packets cannot be seen.
func (p *packetRun) run(ctx context.Context, w *workbench) (counts []float64, raw bool, err error) {
	var mu sync.Mutex
	var reads []float64
	deletes := 0
	cache, err := startCache(ctx, func(_ time.Time, keys [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		reads = append(reads, float64(len(keys)))
		deletes += len(keys)
	})
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, cache.close()) }()
	packets, err := startCapture(cache.port())
	if err != nil && !errors.Is(err, unix.EPERM) {
		return nil, false, err
	}
	if err := p.replay(ctx, w, cache.addr()); err != nil {
		if packets != nil {
			_, stopped := packets.stop()
			err = errors.Join(err, stopped)
		}
		return nil, false, err
	}
	mu.Lock()
	defer mu.Unlock()
	if want := p.transactions * p.perTx; deletes != want {
		return nil, false, fmt.Errorf("%d deletes came, expected %d", deletes, want)
	}
	if packets == nil {
		return reads, false, nil
	}
	counts, err = packets.stop()
	return counts, true, err
}

// replay pipes the transactions into mcsqueal.
func (p *packetRun) replay(ctx context.Context, w *workbench, addr string) error {
	config := filepath.Join(w.dir, "packets.yaml")
	text := fmt.Sprintf("clusters: [{name: c, routers: [%q], linger: %s}]\n", addr, p.linger)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	m, err := w.start(ctx, in, "replay", "--files=-", "--config", config)
	err = errors.Join(err, in.Close())
	if err != nil {
		return errors.Join(err, out.Close())
	}
	log := binlogtest.NewWriter(out, binlogtest.Config{})
	// The first transactions go while mcsqueal starts and connects; what they say is
	// little beside the rest.
	began := time.Now()
	err = pace(ctx, p.transactions, p.interval, func(i int) error {
		log.Transaction(tagged(i*p.perTx, p.perTx))
		return log.Err()
	})
	p.took = time.Since(began)
	return errors.Join(err, out.Close(), m.wait())
}
