package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// lane is one connection of a cluster: a sink, and the cursor it is served from.
type lane struct {
	cluster *Cluster
	sink    Sink

	mu       sync.Mutex
	cursor   *batcher.Cursor // guarded by mu; nil between two
	position binlog.Position // guarded by mu; where there is no cursor
}

// at is how far the lane has acknowledged.
func (l *lane) at() binlog.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cursor != nil {
		return l.cursor.Position()
	}
	return l.position.Clone()
}

// enter gives the lane a cursor in a stream's Log.
func (l *lane) enter(s *stream) (*batcher.Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := s.reading.log.NewCursor(l.position)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: begin at %s: %w", l.cluster.Name, l.position, err)
	}
	l.cursor = c
	return c, nil
}

// leave takes it out again.
func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position = l.cursor.Position()
	l.cursor.Close()
	l.cursor = nil
}

// serve delivers from one cursor until the sink is done with it.
func (l *lane) serve(ctx context.Context, c *batcher.Cursor) error {
	defer l.leave()
	if err := l.sink.Run(ctx, c); err != nil {
		return fmt.Errorf("cluster %s: %w", l.cluster.Name, err)
	}
	return nil
}
