package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchLatency commits 500 transactions a second, each naming a key, and looks at
// how long after a COMMIT's return its delete is at the cache, beside a bare tailer
// that sends a delete as soon as it has read the statement.
func benchLatency(k servers.Kind) func(ctx context.Context, w *workbench) error {
	return func(ctx context.Context, w *workbench) (err error) {
		l, err := newLatency(ctx, w, k)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.close()) }()
		results, err := interleave(ctx, w.rounds(),
			side{"mcsqueal run --visibility=off", func(ctx context.Context) ([]float64, error) {
				return l.of(ctx, l.daemon("off"))
			}},
			side{"mcsqueal run --visibility=auto", func(ctx context.Context) ([]float64, error) {
				return l.of(ctx, l.daemon("auto"))
			}},
			side{"bare tailer", func(ctx context.Context) ([]float64, error) {
				return l.of(ctx, func(ctx context.Context) (*program, error) {
					from, err := end(ctx, l.db.Addr(), l.maria)
					if err != nil {
						return nil, err
					}
					return startTailer(ctx, from, l.cache.addr())
				})
			}},
		)
		if err != nil {
			return err
		}
		bare := results[2]
		for i, visibility := range []string{"off", "auto"} {
			ours := results[i]
			for q, name := range []string{"median", "99th percentile"} {
				what := fmt.Sprintf("%s, visibility %s, ", name, visibility)
				w.table.compare(what+"from COMMIT's sending", "ms", ours[q], "bare tailer", bare[q], target{atMost: 1.5})
				// The delete may well be there before who commits hears of it: of times
				// below zero there is no ratio.
				w.table.add(row{what: what + "from its return", ours: median(ours[q+2]), unit: "ms", peer: "bare tailer", theirs: median(bare[q+2])})
			}
		}
		w.table.note("500 commits a second, %d in each of %d rounds. The bare tailer sends a delete for each statement it reads and waits for nothing; with visibility auto mcsqueal waits until the commit can be read. Below zero the delete came before COMMIT returned.", l.each, w.rounds())
		return nil
	}
}

// latency is the set-up: a database, a cache, and when what happened.
type latency struct {
	w     *workbench
	db    *servers.Database
	maria bool
	cache *cache
	each  int // commits in one measurement

	mu      sync.Mutex
	deleted map[int]time.Time // guarded by mu: when a key's delete came first
	next    int               // number of the next key
}

// newLatency starts a database and a cache. The caller closes them.
func newLatency(ctx context.Context, w *workbench, k servers.Kind) (_ *latency, err error) {
	d, err := servers.StartDatabase(ctx, k, servers.Config{})
	if err != nil {
		return nil, err
	}
	l := &latency{w: w, db: d, maria: k == servers.KindMariaDB, each: w.scaled(1500)}
	if l.cache, err = startCache(ctx, l.arrived); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if _, err := d.DB().ExecContext(ctx, "CREATE TABLE test.t (id INT PRIMARY KEY, v INT); INSERT INTO test.t VALUES (1, 0)"); err != nil {
		return nil, errors.Join(fmt.Errorf("make a table: %w", err), l.close())
	}
	return l, nil
}

func (l *latency) close() error { return errors.Join(l.db.Close(), l.cache.close()) }

// daemon starts mcsqueal run with a state of its own.
func (l *latency) daemon(visibility string, more ...string) func(ctx context.Context) (*program, error) {
	return func(ctx context.Context) (*program, error) {
		state, err := os.MkdirTemp(l.w.dir, "state-")
		if err != nil {
			return nil, fmt.Errorf("make a state folder: %w", err)
		}
		return l.w.start(ctx, nil, append([]string{"run", "--source=" + l.db.URL(), "--state-dir=" + state,
			"--cluster=c=" + l.cache.addr(), "--visibility=" + visibility}, more...)...)
	}
}

// arrived takes note of deletes at the cache.
func (l *latency) arrived(now time.Time, keys [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		number, found := bytes.CutPrefix(key, []byte("lat:"))
		if !found {
			continue
		}
		if n, err := strconv.Atoi(string(number)); err == nil {
			if _, again := l.deleted[n]; !again {
				l.deleted[n] = now
			}
		}
	}
}

// of starts a program, measures, and stops it.
func (l *latency) of(ctx context.Context, start func(ctx context.Context) (*program, error)) (figures []float64, err error) {
	err = l.with(ctx, start, func(conn *sql.Conn, _ *program) error {
		figures, err = l.measure(ctx, conn)
		return err
	})
	return figures, err
}

// with starts a program, waits until deletes arrive, does what is to be done while it
// runs, and stops it.
func (l *latency) with(ctx context.Context, start func(ctx context.Context) (*program, error), do func(*sql.Conn, *program) error) (err error) {
	conn, err := l.db.DB().Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	l.mu.Lock()
	l.deleted = make(map[int]time.Time)
	l.mu.Unlock()
	p, err := start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	// Until it reads the log, nothing that is committed is heard of.
	if err := l.until(ctx, patience, func() (bool, error) {
		first := l.next
		if _, err := l.commit(ctx, conn); err != nil {
			return false, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		_, heard := l.deleted[first-1]
		return heard, nil
	}); err != nil {
		return fmt.Errorf("wait for the first delete: %w; it said:\n%s", err, p.stderr.Bytes())
	}
	return do(conn, p)
}

// patience is how long a delete may take before it counts as lost.
const patience = 10 * time.Second

// measure gives the median and the 99th percentile from COMMIT's sending, and those
// from its return, in milliseconds.
func (l *latency) measure(ctx context.Context, conn *sql.Conn) ([]float64, error) {
	first := l.next
	commits := make([]commit, l.each)
	if err := pace(ctx, l.each, time.Second/500, func(i int) (err error) {
		commits[i], err = l.commit(ctx, conn)
		return err
	}); err != nil {
		return nil, err
	}
	if err := l.until(ctx, patience, func() (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range commits {
			if _, heard := l.deleted[first+i]; !heard {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return nil, fmt.Errorf("wait for the last delete: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	sinceSent, sinceReturned := make([]float64, l.each), make([]float64, l.each)
	for i, c := range commits {
		deleted := l.deleted[first+i]
		sinceSent[i], sinceReturned[i] = ms(deleted.Sub(c.sent)), ms(deleted.Sub(c.returned))
	}
	return []float64{median(sinceSent), quantile(sinceSent, 0.99), median(sinceReturned), quantile(sinceReturned, 0.99)}, nil
}

// commit is when a COMMIT was sent, and when it returned.
type commit struct{ sent, returned time.Time }

// commit commits a transaction that names the next key.
func (l *latency) commit(ctx context.Context, conn *sql.Conn) (c commit, err error) {
	update := fmt.Sprintf("BEGIN; UPDATE /* mc: lat:%d */ test.t SET v = v + 1 WHERE id = 1", l.next)
	l.next++
	if _, err := conn.ExecContext(ctx, update); err != nil {
		return c, fmt.Errorf("update: %w", err)
	}
	c.sent = time.Now()
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return c, fmt.Errorf("commit: %w", err)
	}
	c.returned = time.Now()
	return c, nil
}

// until asks every few milliseconds until it is so.
func (l *latency) until(ctx context.Context, patience time.Duration, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v", patience))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := so(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
