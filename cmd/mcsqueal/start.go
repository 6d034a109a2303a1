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

// startOf finds where each of the clusters begins: at its place in the checkpoint, or
// where new ones begin. Without clusters, as a dry run may be, it gives that place under
// no name.
func startOf(ctx context.Context, src *source, clusters []config.Cluster, start binlog.Point, saved *checkpoint.Checkpoint) (map[string]binlog.Position, error) {
	from := make(map[string]binlog.Position, len(clusters))
	fresh := make([]string, 0, len(clusters))
	for _, cluster := range clusters {
		if at, ok := saved.Clusters[cluster.Name]; ok {
			from[cluster.Name] = at
		} else {
			fresh = append(fresh, cluster.Name)
		}
	}
	if len(clusters) == 0 {
		fresh = append(fresh, "")
	}
	if len(fresh) == 0 {
		return from, nil
	}
	at, err := src.live.Resolve(ctx, start)
	if err != nil {
		return nil, err
	}
	for _, name := range fresh {
		from[name] = at.Clone()
	}
	return from, nil
}

// placesOf are the places in the checkpoint of those of the clusters that have one.
func placesOf(saved *checkpoint.Checkpoint, clusters []config.Cluster) (positions []binlog.Position) {
	for _, cluster := range clusters {
		if at, ok := saved.Clusters[cluster.Name]; ok {
			positions = append(positions, at)
		}
	}
	return positions
}

// unserved are the positions in the checkpoint of clusters that begin nowhere now.
func unserved(saved *checkpoint.Checkpoint, from map[string]binlog.Position) (positions []binlog.Position) {
	for name, at := range saved.Clusters {
		if _, ok := from[name]; !ok {
			positions = append(positions, at)
		}
	}
	return positions
}

// earliest is the position that all of several have executed.
func earliest(from map[string]binlog.Position) binlog.Position {
	return pipeline.Least(slices.Collect(maps.Values(from)))
}
