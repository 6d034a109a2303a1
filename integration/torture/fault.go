package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// rage lets a storm pass, and returns when the last of its faults is over.
func (w *world) rage(ctx context.Context, s storm) error {
	began := time.Now()
	var mu sync.Mutex
	busy := make(map[target]*sync.Mutex) // guarded by mu
	faults, ctx := errgroup.WithContext(ctx)
	for _, f := range s.faults {
		mu.Lock()
		if busy[f.target] == nil {
			busy[f.target] = new(sync.Mutex)
		}
		one := busy[f.target]
		mu.Unlock()
		if err := until(ctx, began.Add(f.at)); err != nil {
			break // the group has the reason
		}
		faults.Go(func() error {
			// The one before may have taken longer than planned, to start something again.
			one.Lock()
			defer one.Unlock()
			if err := w.inflict(ctx, f); err != nil {
				return fmt.Errorf("%s: %w", f.kind(), err)
			}
			return nil
		})
	}
	return faults.Wait()
}

// until waits until a time.
func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// inflict lets one fault happen, from its beginning to its end. Its end is not
// skipped when the context is: nothing stays frozen.
func (w *world) inflict(ctx context.Context, f fault) (err error) {
	over := w.chronicle.begin(f.kind(), w.nameOf(f))
	defer over()
	lasting := func() { _ = until(ctx, time.Now().Add(f.lasts)) }
	switch f.thing {
	case theDaemon:
		return w.hurtDaemon(f.evil, lasting)
	case theServer:
		defer w.deafen()()
		return hurtServer(ctx, database{w.db.Instance, w}, f.evil, lasting)
	case theLog:
		return w.rotate(ctx, f)
	case theSource:
		defer w.deafen()()
		return hurtWire(ctx, w.source, f, lasting)
	case aWire:
		return hurtWire(ctx, w.wires[f.n], f, lasting)
	case aRouter:
		return hurtServer(ctx, w.routers[f.n].Instance, f.evil, lasting)
	default:
		return hurtCache(ctx, w.caches[f.n], f.evil, lasting)
	}
}

func (w *world) nameOf(f fault) string {
	name := thingNames[f.thing]
	switch f.thing {
	case aRouter:
		name = fmt.Sprintf("router/%d", f.n+1)
	case aCache:
		name = w.caches[f.n].name
	case aWire:
		name = "wire to " + w.wires[f.n].name
	}
	name += " " + evilNames[f.evil]
	switch f.evil {
	case slow, blocked, devoured, shortened:
		way := "up"
		if f.down {
			way = "down"
		}
		name = fmt.Sprintf("%s (%s, %d)", name, way, f.amount)
	}
	return name
}

// drainPatience is how long the daemon may take to end on SIGTERM: its drain of 10 s,
// and some more for a busy machine and for time-outs on the way.
const drainPatience = 60 * time.Second

func (w *world) hurtDaemon(e evil, lasting func()) error {
	switch e {
	case frozen:
		if err := w.daemon.freeze(); err != nil {
			return err
		}
		lasting()
		return w.daemon.thaw()
	case reloaded:
		// And once more while it is at it.
		if err := w.daemon.reload(); err != nil {
			return err
		}
		lasting()
		return w.daemon.reload()
	case stopped:
		if err := w.daemon.stop(drainPatience); err != nil {
			return err
		}
	default:
		if err := w.daemon.kill(); err != nil {
			return err
		}
	}
	lasting()
	return w.daemon.start()
}

// instance is a process with a port.
type instance interface {
	Freeze() error
	Thaw() error
	Kill() error
	Stop(ctx context.Context) error
	Restart(ctx context.Context) error
}

// database is the server.
type database struct {
	*servers.Instance
	world *world
}

// Kill spares MariaDB one moment: killed between the XA COMMIT in its log and the
// storage engine's, 10.11 has the transaction prepared still when it comes back, and
// its replicas, too, stop at the second XA COMMIT. MySQL knows better.
func (d database) Kill() error {
	if d.Kind() == servers.KindMariaDB {
		d.world.deciding.Lock()
		defer d.world.deciding.Unlock()
	}
	return d.Instance.Kill()
}

func hurtServer(ctx context.Context, in instance, e evil, lasting func()) error {
	switch e {
	case frozen:
		if err := in.Freeze(); err != nil {
			return err
		}
		lasting()
		return in.Thaw()
	case stopped:
		if err := in.Stop(ctx); err != nil {
			return err
		}
	default:
		if err := in.Kill(); err != nil {
			return err
		}
	}
	lasting()
	return in.Restart(ctx)
}

func hurtCache(ctx context.Context, c *cache, e evil, lasting func()) error {
	if e == frozen {
		c.setFrozen(true)
		defer c.setFrozen(false)
		return hurtServer(ctx, c.Instance, e, lasting)
	}
	if err := c.kill(); err != nil {
		return err
	}
	lasting()
	return c.revive(ctx)
}

func hurtWire(ctx context.Context, w *wire, f fault, lasting func()) error {
	if f.evil == cut {
		w.cut()
		lasting()
		return w.mend(ctx)
	}
	l := w.up
	if f.down {
		l = w.down
	}
	l.ail(ailment{
		illness: map[evil]illness{slow: delayed, blocked: held, devoured: swallowed, shortened: clipped}[f.evil],
		delay:   time.Duration(f.amount) * ms, bytes: f.amount,
	})
	lasting()
	l.ail(ailment{})
	return nil
}

// rotate makes the server begin new log files. While it is down it cannot; then it
// begins one anyway.
func (w *world) rotate(ctx context.Context, f fault) error {
	for n := range f.amount {
		if n > 0 {
			if err := until(ctx, time.Now().Add(f.lasts/time.Duration(f.amount))); err != nil {
				return err
			}
		}
		if _, err := w.db.DB().ExecContext(ctx, "FLUSH BINARY LOGS"); err != nil && !lostConnection(err) {
			return err
		}
	}
	return nil
}
