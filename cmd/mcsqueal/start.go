package main

import (
	"context"
	"maps"
	"slices"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
)

// startOf finds where each cluster begins: at its place in the checkpoint, or where
// the configuration lets new ones begin. Without clusters, as a dry run may be, it
// gives that place under no name.
func startOf(ctx context.Context, src *source, c *config.Config, saved *checkpoint.Checkpoint) (map[string]binlog.Position, error) {
	from := make(map[string]binlog.Position, len(c.Clusters))
	fresh := make([]string, 0, len(c.Clusters))
	for _, cluster := range c.Clusters {
		if at, ok := saved.Clusters[cluster.Name]; ok {
			from[cluster.Name] = at
		} else {
			fresh = append(fresh, cluster.Name)
		}
	}
	if len(c.Clusters) == 0 {
		fresh = append(fresh, "")
	}
	if len(fresh) == 0 {
		return from, nil
	}
	at, err := src.live.Resolve(ctx, c.Start)
	if err != nil {
		return nil, err
	}
	for _, name := range fresh {
		from[name] = at.Clone()
	}
	return from, nil
}

// earliest is the position that all of several have executed.
func earliest(from map[string]binlog.Position) binlog.Position {
	return pipeline.Least(slices.Collect(maps.Values(from)))
}
