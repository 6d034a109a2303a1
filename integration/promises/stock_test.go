package promises

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// stock is a table whose rows readers cache: one key a row, whose value is the row's.
type stock struct {
	*harness.Database
	items []string // their keys, by id
}

func newStock(t *testing.T, db *harness.Database, items int) *stock {
	t.Helper()
	s := &stock{Database: db, items: db.Numbered("item", items)}
	db.Exec(t, "CREATE TABLE stock (id INT PRIMARY KEY, sold INT NOT NULL)")
	for id := range s.items {
		db.Exec(t, "INSERT INTO stock VALUES (?, 0)", id)
	}
	return s
}

// sale writes to one row, and names its key.
func (s *stock) sale(id int) string {
	return fmt.Sprintf("UPDATE %s stock SET sold = sold + 1 WHERE id = %d", harness.Tag(s.items[id]), id)
}

// sellEach writes to some rows, each in a session of its own, and commits all at once.
// It does not wait for the commits; who is given them does.
func (s *stock) sellEach(t *testing.T, from, until int) (commits func()) {
	t.Helper()
	var written, sessions errgroup.Group
	conns := make([]*sql.Conn, until-from)
	for i := range conns {
		written.Go(func() (err error) {
			if conns[i], err = s.Pool.Conn(t.Context()); err != nil {
				return err
			}
			if _, err = conns[i].ExecContext(t.Context(), "BEGIN"); err != nil {
				return err
			}
			_, err = conns[i].ExecContext(t.Context(), s.sale(from+i))
			return err
		})
	}
	if err := written.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		sessions.Go(func() error {
			_, err := conn.ExecContext(t.Context(), "COMMIT")
			return errors.Join(err, conn.Close())
		})
	}
	return func() {
		t.Helper()
		if err := sessions.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// churn writes to any row, from several sessions, until the context ends.
func (s *stock) churn(ctx context.Context, sessions int) (wait func() (sold int64, err error)) {
	var g errgroup.Group
	var sold atomic.Int64
	for range sessions {
		g.Go(func() error {
			for ctx.Err() == nil {
				// The statement outlives the context: it is committed or not.
				if _, err := s.Pool.ExecContext(context.WithoutCancel(ctx), s.sale(rand.IntN(len(s.items)))); err != nil {
					return err
				}
				sold.Add(1)
			}
			return nil
		})
	}
	return func() (int64, error) {
		err := g.Wait()
		return sold.Load(), err
	}
}

// read is what the source says of a row.
func (s *stock) read(ctx context.Context, id int) (sold string, err error) {
	err = s.Pool.QueryRowContext(ctx, "SELECT sold FROM stock WHERE id = "+strconv.Itoa(id)).Scan(&sold)
	return sold, err
}

// shelf is a cache of the stock, without leases, that a daemon of its own keeps fresh
// and that readers fill.
type shelf struct {
	stock  *stock
	cache  *harness.Cache
	daemon *harness.Process
	hits   int // deletes that had been answered DELETED at the last mark
}

func (s *stock) newShelf(t *testing.T, visibility string) *shelf {
	t.Helper()
	f := &shelf{stock: s, cache: harness.NewCache(t)}
	f.daemon = harness.Configure(t, s.SourceURL(), "visibility: "+visibility, to(cluster(visibility, "servers", f.cache.Addr()))).Daemon(t)
	return f
}

// open lets readers look at any row, and returns once every row is in the cache. They
// stop at the latest with the test.
func (f *shelf) open(t *testing.T, readers int) (closed func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var g errgroup.Group
	for range readers {
		g.Go(func() error {
			pause := time.NewTicker(200 * time.Microsecond)
			defer pause.Stop()
			for ctx.Err() == nil {
				if err := f.look(context.WithoutCancel(ctx), rand.IntN(len(f.stock.items))); err != nil {
					return err
				}
				<-pause.C
			}
			return nil
		})
	}
	closed = func() {
		t.Helper()
		stop()
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { stop(); _ = g.Wait() })
	f.awaitFull(t, f.stock.items...)
	return closed
}

// look is what a reader does: it looks aside, and on a miss fills the cache from the
// source. A fill that the source contradicts straight after is the reader's own race
// with a delete that came in time: what leases are for. It takes that one back. What
// stays is stale only if the delete was early.
func (f *shelf) look(ctx context.Context, id int) error {
	key, c := f.stock.items[id], f.cache.Client()
	if _, err := c.Get(key); !errors.Is(err, memcache.ErrCacheMiss) {
		return err
	}
	sold, err := f.stock.read(ctx, id)
	if err != nil {
		return err
	}
	if err := c.Set(&memcache.Item{Key: key, Value: []byte(sold)}); err != nil {
		return err
	}
	if again, err := f.stock.read(ctx, id); err != nil || again == sold {
		return err
	}
	if err := c.Delete(key); !errors.Is(err, memcache.ErrCacheMiss) {
		return err
	}
	return nil
}

// awaitFull waits until readers have filled keys.
func (f *shelf) awaitFull(t *testing.T, keys ...string) {
	t.Helper()
	harness.Await(t, "readers fill the cache", func() bool { return len(f.cache.Has(t, keys...)) == len(keys) })
}

// mark begins to count deletes.
func (f *shelf) mark(t *testing.T) {
	t.Helper()
	f.hits = f.cache.Stat(t, "delete_hits")
}

// deleted is how many keys were deleted since mark.
func (f *shelf) deleted(t *testing.T) int {
	t.Helper()
	return f.cache.Stat(t, "delete_hits") - f.hits
}

// stale counts the keys whose value is not the source's. It asks when everything has
// been delivered and nobody reads or writes any more.
func (f *shelf) stale(t *testing.T) (n int) {
	t.Helper()
	cached, err := f.cache.Client().GetMulti(f.stock.items)
	if err != nil {
		t.Fatal(err)
	}
	for id, key := range f.stock.items {
		sold, err := f.stock.read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if item := cached[key]; item != nil && string(item.Value) != sold {
			n++
		}
	}
	return n
}

// hold lets time pass in which something must not happen.
func hold(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// stall keeps commits between the log and the engine, as a replica that does not
// answer does with semi-synchronous replication.
type stall struct {
	db      *harness.Database
	setting string // what turns it on and off
	// together makes n commits one group; MariaDB lets no second group of a stall
	// into the log but one.
	together string
}

func newStall(t *testing.T, db *harness.Database) *stall {
	t.Helper()
	if db.IsMySQL() {
		db.Exec(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
		db.Exec(t, "SET GLOBAL rpl_semi_sync_source_timeout = 600000") // the wait point is AFTER_SYNC
		return &stall{db, "rpl_semi_sync_source_enabled", "SET GLOBAL binlog_group_commit_sync_no_delay_count = %d, GLOBAL binlog_group_commit_sync_delay = %d"}
	}
	db.Exec(t, "SET GLOBAL rpl_semi_sync_master_timeout = 600000, GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC")
	return &stall{db, "rpl_semi_sync_master_enabled", "SET GLOBAL binlog_commit_wait_count = %d, GLOBAL binlog_commit_wait_usec = %d"}
}

// begin stalls what is committed from now on.
func (s *stall) begin(t *testing.T) {
	t.Helper()
	s.db.Exec(t, "SET GLOBAL "+s.setting+" = ON")
}

// end lets all that are stalled go on.
func (s *stall) end(t *testing.T) {
	t.Helper()
	s.db.Exec(t, "SET GLOBAL "+s.setting+" = OFF")
}

// group makes the next n commits one group; 0: as ever.
func (s *stall) group(t *testing.T, n int) {
	t.Helper()
	usec := 0
	if n > 0 {
		usec = 1_000_000 // MySQL's most
	}
	s.db.Exec(t, fmt.Sprintf(s.together, n, usec))
}
