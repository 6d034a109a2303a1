package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// torture does what the options say and reports what came of it. An error means that
// it could not be done; what it finds is in the report. Everything it has started
// has ended when it returns.
func torture(ctx context.Context, o options) (_ *report, err error) {
	fmt.Fprintf(o.progress, "torture: seed %d, %s, %v\n", o.seed, o.kind, o.lasts)
	dir, err := os.MkdirTemp("", "mcsqueal-torture-")
	if err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := newWorld(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	t := &torturer{
		options: o, world: w, judge: &judge{world: w}, tally: &tally{},
		report: &report{seed: o.seed, settings: w.settings},
	}
	if err := t.run(ctx); err != nil {
		return nil, errors.Join(err, t.keepLog())
	}
	return t.report, nil
}

// torturer is one run.
type torturer struct {
	options
	world  *world
	judge  *judge
	tally  *tally
	report *report
	// failed: a lull was not enough, and the daemon has been ended.
	failed bool
}

func (t *torturer) run(ctx context.Context) error {
	version, err := servers.Version(t.kind)
	if err != nil {
		return err
	}
	t.report.server = fmt.Sprintf("%s %s", t.kind, version)
	fmt.Fprintf(t.progress, "torture: %s; %s\n", t.report.server, t.world.settings)
	if err := t.world.daemon.start(); err != nil {
		return err
	}
	if err := t.world.daemon.waitTailing(ctx); err != nil {
		return err
	}
	began := time.Now()
	over := make(chan struct{}) // closed when the writers are to end
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	t.judge.watch(watching)
	working, workCtx := errgroup.WithContext(ctx)
	for n := range plainWriters + xaWriters {
		working.Go(func() error {
			return newWriter(t.world, t.tally, n, n >= plainWriters).run(workCtx, over)
		})
	}
	working.Go(func() error {
		defer close(over)
		return t.weather(workCtx, began)
	})
	err = working.Wait()
	if err == nil {
		err = t.end(ctx)
	}
	stopWatching()
	t.judge.sweeper.Wait()
	if err != nil {
		return err
	}
	return t.conclude(ctx, time.Since(began))
}

// weather is storms and lulls until the time is over, or something was found.
func (t *torturer) weather(ctx context.Context, began time.Time) error {
	forecast := newForecast(t.seed)
	// Some writes of a calm time come first, so that something is behind.
	if err := until(ctx, time.Now().Add(time.Second)); err != nil {
		return err
	}
	for time.Since(began) < t.lasts || t.tally.committed() < t.least {
		s := forecast.next(max(4*time.Second, t.lasts-time.Since(began)))
		t.report.storms++
		if err := t.world.rage(ctx, s); err != nil {
			return err
		}
		if whole, err := t.lull(ctx, fmt.Sprintf("storm %d: %v, %d faults", t.report.storms, s.lasts.Round(100*ms), len(s.faults))); err != nil || !whole {
			return err
		}
		fmt.Fprintf(t.progress, "torture: %4.0f s  %s\n", time.Since(began).Seconds(), t.tally)
	}
	return nil
}

// lull waits until everything that is committed has been delivered. It is false when
// that has not come to pass.
func (t *torturer) lull(ctx context.Context, behind string) (whole bool, err error) {
	r, err := t.judge.await(ctx, t.patience)
	if err != nil {
		return false, err
	}
	t.report.longest = max(t.report.longest, r.took)
	t.report.caughtUp = max(t.report.caughtUp, r.caughtUp)
	if r.complete() {
		fmt.Fprintf(t.progress, "torture: %s; gone everywhere after %v, caught up after %v\n", behind, r.took.Round(ms), r.caughtUp.Round(ms))
		return true, nil
	}
	if len(r.behind) > 0 {
		t.world.chronicle.find("the saved positions of %s have not come past what was committed %v before", strings.Join(r.behind, ", "), r.waited)
	}
	if len(r.left) > 0 {
		t.world.chronicle.find("%d keys of committed writes are still in caches %v after the storm", len(r.left), r.waited)
		t.report.lost = len(r.left)
		t.report.losses, err = t.judge.explain(ctx, r.left)
		if err != nil {
			t.world.chronicle.find("%v", err)
		}
	}
	t.failed = true
	t.world.daemon.dumpStacks()
	return false, nil
}

// end is the last lull, in which nobody writes any more, and the daemon's end.
func (t *torturer) end(ctx context.Context) error {
	if t.failed {
		return nil
	}
	whole, err := t.lull(ctx, "the end")
	if err != nil || !whole {
		return err
	}
	return t.world.daemon.stop(drainPatience)
}

// conclude fills in the report.
func (t *torturer) conclude(ctx context.Context, took time.Duration) error {
	r, w := t.report, t.world
	for _, c := range w.caches {
		stats, err := c.Stats(ctx)
		if err != nil {
			return err
		}
		if n := stats["evictions"]; n != "0" {
			w.chronicle.find("%s has evicted %s keys, so that what is gone proves nothing", c.name, n)
		}
	}
	r.took, r.tally, r.pairs = took, t.tally, t.judge.tally()
	r.faults, r.findings = w.chronicle.kinds(), w.chronicle.found()
	r.starts, r.refused, r.met = w.daemon.history()
	if r.intact() {
		return nil
	}
	return t.keepLog()
}

// keepLog keeps what tells how it went.
func (t *torturer) keepLog() error {
	to, err := os.MkdirTemp(t.keep, fmt.Sprintf("mcsqueal-torture-%d-", t.seed))
	if err != nil {
		return fmt.Errorf("keep the daemon's log: %w", err)
	}
	var deeds strings.Builder
	for _, d := range t.world.chronicle.near(time.Time{}, time.Now()) {
		fmt.Fprintln(&deeds, d)
	}
	failed := []error{os.WriteFile(filepath.Join(to, "faults"), []byte(deeds.String()), 0o600)}
	for _, file := range []string{"mcsqueal.log", "mcsqueal.yaml", "state/checkpoint.json"} {
		text, err := os.ReadFile(filepath.Join(t.world.dir, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		failed = append(failed, err, os.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o600))
	}
	failed = append(failed, os.WriteFile(filepath.Join(to, "server.log"), []byte(t.world.db.Log()), 0o600))
	logs, err := t.world.db.LogFiles()
	failed = append(failed, err)
	for _, log := range logs {
		failed = append(failed, copyFile(filepath.Join(to, filepath.Base(log)), log))
	}
	t.report.folder = to
	fmt.Fprintf(t.progress, "torture: the daemon's log is kept in %s\n", to)
	return errors.Join(failed...)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
