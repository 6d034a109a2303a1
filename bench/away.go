package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchAway has one of two clusters killed while an hour's worth of log is written,
// and restarted. It looks at what the other cluster notices of it, and at how much
// memory it takes.
func benchAway(ctx context.Context, w *workbench) (err error) {
	l, err := newLatency(ctx, w, servers.KindMySQL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	west, err := servers.StartMemcached(ctx, servers.MemcachedConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, west.Close()) }()
	if _, err := l.db.DB().ExecContext(ctx, "CREATE TABLE test.flood (id INT AUTO_INCREMENT PRIMARY KEY)"); err != nil {
		return fmt.Errorf("make a table: %w", err)
	}
	a := &away{latency: l, west: west, statements: w.scaled(8000)}
	var rounds awayRounds
	for range w.rounds() {
		err := l.with(ctx, l.daemon("auto", "--cluster=west="+west.Addr()), func(conn *sql.Conn, p *program) error {
			return a.round(ctx, conn, p, &rounds)
		})
		if err != nil {
			return err
		}
	}
	for q, name := range []string{"median", "99th percentile"} {
		limit := func(most float64) target {
			if q == 0 {
				return target{}
			}
			return target{atMost: most}
		}
		w.table.compare(name+", while the other cluster is away", "ms", rounds.away[q], "both there", rounds.both[q], limit(1.2))
		w.table.compare(name+", while it catches up", "ms", rounds.catching[q], "both there", rounds.both[q], limit(2))
	}
	w.table.add(row{what: "resident peak", ours: median(rounds.peak), unit: "MiB", target: target{atMost: memoryBound(len(floodStatement(0)))}})
	w.table.add(row{what: "until it had caught up", ours: median(rounds.caughtUp), unit: "s"})
	w.table.note("500 commits a second, %d in each phase, from COMMIT's sending to the delete at the cluster that is there, visibility auto, on MySQL. "+
		"The other cluster, a memcached, is killed; %d statements of %d keys are committed (%s MB of text: an hour of %d commits a second with a key each); it is restarted. %d alternations. "+
		"The source, the daemon, the caches and the writers share the machine's cores.",
		l.each, a.statements, floodKeys, number(float64(a.statements*len(floodStatement(0)))/1e6), a.statements*floodKeys/3600, w.rounds())
	return nil
}

// away is the set-up of latency with a second cluster.
type away struct {
	*latency
	west       *servers.Memcached
	statements int // in a flood
	floods     int // so far
}

// awayRounds has, of each round, the medians and 99th percentiles of each phase, in
// milliseconds, the peak of memory in MiB, and how long it took to catch up in seconds.
type awayRounds struct {
	both, away, catching [2][]float64
	peak, caughtUp       []float64
}

func (a *away) round(ctx context.Context, conn *sql.Conn, p *program, rounds *awayRounds) error {
	measure := func(into *[2][]float64) error {
		figures, err := a.measure(ctx, conn)
		if err != nil {
			return err
		}
		for q := range into {
			into[q] = append(into[q], figures[q])
		}
		return nil
	}
	if err := measure(&rounds.both); err != nil {
		return err
	}
	if err := a.west.Kill(); err != nil {
		return err
	}
	if err := a.flood(ctx); err != nil {
		return err
	}
	if err := measure(&rounds.away); err != nil {
		return err
	}
	if err := a.west.Restart(ctx); err != nil {
		return err
	}
	began := time.Now()
	// The last thing that it has to catch up with.
	marker := fmt.Sprintf("marker:%d", a.floods)
	if err := a.west.Client().Set(&memcache.Item{Key: marker, Value: []byte("there")}); err != nil {
		return fmt.Errorf("set the marker: %w", err)
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("UPDATE /* mc: %s */ test.t SET v = v + 1 WHERE id = 1", marker)); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if err := measure(&rounds.catching); err != nil {
		return err
	}
	if _, err := a.west.Client().Get(marker); errors.Is(err, memcache.ErrCacheMiss) {
		return errors.New("the cluster had caught up before it was measured: the flood is too small")
	}
	const caughtUp = 5 * time.Minute
	if err := a.until(ctx, caughtUp, func() (bool, error) {
		_, err := a.west.Client().Get(marker)
		if errors.Is(err, memcache.ErrCacheMiss) {
			return true, nil
		}
		return false, err
	}); err != nil {
		return fmt.Errorf("wait until the cluster has caught up: %w", err)
	}
	rounds.caughtUp = append(rounds.caughtUp, time.Since(began).Seconds())
	peak, err := residentPeak(p.cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("how much memory mcsqueal has had: %w", err)
	}
	rounds.peak = append(rounds.peak, float64(peak)/(1<<20))
	return nil
}

// floodKeys is how many keys a statement of the flood names.
const floodKeys = 1000

func floodStatement(n int) string {
	var b strings.Builder
	b.WriteString("INSERT /* mc:")
	for i := range floodKeys {
		fmt.Fprintf(&b, " flood:%034d", n*floodKeys+i)
	}
	b.WriteString(" */ INTO test.flood VALUES ()")
	return b.String()
}

// flood commits statements that name many keys, as fast as a few sessions can.
func (a *away) flood(ctx context.Context) error {
	const sessions = 4
	first := a.floods * a.statements
	a.floods++
	g, ctx := errgroup.WithContext(ctx)
	for s := range sessions {
		g.Go(func() error {
			for n := s; n < a.statements; n += sessions {
				if _, err := a.db.DB().ExecContext(ctx, floodStatement(first+n)); err != nil {
					return fmt.Errorf("write the flood: %w", err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}
