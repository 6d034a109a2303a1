package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A finding is a program that is answered differently.
type finding struct {
	*running
	original program // as it was generated
}

// A result is what a comparison has come to.
type result struct {
	programs, commands int
	missed             int // groups of programs that the machine was too slow for
	findings           []finding
	repeated           int // findings that look like one of these
}

// add takes a finding in, unless it looks like one that is known.
func (r *result) add(f finding) {
	if slices.ContainsFunc(r.findings, f.alike) {
		r.repeated++
		return
	}
	r.findings = append(r.findings, f)
}

// A comparison runs programs on both servers until its time is over.
type comparison struct {
	world    *world
	seed     uint64
	lasts    time.Duration
	least    int // programs, however long they take
	side     int // programs side by side, where time passes; 0: many
	most     int // findings after which it ends
	shrink   time.Duration
	profiles []profile
	progress io.Writer
}

// stepsOf is how many steps a program has.
func stepsOf(p profile) int {
	if p.time() {
		return len(plain)
	}
	return 2
}

// plain is a schedule in which items expire; flushes is one in which everything is
// also flushed, later and at once. memcached lets items survive a flush_all that were
// stored in the same second, and executes a delayed one a second early: nothing may be
// stored, or asked, within these seconds. What it has flushed and nobody has asked for
// comes back when a delayed one is asked for: so that is first.
var (
	plain   = []moment{{second: 0, step: 0}, {second: 1, step: 1}, {second: 2, step: 2}, {second: 3, step: 3}, {second: 5, step: 4}}
	flushes = []moment{
		{second: 0, step: 0}, {second: 1, step: 1}, {second: 2, flush: "flush_all 2", step: 2},
		{second: 5, step: 3}, {second: 6, flush: "flush_all", step: 4},
	}
)

// compare is the comparison.
func (c *comparison) compare(ctx context.Context) (result, error) {
	var r result
	if c.side == 0 {
		c.side = batch(timed)
	}
	seed := c.seed
	for end := time.Now().Add(c.lasts); ctx.Err() == nil && len(r.findings) < c.most; {
		if time.Until(end) <= 0 && r.programs >= c.least {
			break
		}
		for _, p := range c.profiles {
			if p.time() {
				continue
			}
			// A moment of each that takes none, then a group of each that does.
			for until := time.Now().Add(min(time.Second, c.lasts/20)); time.Now().Before(until) && len(r.findings) < c.most; seed++ {
				if err := c.one(ctx, generate(seed, p, stepsOf(p)), &r); err != nil {
					return r, err
				}
			}
		}
		for i, p := range c.profiles {
			schedule := [][]moment{plain, flushes}[(int(seed)+i)%2]
			if !p.time() || len(r.findings) >= c.most || time.Until(end) < time.Duration(schedule[len(schedule)-1].second)*time.Second {
				continue
			}
			var group []program
			for range c.side {
				group = append(group, generate(seed, p, stepsOf(p)))
				seed++
			}
			if err := c.group(ctx, group, schedule, &r); err != nil {
				return r, err
			}
		}
		if c.progress != nil {
			fmt.Fprintf(c.progress, "%d programs, %d commands, seed %d\n", r.programs, r.commands, seed)
		}
	}
	return r, nil
}

// one runs a program in which no time passes.
func (c *comparison) one(ctx context.Context, p program, r *result) error {
	r.programs++
	r.commands += p.words()
	ran, err := c.world.run(ctx, p)
	if err != nil {
		return fmt.Errorf("seed %d, %v: %w", p.seed, p.profile, err)
	}
	if ran.different == "" {
		return nil
	}
	small, err := shrink(ctx, ran, func(ctx context.Context, some []program) (all []*running, err error) {
		for _, p := range some {
			ran, err := c.world.run(ctx, p)
			if err != nil {
				return all, err
			}
			all = append(all, ran)
		}
		return all, nil
	}, c.shrink)
	r.add(finding{small, p})
	return err
}

// group runs programs between whose steps time passes.
func (c *comparison) group(ctx context.Context, group []program, schedule []moment, r *result) error {
	ask := func(ctx context.Context, some []program) ([]*running, error) {
		all, _, err := c.world.runTimed(ctx, some, schedule)
		return all, err
	}
	all, counted, err := c.world.runTimed(ctx, group, schedule)
	if errors.Is(err, errMissed) {
		// The next group is one that the machine is fast enough for.
		r.missed++
		c.side = max(1, len(group)/3)
		return nil
	}
	if err != nil {
		return fmt.Errorf("seeds %d to %d, %v: %w", group[0].seed, group[len(group)-1].seed, group[0].profile, err)
	}
	found := false
	for i, ran := range all {
		r.programs++
		r.commands += group[i].words()
		if ran.different == "" || len(r.findings) >= c.most {
			continue
		}
		found = true
		small, err := shrink(ctx, ran, ask, c.shrink)
		r.add(finding{small, group[i]})
		if err != nil {
			return err
		}
	}
	if counted != "" && !found {
		return fmt.Errorf("seeds %d to %d, %v: all answers are the same, but the counters %s", group[0].seed, group[len(group)-1].seed, group[0].profile, counted)
	}
	return nil
}
