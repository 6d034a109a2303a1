package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"

	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/pipeline"
	"github.com/mcsqueal/mcsqueal/sink/memcache"
	"github.com/mcsqueal/mcsqueal/sink/stdout"
)

// delivery is the clusters with their sinks, and what is asked of those at the end.
type delivery struct {
	clusters []pipeline.Cluster
	sinks    []*memcache.Sink
	// first are the sinks of the first deletes, of each of clusters.
	first [][]*memcache.Sink
}

// setAside is how many keys will never be deleted.
func (d *delivery) setAside() (n uint64) {
	for _, s := range d.sinks {
		n += s.SetAside()
	}
	return n
}

// deliverTo makes the sinks of the clusters. All begin at from; limit, if set, bounds all
// together.
func deliverTo(clusters []config.Cluster, from binlog.Position, match *regexp.Regexp, limit *rate.Limiter, metrics *memcache.Metrics, logger *slog.Logger) (*delivery, error) {
	d := &delivery{}
	for _, c := range clusters {
		cfg, err := sinkConfig(c)
		if err != nil {
			return nil, err
		}
		if match != nil {
			cfg.Match = append(cfg.Match, match)
		}
		cfg.Rate, cfg.Metrics, cfg.Logger = limit, metrics, logger
		d.add(c, from, cfg)
	}
	return d, nil
}

// sinkConfig is what the configuration says of a cluster's sinks, without targets. It
// fails where a file for TLS cannot be read.
func sinkConfig(c config.Cluster) (memcache.Config, error) {
	secure, err := c.TLS.ClientForCaches()
	if err != nil {
		return memcache.Config{}, usageError{fmt.Errorf("cluster %s: %w", c.Name, err)}
	}
	cfg := memcache.Config{
		Cluster: c.Name, Prefix: c.Prefix, Protocol: protocol(c.Protocol), TLS: secure,
		Window: c.Window, Timeout: c.Timeout, Linger: c.Linger, RefusedMax: c.RefusedMax,
	}
	if m := matcher(c); m != nil {
		cfg.Match = append(cfg.Match, m)
	}
	switch c.Action.Kind {
	case config.ActionStale:
		cfg.Stale = c.Action.For
	case config.ActionHoldoff:
		cfg.Holdoff = c.Action.For
	case config.ActionDelete:
	}
	return cfg, nil
}

// probeActions tries what the clusters' actions ask for. A server that does not
// honour it is a mistake in the configuration; one that cannot be reached now is
// tried when it is.
func probeActions(ctx context.Context, clusters []config.Cluster, logger *slog.Logger) error {
	for _, c := range clusters {
		if c.Action.Kind == config.ActionDelete {
			continue
		}
		if c.Action.Kind == config.ActionStale {
			logger.Warn("action stale: readers that use plain get on stock memcached still see the old value, unmarked, until it expires; only meta readers see that it is stale", "cluster", c.Name)
		}
		cfg, err := sinkConfig(c)
		if err != nil {
			return err
		}
		cfg.Targets = c.Addresses()
		err = memcache.Probe(ctx, cfg)
		if errors.Is(err, memcache.ErrNotHonoured) {
			return usageError{fmt.Errorf("cluster %s: action %s: %w", c.Name, c.Action, err)}
		}
		if err != nil {
			logger.Warn("the action cannot be tried now; it is before anything is sent", "cluster", c.Name, "action", c.Action.String(), "error", err)
		}
	}
	return nil
}

// catchUpBurst is how many keys may go out at once while max_rate holds.
const catchUpBurst = 1000

func (d *delivery) add(c config.Cluster, from binlog.Position, cfg memcache.Config) {
	cluster := pipeline.Cluster{Name: c.Name, From: from, MaxRate: c.MaxRate}
	if cfg.Rate == nil && c.MaxRate > 0 {
		cfg.Rate = rate.NewLimiter(rate.Inf, min(c.MaxRate, catchUpBurst))
		cluster.Limit = cfg.Rate
	}
	if flush := c.FlushServers(); len(flush) > 0 {
		cluster.Flush = func(ctx context.Context) error { return memcache.Flush(ctx, flush, c.Timeout, cfg.TLS) }
	}
	targets := [][]string{c.Routers}
	if len(c.Servers) > 0 {
		cfg.Servers = true
		// Each server gets every delete.
		targets = nil
		for _, server := range c.Servers {
			targets = append(targets, []string{server})
		}
	}
	sink := func(t []string, second bool) *memcache.Sink {
		cfg.Targets, cfg.Second = t, second
		s := memcache.New(cfg)
		d.sinks = append(d.sinks, s)
		return s
	}
	var firsts []*memcache.Sink
	for _, t := range targets {
		first := sink(t, false)
		firsts = append(firsts, first)
		conn := pipeline.Connection{Sink: first}
		for _, after := range c.RedeleteAfter {
			conn.Seconds = append(conn.Seconds, pipeline.Second{After: after, Sink: sink(t, true)})
		}
		cluster.Connections = append(cluster.Connections, conn)
	}
	d.clusters, d.first = append(d.clusters, cluster), append(d.first, firsts)
}

func protocol(p config.Protocol) mcconn.Protocol {
	switch p {
	case config.ProtocolMeta:
		return mcconn.Meta
	case config.ProtocolText:
		return mcconn.Text
	default:
		return mcconn.Auto
	}
}

// matcher is the cluster's match, compiled; nil if it has none.
func matcher(c config.Cluster) *regexp.Regexp {
	if c.Match == "" {
		return nil
	}
	return regexp.MustCompile(c.Match) // the configuration has been validated
}

// printTo makes the one sink of a dry run, for all clusters.
func printTo(out io.Writer, clusters []config.Cluster, from binlog.Position, match *regexp.Regexp) *delivery {
	cfg := stdout.Config{Match: match, Out: out}
	for _, c := range clusters {
		cfg.Clusters = append(cfg.Clusters, stdout.Cluster{Name: c.Name, Match: matcher(c), Action: c.Action.String()})
	}
	conn := pipeline.Connection{Sink: stdout.New(cfg)}
	return &delivery{clusters: []pipeline.Cluster{{Name: "standard output", From: from, Connections: []pipeline.Connection{conn}}}}
}
