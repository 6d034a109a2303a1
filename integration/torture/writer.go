package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

const (
	plainWriters = 4
	xaWriters    = 3
	// stocked is how many writes a writer has ready, their keys set, so that it goes
	// on while a cache is frozen.
	stocked = 150
	// xaHeld is how long at most an XA transaction stays prepared.
	xaHeld = 4 * time.Second
)

// tally counts what the writers did.
type tally struct {
	mu         sync.Mutex // guards what follows
	commits    int
	keys       int // of commits
	rolledBack int
	// unknown had commits whose answer was lost; found of them turned out to have been
	// committed.
	unknown, found int
	// astride were XA transactions decided by another run of the daemon than that which
	// read their prepare.
	astride int
	failed  int // before their commit, with the server
}

func (t *tally) count(do func(t *tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	do(t)
}

func (t *tally) committed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commits
}

// writer commits the writes of one author, one after the other, on a connection that
// leads to the server itself. Whatever becomes of the server, it goes on.
type writer struct {
	*author
	world *world
	tally *tally
	pace  *rand.Rand // when, which a repetition need not meet
	conn  *sql.Conn  // nil: to be made
	links []*link    // to every cache, for what is set promptly
}

func newWriter(w *world, t *tally, n int, xa bool) *writer {
	return &writer{
		author: newAuthor(w.seed, n, xa), world: w, tally: t,
		pace: rand.New(rand.NewPCG(w.seed, uint64(n)+100)), links: w.newLinks(),
	}
}

// run writes until over is closed; what has begun is ended.
func (w *writer) run(ctx context.Context, over <-chan struct{}) error {
	stock := make(chan *write, stocked)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(stock)
		w.stockUp(ctx, stock, over)
		return nil
	})
	group.Go(func() error {
		defer w.close()
		for next := range stock {
			select {
			case <-over:
				next.settle(unused, time.Now())
				continue
			default:
			}
			if err := w.do(ctx, next); err != nil {
				return err
			}
			if err := w.pause(ctx, next, over); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// stockUp makes up writes and sets their keys ahead of time. While a cache does not
// answer it waits, as long as there is some stock.
func (w *writer) stockUp(ctx context.Context, stock chan<- *write, over <-chan struct{}) {
	links := w.world.newLinks()
	defer closeLinks(links)
	for {
		next := w.next()
		if !next.prompt {
			for _, c := range w.world.caches {
				for well, healed := c.well(); !well && len(stock) > stocked/10; well, healed = c.well() {
					select {
					case <-healed:
					case <-time.After(10 * time.Millisecond):
					case <-over:
						return
					}
				}
			}
			w.world.fill(ctx, links, next)
		}
		select {
		case stock <- next:
		case <-over:
			next.settle(unused, time.Now())
			return
		case <-ctx.Done():
			return
		}
	}
}

// pause is the time between two writes: often none, so that they come in bursts.
func (w *writer) pause(ctx context.Context, last *write, over <-chan struct{}) error {
	d := time.Duration(0)
	switch n := w.pace.IntN(100); {
	case last.prompt && n < 80:
	case last.ending.isXA():
		d = time.Duration(w.pace.IntN(200)) * time.Millisecond
	case n < 50:
	case n < 99:
		d = time.Duration(w.pace.IntN(60)) * time.Millisecond
	default:
		d = time.Duration(w.pace.IntN(500)) * time.Millisecond
	}
	select {
	case <-time.After(d):
	case <-over:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// do performs one write and finds out what became of it. An error is not the
// server's: those are part of the game.
func (w *writer) do(ctx context.Context, next *write) error {
	if next.prompt {
		w.world.fill(ctx, w.links, next)
	}
	if err := w.connect(ctx); err != nil {
		return err
	}
	began := time.Now()
	asked, err := w.perform(ctx, next, &began)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		w.settle(next, next.ending.keeps(), began)
		return nil
	case !lostConnection(err):
		return fmt.Errorf("write %d (%s): %w", next.id, next.what, err)
	}
	w.hangUp()
	if !asked {
		w.tally.count(func(t *tally) { t.failed++ })
		next.settle(void, began)
		return nil
	}
	there, err := w.lookFor(ctx, next)
	if err != nil {
		return err
	}
	w.tally.count(func(t *tally) {
		t.unknown++
		if there {
			t.found++
		}
	})
	w.settle(next, there, began)
	return nil
}

// keeps tells whether what is meant to end so stays.
func (e ending) keeps() bool { return e != rollsBack && e != xaRollsBack }

func (w *writer) settle(done *write, stays bool, began time.Time) {
	if !stays {
		w.tally.count(func(t *tally) { t.rolledBack++ })
		done.settle(void, began)
		return
	}
	done.settle(committed, began)
	w.tally.count(func(t *tally) { t.commits++; t.keys += len(done.keys) })
}

// perform runs the statements. asked says whether the end was asked for, so that it
// may have come; began is when.
func (w *writer) perform(ctx context.Context, next *write, began *time.Time) (asked bool, err error) {
	exec := func(statement string) error {
		_, err := w.conn.ExecContext(ctx, statement)
		return err
	}
	switch {
	case next.ending == alone:
		*began = time.Now()
		return true, exec(next.statements[0])
	case next.ending.isXA():
		return w.performXA(ctx, next, began)
	}
	if err := exec("BEGIN"); err != nil {
		return false, err
	}
	for _, statement := range next.statements {
		if err := exec(statement); err != nil {
			return false, err
		}
	}
	*began = time.Now()
	if next.ending == rollsBack {
		return false, exec("ROLLBACK")
	}
	return true, exec("COMMIT")
}

// connect makes the connection if there is none.
func (w *writer) connect(ctx context.Context) error {
	for w.conn == nil {
		conn, err := w.world.db.DB().Conn(ctx)
		if err == nil {
			for _, statement := range w.session() {
				if _, err = conn.ExecContext(ctx, statement); err != nil {
					break
				}
			}
			if err == nil {
				w.conn = conn
				return nil
			}
			err = errors.Join(err, discard(conn))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !lostConnection(err) {
			return fmt.Errorf("connect a writer: %w", err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// session are the settings that make writers differ.
func (w *writer) session() []string {
	n := w.writer
	if w.world.db.Kind() == servers.KindMariaDB {
		return []string{fmt.Sprintf("SET SESSION gtid_domain_id = %d", n%3)}
	}
	var settings []string
	if n == 1 {
		settings = append(settings, "SET SESSION gtid_next = 'AUTOMATIC:torture'")
	}
	if n == 2 {
		settings = append(settings, "SET SESSION binlog_transaction_compression = ON")
	}
	return settings
}

// lookFor reads whether a write's rows are there.
func (w *writer) lookFor(ctx context.Context, asked *write) (there bool, err error) {
	for {
		if err := w.connect(ctx); err != nil {
			return false, err
		}
		var n int
		err := w.conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM writes WHERE id = ?", asked.row(0)).Scan(&n)
		if err == nil {
			return n > 0, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if !lostConnection(err) {
			return false, fmt.Errorf("look for write %d: %w", asked.id, err)
		}
		w.hangUp()
	}
}

// hangUp gives the connection up.
func (w *writer) hangUp() {
	if w.conn != nil {
		_ = discard(w.conn) // it is of no more use
		w.conn = nil
	}
}

func (w *writer) close() {
	w.hangUp()
	closeLinks(w.links)
}

// discard closes a connection for good, instead of giving it back.
func discard(conn *sql.Conn) error {
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	if closed := conn.Close(); !errors.Is(closed, sql.ErrConnDone) && !errors.Is(closed, driver.ErrBadConn) {
		err = errors.Join(err, closed)
	}
	return err
}

// Errors of a server that is on its way down or up.
const (
	errServerShutdown    = 1053
	errQueryInterrupted  = 1317
	errConnectionKilled  = 1927 // MariaDB
	errServerIsStarting  = 1040 // too many connections: while it recovers
	errTransactionLost   = 1180 // got error during COMMIT
	errCommitNotPossible = 3100 // MySQL: error on observer while running replication hook
)

// lostConnection tells whether an error means that the server is going, gone or
// coming, as opposed to a statement that it refuses.
func lostConnection(err error) bool {
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		return true // of the network or the driver
	}
	switch my.Number {
	case errServerShutdown, errQueryInterrupted, errConnectionKilled, errServerIsStarting, errTransactionLost, errCommitNotPossible:
		return true
	}
	return false
}
