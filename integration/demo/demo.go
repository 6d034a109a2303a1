package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// demo is what is shown, and with what.
type demo struct {
	out  *screen
	half time.Duration
	// least is how many reads and orders there are in each half, and one stale read without
	// mcsqueal, however long that takes. rest is how long all else may take.
	least int64
	rest  time.Duration
	// install gets servers that are missing; has tells which are there.
	install func(context.Context, io.Writer) error
	has     func(servers.Kind) bool

	scratch string   // a folder, for the length of run
	program *program // mcsqueal, built
	unclean []error  // what closing met

	without, with *figures  // of the halves, where they have been run
	replayed      *replayed // of the log files, where they have been delivered
}

// replayed is what delivering the log files came to.
type replayed struct{ keys, gone int }

// run shows it all. What it started has ended when it returns, whatever it returns;
// when ctx was ended, and all is cleaned up, that is its error.
func (d *demo) run(ctx context.Context) error {
	d.out.title("mcsqueal: a shop without it and with it")
	err := d.get(ctx)
	if err == nil {
		limit := 2*d.half + d.rest
		limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo is not done after %v; the machine may be too busy for it", limit))
		defer cancel()
		if err = d.play(limited); err != nil && limited.Err() != nil {
			err = context.Cause(limited)
		}
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if len(d.unclean) == 0 && d.out.err == nil {
		return err
	}
	return errors.Join(append(d.unclean, d.out.err, err)...)
}

// closing closes something in a defer, and remembers if that fails.
func (d *demo) closing(closeIt func() error) {
	if err := closeIt(); err != nil {
		d.unclean = append(d.unclean, err)
	}
}

// play is run with servers installed, or not.
func (d *demo) play(ctx context.Context) (err error) {
	if d.scratch, err = os.MkdirTemp("", "mcsqueal-demo-"); err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer d.closing(func() error { return os.RemoveAll(d.scratch) })
	d.out.status("building mcsqueal and starting servers")
	var db *servers.Database
	var missing error
	starting, startCtx := errgroup.WithContext(ctx)
	starting.Go(func() (err error) {
		d.program, err = newProgram(startCtx, d.scratch)
		return err
	})
	starting.Go(func() error {
		db, missing = d.startDatabase(startCtx)
		return nil // the demo goes on without
	})
	err = starting.Wait()
	d.out.clear()
	if db != nil {
		defer d.closing(db.Close)
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case db == nil:
		d.out.note("No database server can be had here: %v", missing)
		return d.showFiles(ctx)
	}
	return d.showLive(ctx, db)
}

// get installs what is missing. That it fails need not be the end: less may do.
func (d *demo) get(ctx context.Context) error {
	if d.has(servers.KindMySQL) && d.has(servers.KindMemcached) {
		return nil
	}
	d.out.note("Installing servers in a folder of their own; nothing of the system changes.")
	err := d.install(ctx, d.out.indented())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.out.note("Not everything could be had:\n%v", err)
	}
	d.out.print("\n")
	return nil
}

// startDatabase starts a MySQL, or a MariaDB where that cannot be had; else it
// returns why neither can.
func (d *demo) startDatabase(ctx context.Context) (*servers.Database, error) {
	var reasons []error
	for _, k := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB} {
		if !d.has(k) {
			reasons = append(reasons, fmt.Errorf("%s is not installed", k))
			continue
		}
		db, err := servers.StartDatabase(ctx, k, servers.Config{})
		if err == nil {
			return db, nil
		}
		reasons = append(reasons, err)
	}
	return nil, listed(reasons)
}

// listed is several reasons in one sentence.
func listed(reasons []error) error {
	var said []string
	for _, reason := range reasons {
		if reason != nil {
			said = append(said, reason.Error())
		}
	}
	return errors.New(strings.Join(said, "; "))
}

// showLive runs both halves on a live database.
func (d *demo) showLive(ctx context.Context, db *servers.Database) error {
	shop, err := openShop(ctx, db)
	if err != nil {
		return err
	}
	defer d.closing(shop.Close)
	if d.without, err = d.runHalf(ctx, shop, false); err != nil {
		return err
	}
	if d.with, err = d.runHalf(ctx, shop, true); err != nil {
		return err
	}
	d.out.print("\n")
	d.out.table(compare(d.without, d.with))
	d.out.paragraph(`A read is stale when it got an older version of a row than had been committed, and ` +
		`acknowledged to the writer, before the read began.`)
	d.out.paragraph(`What is still stale with mcsqueal was read between COMMIT's return and the delete, or was set after ` +
		`the delete by a reader that had read the row before the commit: that is what leases are for.`)
	return nil
}

// runHalf runs the shop for a while, on caches of its own.
func (d *demo) runHalf(ctx context.Context, shop *shop, with bool) (*figures, error) {
	name := "without mcsqueal"
	if with {
		name = "with mcsqueal"
	}
	caches, err := d.startCaches(ctx)
	if err != nil {
		return nil, fmt.Errorf("no cache can be had here: %w", err)
	}
	defer d.closing(caches.Close)
	if !with {
		d.describe(shop, caches)
	}
	var daemon *daemon
	if with {
		d.out.status("starting mcsqueal")
		if daemon, err = d.program.run(d.scratch, shop.url, caches); err != nil {
			return nil, err
		}
		defer d.closing(daemon.stop)
		if err := daemon.waitReady(ctx, shop, caches); err != nil {
			return nil, err
		}
	}
	w := newWorkload(shop, caches, with)
	stopShowing := d.out.show(func() string { return fmt.Sprintf("%-18s%s", name, w.progress()) })
	err = w.run(ctx, d.half, d.least)
	stopShowing()
	if err != nil {
		if daemon != nil {
			err = daemon.explain(err)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w.figures(), nil
}

// describe says what is about to be seen.
func (d *demo) describe(shop *shop, caches *caches) {
	d.out.facts([][2]string{
		{"database", shop.name},
		{"caches", caches.name},
		{"writer", fmt.Sprintf("%d orders a second, each a transaction whose statements name keys:", ordersPerSecond)},
		{"", "UPDATE /* mc: product:17 */ products SET stock = stock - 1, …"},
		{"readers", fmt.Sprintf("%d, look-aside: the cache first; on a miss the database, then set for %.0f s", readerCount, pageTTL.Seconds())},
	})
	d.out.print("\n")
}
