package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A world is the two servers, which get the same bytes.
type world struct {
	subject   *target // the one in question
	reference *target // the one that is right
	runs      uint64

	// base is what the two clocks showed when a window began: the time in which both
	// stand still.
	base [2]int64
}

// meet connects to the two servers.
func meet(subject, reference *target) (*world, error) {
	w := &world{subject: subject, reference: reference}
	for _, t := range w.both() {
		// The programs use 1, 2 and 3 as ids that are older than any that a server has
		// given.
		for range 10 {
			if line, err := t.ask("ms cachediff:first 0\r\n\r\n"); err != nil || line != "HD" {
				return nil, errors.Join(fmt.Errorf("store into %s: it says %q", t.name, line), err)
			}
		}
	}
	return w, nil
}

func (w *world) close() error { return errors.Join(w.subject.close(), w.reference.close()) }

func (w *world) both() [2]*target { return [2]*target{w.subject, w.reference} }

// each does something on both servers at once.
func (w *world) each(do func(i int, t *target) error) error {
	var g errgroup.Group
	for i, t := range w.both() {
		g.Go(func() error { return do(i, t) })
	}
	return g.Wait()
}

// counters are the statistics that follow from what was sent. Those of dead items do
// not: whether a command finds one or a server has already taken it away is a matter of
// luck.
var counters = []string{
	"cmd_get", "cmd_set", "cmd_flush", "cmd_touch", "cmd_meta",
	"get_hits", "get_misses", "delete_misses", "delete_hits",
	"incr_misses", "incr_hits", "decr_misses", "decr_hits",
	"cas_misses", "cas_hits", "cas_badval", "touch_hits", "touch_misses",
	"store_too_large", "total_items",
}

// count reads them, without what this program does for its own ends.
func (w *world) count() (counts [2]map[string]int, err error) {
	err = w.each(func(i int, t *target) error {
		values, _, err := t.counters("")
		if err != nil {
			return err
		}
		counts[i] = make(map[string]int)
		for _, name := range counters {
			n, err := strconv.Atoi(values[name])
			if err != nil {
				return fmt.Errorf("%s of %s: %w", name, t.name, err)
			}
			counts[i][name] = n - t.own[name]
		}
		return nil
	})
	return counts, err
}

// moved says which counters moved differently since an earlier count.
func (w *world) moved(before [2]map[string]int) (string, error) {
	after, err := w.count()
	if err != nil {
		return "", err
	}
	var all []string
	for _, name := range counters {
		one, other := after[0][name]-before[0][name], after[1][name]-before[1][name]
		if one != other {
			all = append(all, fmt.Sprintf("%s by %d, and by %d", name, one, other))
		}
	}
	if all == nil {
		return "", nil
	}
	return "moved " + strings.Join(all, "; "), nil
}

// A running program is one that has been named, and is under way.
type running struct {
	program
	naming naming
	ids    *ids
	// now and old are the ids of keys when this step began, and the one before, on
	// each server.
	now, old map[string][2]uint64

	answers   [][2][]byte
	different string // what is different first; empty if nothing is
	at        int    // the step in which it is
}

func (w *world) begin(p program) *running {
	w.runs++
	r := &running{program: p, naming: newNaming(w.runs), ids: newIDs(), old: map[string][2]uint64{}, now: map[string][2]uint64{}}
	if p.profile.time() {
		// A memcached that holds still never moves it; another does so at the second
		// fetch, and now and then after it.
		r.ids.age = 60
	}
	return r
}

// opening comes before every step: the first byte of a connection may not be that of the
// binary protocol.
const opening = "mn\r\n"

// ending comes behind every step. It tells a connection that was closed from one that was
// not, and a command that lacks a few bytes of data takes them from it: memcached keeps
// back answers while it waits for data, some of them or all, as luck has it.
var ending = strings.Repeat("mn\r\n", 8)

// step runs the i-th step on both servers and compares the answers.
func (w *world) step(ctx context.Context, r *running, i int) error {
	s := r.steps[i]
	if err := w.look(r); err != nil {
		return err
	}
	var answers [2][]byte
	err := w.each(func(i int, t *target) (err error) {
		var text strings.Builder
		text.WriteString(opening)
		for _, c := range s.commands {
			text.WriteString(r.naming.expand(c, func(key, age string) uint64 {
				known := r.now
				if age == "old" {
					known = r.old
				}
				if id, ok := known[key]; ok {
					return id[i]
				}
				return 1
			}))
		}
		text.WriteString(ending)
		answers[i], err = t.send(ctx, []byte(text.String()), s.cut, s.cuts)
		return err
	})
	r.answers = append(r.answers, answers)
	if err != nil {
		return err
	}
	if r.different == "" {
		if r.different = differ(answers[0], answers[1], r.ids); r.different != "" {
			r.at = i
		}
	}
	return nil
}

// look finds out the ids of the keys whose ids the program wants to name.
func (w *world) look(r *running) error {
	for _, key := range keys {
		asked := false
		for _, s := range r.steps {
			asked = asked || s.asks(key)
		}
		if !asked {
			continue
		}
		name := r.naming.key(key, "")
		if key == "z" {
			name = r.naming.key(key, "64") + " b v"
		}
		var id [2]uint64
		if err := w.each(func(i int, t *target) (err error) {
			id[i], err = t.id(name)
			return err
		}); err != nil {
			return err
		}
		if last, ok := r.now[key]; ok {
			r.old[key] = last
		}
		r.now[key] = id
		if !r.ids.same(id[0], id[1]) && r.different == "" {
			r.different = fmt.Sprintf("key %s has id %d, and id %d, which do not stand for each other", key, id[0], id[1])
			r.at = max(0, len(r.answers)-1)
		}
	}
	return nil
}

// clear removes what the program has stored.
func (w *world) clear(r *running) error {
	var text strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&text, "md %s b q\r\n", r.naming.key(key, "64"))
	}
	fmt.Fprintf(&text, "md %s q\r\n", r.naming.key("a", "250"))
	text.WriteString("mn\r\n")
	return w.each(func(_ int, t *target) error {
		line, err := t.ask(text.String())
		for ; err == nil && line != "MN"; line, err = t.line("mn\r\n") {
			if line != "NF" {
				return fmt.Errorf("clear %s: it says %q", t.name, line)
			}
		}
		return err
	})
}

// run runs a program in which no time passes, from its first step to its last, and
// compares answers and counters.
func (w *world) run(ctx context.Context, p program) (*running, error) {
	r := w.begin(p)
	before, err := w.count()
	if err != nil {
		return r, err
	}
	for i := range p.steps {
		if err := w.step(ctx, r, i); err != nil {
			return r, err
		}
	}
	different, err := w.moved(before)
	if err != nil {
		return r, err
	}
	if r.different == "" && different != "" {
		r.different, r.at = "the counters "+different, len(p.steps)-1
	}
	return r, w.clear(r)
}

// errMissed: a second went by that should not have.
var errMissed = errors.New("the machine is too slow: a second went by within a step")

// settle waits until both clocks have just moved, and will then stand still for as long
// as they ever do together, and takes that for the beginning. The lag is how long after
// the subject's clock the reference's moves; negative if it is before.
func (w *world) settle(ctx context.Context) (lag time.Duration, err error) {
	var ticks [2]time.Time
	if err := w.each(func(i int, t *target) (err error) {
		ticks[i], err = t.tick(ctx)
		return err
	}); err != nil {
		return 0, err
	}
	lag, last := ticks[1].Sub(ticks[0])%time.Second, 1
	switch {
	case lag > time.Second/2:
		lag -= time.Second
	case lag < -time.Second/2:
		lag += time.Second
	}
	if lag < 0 {
		last = 0
	}
	if _, err := w.both()[last].tick(ctx); err != nil {
		return 0, err
	}
	return lag, w.each(func(i int, t *target) (err error) {
		w.base[i], err = t.time(ctx)
		return err
	})
}

// at waits for the n-th second since the beginning.
func (w *world) at(ctx context.Context, n int) error {
	return w.each(func(i int, t *target) error {
		for {
			now, err := t.time(ctx)
			switch {
			case err != nil:
				return err
			case now == w.base[i]+int64(n):
				return nil
			case now > w.base[i]+int64(n):
				return errMissed
			}
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return err
			}
		}
	})
}

// A moment is what happens in a second: something for both servers, and a step of
// every program.
type moment struct {
	second int
	flush  string
	step   int
}

// runTimed runs programs side by side, a step of all at each moment.
func (w *world) runTimed(ctx context.Context, programs []program, schedule []moment) ([]*running, string, error) {
	all := make([]*running, len(programs))
	for i, p := range programs {
		all[i] = w.begin(p)
	}
	before, err := w.count()
	if err != nil {
		return all, "", err
	}
	if _, err := w.settle(ctx); err != nil {
		return all, "", err
	}
	for _, m := range schedule {
		if err := w.at(ctx, m.second); err != nil {
			return all, "", err
		}
		if m.flush != "" {
			if err := w.each(func(_ int, t *target) error {
				line, err := t.ask(m.flush + "\r\n")
				if err == nil && line != "OK" {
					err = fmt.Errorf("%s answers %s with %q", t.name, m.flush, line)
				}
				return err
			}); err != nil {
				return all, "", err
			}
		}
		for _, r := range all {
			if m.step >= len(r.steps) {
				continue
			}
			if err := w.step(ctx, r, m.step); err != nil {
				return all, "", err
			}
		}
		// Both clocks must still stand where they stood.
		if err := w.at(ctx, m.second); err != nil {
			return all, "", err
		}
	}
	different, err := w.moved(before)
	if err != nil {
		return all, "", err
	}
	for _, r := range all {
		if err := w.clear(r); err != nil {
			return all, "", err
		}
	}
	return all, different, nil
}
