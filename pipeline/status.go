package pipeline

import (
	"errors"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// Status is what a Pipeline is at.
type Status struct {
	// Source is what the main reading's source is at; SourceKnown is false where that
	// cannot be told: before the reading has begun, and of log files.
	Source      binlog.LiveState
	SourceKnown bool
	// Unreadable is how long commits that were read have been waited for to be readable
	// on the source; 0 if none are.
	Unreadable time.Duration
	// LogUsed is how much of the Log the fastest cluster has not acknowledged, and
	// LogCapacity its bound.
	LogUsed, LogCapacity int64
	// CatchUp is how many private readings there are.
	CatchUp  int
	Clusters []ClusterStatus
}

// ClusterStatus is what a cluster is at.
type ClusterStatus struct {
	Name string
	// State is in_step, catching_up, waiting or gap.
	State    string
	Position binlog.Position
	Lag      batcher.Lag
	// Gap is what the cluster is parked for, and WaysOn how it can go on; nil and empty if
	// it is not.
	Gap    error
	WaysOn string
}

// Status is what the Pipeline is at now. Any goroutine may call it; it waits for nobody.
func (p *Pipeline) Status() Status {
	main, private := p.readings()
	s := Status{CatchUp: private, Unreadable: p.unreadable(time.Now())}
	s.Source, s.SourceKnown = main.source()
	if main != nil {
		s.LogCapacity = main.reading.log.Capacity()
		s.LogUsed = s.LogCapacity - main.reading.log.Free()
	}
	for _, c := range p.clusters {
		each := ClusterStatus{Name: c.Name, State: doingNames[c.doing()], Position: c.position(), Lag: c.lag()}
		if gap := c.gap(); gap != nil {
			each.Gap, each.WaysOn = gap, waysOn(c.Name, gap)
		}
		s.Clusters = append(s.Clusters, each)
	}
	return s
}

// gap is why the cluster is parked, nil if it is not, or if it is being mended.
func (c *cluster) gap() *binlog.GapError {
	if !c.mu.TryLock() {
		return nil // it is held for as long as a flush takes
	}
	defer c.mu.Unlock()
	return c.parked
}

// errNotRead is why nothing is remembered yet.
var errNotRead = errors.New("the source's log is not read yet")
