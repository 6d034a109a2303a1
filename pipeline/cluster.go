package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// Source is what transactions are read from: a server, or log files.
type Source interface {
	// Run reads from pos on, hands what it finds to h, and moves pos past each
	// transaction that h has taken. It returns nil at the end of what there is to
	// read, or when h says binlog.ErrStop.
	Run(ctx context.Context, pos *binlog.Position, h binlog.Handler) error
}

// Sink is what one cursor's batches are pushed to.
type Sink interface {
	// Run delivers until the cursor says io.EOF, and then returns nil; until the
	// context ends, and then returns an error; or until the cursor fails, with the
	// cursor's error. What it has acknowledged has been answered.
	Run(ctx context.Context, c *batcher.Cursor) error
}

// Cluster is one set of caches, and how it is served.
type Cluster struct {
	Name string
	// From is where its delivery begins: the checkpoint's position, or the start's.
	From binlog.Position
	// Connections: one for routers, of which any one suffices; one for each of plain
	// servers. The cluster has acknowledged what all of them have.
	Connections []Connection
	// Flush, if set, empties the cluster's caches: what on_gap: flush does. Without
	// it the cluster is parked at a gap, until somebody decides.
	Flush func(ctx context.Context) error
	// Limit, if set, is the limiter of its sinks; while the cluster is behind it is set
	// to MaxRate keys a second.
	Limit   *rate.Limiter
	MaxRate int
}

// Connection is one way to a cluster's caches.
type Connection struct {
	Sink Sink
	// Seconds deliver everything once more, later.
	Seconds []Second
}

// Second is a second delete: it follows the first's acknowledgement by After.
type Second struct {
	After time.Duration
	Sink  Sink
}

// cluster is a Cluster at work.
type cluster struct {
	Cluster
	lanes []*lane

	mu sync.Mutex // held over the mending of a gap; guards what follows
	// mended counts the gaps that were mended, by flushing and going on from flushed.
	mended int
	// fruitless counts the last flushes behind which the next gap came at once.
	fruitless int
	// misfit is the rule and the table that the last gap was about, if it was about
	// such; flushedFor is when the cluster was flushed last.
	misfit     string
	flushedFor time.Time
	// parked is why the cluster waits for somebody to decide.
	parked *binlog.GapError

	rateMu sync.Mutex
	late   map[*lane]struct{} // those that are behind; guarded by rateMu

	flushedMu sync.Mutex
	// flushed is the place up to which flushing has made good all that was to be
	// deleted; guarded by flushedMu.
	flushed binlog.Position
}

// behind says that a lane is behind, or is not any more: max_rate holds as long as one
// is.
func (c *cluster) behind(l *lane, is bool) {
	c.rateMu.Lock()
	defer c.rateMu.Unlock()
	if is {
		if c.late == nil {
			c.late = make(map[*lane]struct{})
		}
		c.late[l] = struct{}{}
	} else {
		delete(c.late, l)
	}
	if len(c.late) > 0 {
		c.Limit.SetLimit(rate.Limit(c.MaxRate))
	} else {
		c.Limit.SetLimit(rate.Inf)
	}
}

// resume is where the cluster goes on after it was flushed, the zero place if it was
// not.
func (c *cluster) resume() binlog.Position {
	c.flushedMu.Lock()
	defer c.flushedMu.Unlock()
	return c.flushed.Clone()
}

func (c *cluster) setResume(p binlog.Position) {
	c.flushedMu.Lock()
	defer c.flushedMu.Unlock()
	c.flushed = p.Clone()
}

// position is up to where all its lanes have acknowledged, or the cluster was
// flushed.
func (c *cluster) position() binlog.Position {
	all := make([]binlog.Position, len(c.lanes))
	flushed := c.resume()
	for i, l := range c.lanes {
		if all[i] = l.at(); !flushed.IsZero() && !all[i].Covers(flushed) {
			all[i] = flushed // the lane has not met the gap yet
		}
	}
	return Least(all)
}

// Least is the position up to which all of several have come; there is one at least.
func Least(positions []binlog.Position) binlog.Position {
	lowest := positions[0]
	for _, p := range positions[1:] {
		switch {
		case p.Covers(lowest):
		case lowest.Covers(p):
			lowest = p
		default:
			// Neither has all of the other's: what both have.
			meet := p
			if p.GTIDs != nil && lowest.GTIDs != nil {
				meet.GTIDs = lowest.GTIDs.Intersect(p.GTIDs)
			}
			if order, ok := lowest.File.Compare(p.File); ok && (order < 0 || order == 0 && lowest.Offset < p.Offset) {
				meet.File, meet.Offset = lowest.File, lowest.Offset
			}
			lowest = meet
		}
	}
	return lowest
}
