package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// judge looks into the caches and at the daemon's checkpoint.
type judge struct {
	world   *world
	sweeper sync.WaitGroup
}

const (
	// sweepEvery is how often caches are looked into while a storm is on, and
	// sweepSoon while what is left in them is waited for.
	sweepEvery = 500 * time.Millisecond
	sweepSoon  = 20 * time.Millisecond
	// lossSure is how long a key may be seen that the checkpoint is past: it has been
	// deleted before, so only as long as a look into the caches takes.
	lossSure = 10 * time.Second
)

// watch lets go of what is gone, in every cache, until the context ends.
func (j *judge) watch(ctx context.Context) {
	for _, c := range j.world.caches {
		j.sweeper.Go(func() {
			l := &link{addr: c.Addr()}
			defer func() { _ = l.close() }() // nothing is owed on it
			for until(ctx, time.Now().Add(sweepEvery)) == nil {
				_ = c.sweep(ctx, l) // a cache may be frozen or dead; it is looked into again
			}
		})
	}
}

// remains is a key that ought to be gone.
type remains struct {
	cache *cache
	key   string
	*holding
}

// outstanding is everything that is held of committed writes.
func (j *judge) outstanding() (all []remains) {
	for _, c := range j.world.caches {
		for key, h := range c.left() {
			all = append(all, remains{c, key, h})
		}
	}
	return all
}

// recovery is what a lull showed.
type recovery struct {
	// took is how long it was until everything was gone that had been committed when
	// the lull began; caughtUp until the checkpoint had come past that, too.
	took, caughtUp, waited time.Duration
	// left is what was not gone, behind the clusters that had not come past.
	left   []remains
	behind []string
}

func (r *recovery) complete() bool { return len(r.left) == 0 && len(r.behind) == 0 }

// await waits, with everything healthy, until all that is committed now is gone from
// every cache, and the checkpoint is past it. It gives up when patience is over, when
// the daemon has given up, and when the checkpoint is past what is not gone: then
// that has been lost.
func (j *judge) await(ctx context.Context, patience time.Duration) (*recovery, error) {
	began := time.Now()
	executed, err := j.executed(ctx)
	if err != nil {
		return nil, err
	}
	r := &recovery{left: j.outstanding()}
	links := j.world.newLinks()
	defer closeLinks(links)
	for {
		if len(r.left) > 0 {
			for i, c := range j.world.caches {
				if err := c.sweep(ctx, links[i]); err != nil && ctx.Err() == nil && time.Since(began) > max(patience, lossSure) {
					return nil, err // it is healthy, and must answer
				}
			}
			still := r.left[:0]
			for _, m := range r.left {
				if m.cache.holds(m.key, m.holding) {
					still = append(still, m)
				}
			}
			if r.left = still; len(still) == 0 {
				r.took = time.Since(began)
			}
		}
		if r.behind, err = j.behind(ctx, executed); err != nil {
			return nil, err
		}
		if len(r.behind) == 0 && r.caughtUp == 0 {
			r.caughtUp = time.Since(began)
		}
		passed := r.caughtUp > 0 && len(r.behind) == 0 && time.Since(began) > r.caughtUp+lossSure
		if r.complete() || passed || time.Since(began) > patience || j.world.daemon.waits() {
			r.waited = time.Since(began).Round(ms)
			return r, nil
		}
		if err := until(ctx, time.Now().Add(sweepSoon)); err != nil {
			return nil, err
		}
	}
}

// executed is what the server has committed.
func (j *judge) executed(ctx context.Context) (string, error) {
	query := "SELECT @@GLOBAL.gtid_executed"
	if j.world.db.Kind() == servers.KindMariaDB {
		query = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	var gtids string
	err := j.world.db.DB().QueryRowContext(ctx, query).Scan(&gtids)
	if err != nil {
		return "", fmt.Errorf("ask what was committed: %w", err)
	}
	return gtids, nil
}

// behind names the clusters whose saved position does not cover a set of GTIDs.
func (j *judge) behind(ctx context.Context, executed string) ([]string, error) {
	saved, err := j.checkpoint()
	if err != nil {
		return nil, err
	}
	var behind []string
	for _, name := range []string{"east", "west", "north"} {
		covers, err := j.covers(ctx, saved[name], executed)
		if err != nil {
			return nil, err
		}
		if !covers {
			behind = append(behind, name)
		}
	}
	return behind, nil
}

// checkpoint reads the clusters' GTID sets from the daemon's file.
func (j *judge) checkpoint() (map[string]string, error) {
	text, err := os.ReadFile(j.world.daemon.checkpoint())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	var file struct {
		Clusters map[string]struct {
			GTID string `json:"gtid"`
		} `json:"clusters"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read the checkpoint %s: %w", text, err)
	}
	sets := make(map[string]string)
	for name, at := range file.Clusters {
		sets[name] = at.GTID
	}
	return sets, nil
}

// covers tells whether a position has all of another's transactions: MySQL says so
// itself; MariaDB's positions have the last number of each domain.
func (j *judge) covers(ctx context.Context, position, executed string) (covers bool, err error) {
	if j.world.db.Kind() == servers.KindMySQL {
		err := j.world.db.DB().QueryRowContext(ctx, "SELECT GTID_SUBSET(?, ?)", executed, position).Scan(&covers)
		if err != nil {
			return false, fmt.Errorf("compare %q with %q: %w", position, executed, err)
		}
		return covers, nil
	}
	has, err := lastNumbers(position)
	if err != nil {
		return false, err
	}
	wants, err := lastNumbers(executed)
	if err != nil {
		return false, err
	}
	for domain, n := range wants {
		if has[domain] < n {
			return false, nil
		}
	}
	return true, nil
}

// lastNumbers reads "0-1-100,1-1-50": the number by the domain.
func lastNumbers(position string) (map[string]uint64, error) {
	last := make(map[string]uint64)
	for gtid := range strings.SplitSeq(position, ",") {
		if gtid == "" {
			continue
		}
		part := strings.Split(gtid, "-")
		if len(part) != 3 {
			return nil, fmt.Errorf("%q is no MariaDB position", position)
		}
		n, err := strconv.ParseUint(part[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no MariaDB position: %w", position, err)
		}
		last[part[0]] = n
	}
	return last, nil
}

// tally is what came of all pairs.
func (j *judge) tally() (sum pairs) {
	for _, c := range j.world.caches {
		sum.add(c.tally())
	}
	return sum
}

// loss is a write of which keys were lost, for people.
type loss struct {
	*write
	lost   int // pairs
	keys   []string
	caches []string
	places []string // where the first of the keys stands in the log
	near   []deed
}

// listed is how many writes are looked up in the log and listed.
const listed = 20

// explain finds for what remains where it stands in the log, and what went wrong
// when it was committed.
func (j *judge) explain(ctx context.Context, left []remains) ([]*loss, error) {
	byWrite := make(map[*write]*loss)
	for _, m := range left {
		l := byWrite[m.write]
		if l == nil {
			l = &loss{write: m.write}
			byWrite[m.write] = l
		}
		l.lost++
		l.keys = append(l.keys, m.key)
		l.caches = append(l.caches, m.cache.name)
	}
	losses := slices.SortedFunc(maps.Values(byWrite), func(a, b *loss) int {
		from, _ := a.committing()
		to, _ := b.committing()
		return from.Compare(to)
	})
	losses = losses[:min(listed, len(losses))]
	var first []string
	for _, l := range losses {
		slices.Sort(l.keys)
		l.keys = slices.Compact(l.keys)
		slices.Sort(l.caches)
		l.caches = slices.Compact(l.caches)
		from, to := l.committing()
		// What comes soon after matters, too: the daemon may be behind.
		l.near = j.world.chronicle.near(from.Add(-time.Second), to.Add(5*time.Second))
		first = append(first, l.keys[0])
	}
	if len(first) == 0 {
		return nil, nil
	}
	places, err := placesOf(ctx, j.world.daemon.program, filepath.Join(j.world.dir, "direct.yaml"), first)
	for i, l := range losses {
		l.places = places[first[i]]
	}
	return losses, err
}
