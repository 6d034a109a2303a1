package mccache

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

var herdSeconds = flag.Float64("herd", 1.5, "how many seconds each herd grazes")

// herd is the paper's case for leases (§3.2.1): many readers, one hot key that is changed
// and deleted again and again, and a database that takes its time.
type herd struct {
	readers  int
	think    time.Duration // between two reads of a reader
	change   time.Duration // between two changes
	database time.Duration // a read of it, on average: up to twice as long, at random
	lasts    time.Duration
	stale    bool // who is to wait takes the value of before instead
}

// herdResult is what came of it.
type herdResult struct {
	reads, deletes int
	database       int             // reads of it
	peak           int             // most of them that began within one second
	filledStale    int             // values that were stored, though a delete had come since they were read
	marked         int             // reads that got the value of before, marked, and did not wait
	seenStale      int             // reads that got, unmarked, what a delete before them had made old
	waits          []time.Duration // of reads that had to wait: for the database, or for another who did
	elapsed        time.Duration
}

// wait is the time that a share q of those who waited did not exceed.
func (r herdResult) wait(q float64) time.Duration {
	if len(r.waits) == 0 {
		return 0
	}
	slices.Sort(r.waits)
	return r.waits[int(q*float64(len(r.waits)-1))].Round(100 * time.Microsecond)
}

// hotKey's database: a version, which grows. changed is the version whose delete has been
// acknowledged: no read that begins later may see an older one.
type hotDatabase struct {
	version, changed atomic.Int64
	delay            time.Duration

	mu    sync.Mutex
	began []time.Time // guarded by mu: of each read
}

// read is what a query sees: the version of when it began, some time later.
func (d *hotDatabase) read(ctx context.Context) string {
	d.mu.Lock()
	d.began = append(d.began, time.Now())
	d.mu.Unlock()
	v := d.version.Load()
	sleep(ctx, rand.N(2*d.delay))
	return strconv.FormatInt(v, 10)
}

// peak is the most reads that began within one second.
func (d *hotDatabase) peak() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.SortFunc(d.began, time.Time.Compare)
	most, from := 0, 0
	for to := range d.began {
		for d.began[to].Sub(d.began[from]) > time.Second {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// graze runs the herd. Without a dialect readers get, and set what they read.
func (h herd) graze(ctx context.Context, addr string, d *dialect) (herdResult, error) {
	db := &hotDatabase{delay: h.database}
	var (
		result herdResult
		mu     sync.Mutex // guards result
	)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.lasts)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.writer(ctx, addr, d, db, &result, &mu) })
	for range h.readers {
		group.Go(func() error { return h.reader(ctx, addr, d, db, &result, &mu) })
	}
	if err := group.Wait(); err != nil {
		return result, err
	}
	result.elapsed = time.Since(began)
	result.database, result.peak = len(db.began), db.peak()
	return result, nil
}

const hotKey = "hot"

// writer changes the row and deletes the key.
func (h herd) writer(ctx context.Context, addr string, d *dialect, db *hotDatabase, result *herdResult, mu *sync.Mutex) (err error) {
	w, err := connect(context.WithoutCancel(ctx), addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var deleter leaser = textLeaser{w}
	if d != nil {
		deleter = d.open(w)
	}
	for sleep(ctx, h.change) {
		v := db.version.Add(1)
		if err := deleter.delete(hotKey); err != nil {
			return err
		}
		db.changed.Store(v)
		mu.Lock()
		result.deletes++
		mu.Unlock()
	}
	return nil
}

// reader reads, again and again.
func (h herd) reader(ctx context.Context, addr string, d *dialect, db *hotDatabase, result *herdResult, mu *sync.Mutex) (err error) {
	w, err := connect(context.WithoutCancel(ctx), addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for sleep(ctx, h.think) {
		began, changed := time.Now(), db.changed.Load()
		var f fetched
		var deleted int64 // the version of the last delete before the fill
		database := func() string {
			v := db.read(ctx)
			deleted = db.changed.Load()
			return v
		}
		if d != nil {
			f, err = fetch(ctx, d.open(w), hotKey, h.stale, database)
		} else {
			f, err = lookAside(w, hotKey, database)
		}
		if ctx.Err() != nil {
			return nil // stopped in the middle
		}
		if err != nil {
			return err
		}
		version, err := strconv.ParseInt(f.value, 10, 64)
		if err != nil {
			return fmt.Errorf("a value that nobody set: %q", harness.Clip(f.value))
		}
		mu.Lock()
		result.reads++
		if f.marked {
			result.marked++
		}
		if f.cached && version < changed {
			result.seenStale++
		}
		if f.stored && version < deleted {
			result.filledStale++
		}
		if !f.atOnce {
			result.waits = append(result.waits, time.Since(began))
		}
		mu.Unlock()
	}
	return nil
}

// lookAside is a reader without leases.
func lookAside(w *wire, key string, database func() string) (fetched, error) {
	value, found, err := w.get(key)
	if err != nil || found {
		return fetched{value: value, cached: true, atOnce: true}, err
	}
	value = database()
	return fetched{value: value, stored: true}, w.set(key, value)
}

// tells whether enough has happened to judge by it: with leases, some deletes and reads,
// and marked ones where there are to be some; without, the harm.
func (r herdResult) tells(leases, stale bool) bool {
	if !leases {
		return r.database > 2*r.deletes && r.seenStale > 0
	}
	return r.deletes > 0 && r.reads > 0 && r.database > 0 && (!stale || r.marked > 0)
}

// mustBeRight holds what came of a herd with leases to what they promise.
func (r herdResult) mustBeRight(t *testing.T, name string) {
	t.Helper()
	if r.seenStale > 0 || r.filledStale > 0 {
		t.Errorf("%s: %d reads got, unmarked, what a delete before them had made old; %d such fills were taken", name, r.seenStale, r.filledStale)
	}
	if most := r.deletes + 1 + int(r.elapsed/leaseInterval); r.database > most {
		t.Errorf("%s: %d reads of the database, want at most %d: a read a delete, one to begin with and one an interval",
			name, r.database, most)
	}
}

// leaseInterval is for how long one token keeps others waiting.
const leaseInterval = 10 * time.Second

func TestTheHerdIsHeldBackAndNothingStaleIsSeen(t *testing.T) {
	servers.Need(t, servers.KindMemcached)
	h := herd{readers: 40, think: 5 * time.Millisecond, change: 100 * time.Millisecond, database: 70 * time.Millisecond,
		lasts: time.Duration(*herdSeconds * float64(time.Second))}
	var table strings.Builder
	fmt.Fprintf(&table, "%d readers, the key deleted every %v, a read of the database takes up to %v\n", h.readers, h.change, 2*h.database)
	fmt.Fprintf(&table, "%-24s %8s %8s %9s %10s %11s %11s %8s %11s %9s\n",
		"", "reads", "deletes", "database", "at most/s", "stale sets", "stale reads", "marked", "wait median", "p99")
	ours, stock := start(t), servers.Memcache(t, servers.MemcachedConfig{})
	for _, test := range []struct {
		name   string
		server *servers.Memcached
		d      *dialect
		stale  bool
	}{
		{"memcached, no leases", stock, nil, false},
		{"memcached, meta", stock, &metaDialect, false},
		{"mccache, no leases", ours, nil, false},
		{"mccache, text", ours, &textDialect, false},
		{"mccache, text, stale", ours, &textDialect, true},
		{"mccache, meta", ours, &metaDialect, false},
		{"mccache, meta, stale", ours, &staleDialect, true},
	} {
		h.stale = test.stale
		var r herdResult
		// A machine that has much else to do may not let it graze: again, until it has.
		for attempt := 0; attempt == 0 || attempt < 10 && !r.tells(test.d != nil, test.stale); attempt++ {
			err := test.server.Client().DeleteAll()
			if err != nil {
				t.Fatal(err)
			}
			if r, err = h.graze(t.Context(), test.server.Addr(), test.d); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			if test.d != nil {
				r.mustBeRight(t, test.name)
			}
		}
		fmt.Fprintf(&table, "%-24s %8d %8d %9d %10d %11d %11d %8d %11v %9v\n",
			test.name, r.reads, r.deletes, r.database, r.peak, r.filledStale, r.seenStale, r.marked, r.wait(0.5), r.wait(0.99))
		if r.deletes == 0 || r.reads == 0 || r.database == 0 {
			t.Errorf("%s: nothing happened: %+v", test.name, r)
		}
		if test.d == nil {
			// If this were not so, the bounds below would say nothing of leases.
			if !r.tells(false, false) {
				t.Errorf("%s: a herd that does no harm proves nothing: %d reads of the database for %d deletes, %d stale",
					test.name, r.database, r.deletes, r.seenStale)
			}
			continue
		}
		if test.stale != (r.marked > 0) {
			t.Errorf("%s: %d reads got the value of before", test.name, r.marked)
		}
	}
	t.Log("\n" + table.String())
}
