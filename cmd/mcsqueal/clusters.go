package main

import (
	"context"
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
}

// setAside is how many keys will never be deleted.
func (d *delivery) setAside() (n uint64) {
	for _, s := range d.sinks {
		n += s.SetAside()
	}
	return n
}

// deliverTo makes the sinks of the clusters. from gives each its position; limit, if
// set, bounds all together.
func deliverTo(clusters []config.Cluster, from func(name string) binlog.Position, match *regexp.Regexp, limit *rate.Limiter, logger *slog.Logger) *delivery {
	d := &delivery{}
	metrics := memcache.NewMetrics(nil)
	for _, c := range clusters {
		d.add(c, from(c.Name), memcache.Config{
			Cluster: c.Name, Prefix: c.Prefix, Protocol: protocol(c.Protocol), Match: matchers(c, match),
			Window: c.Window, Timeout: c.Timeout, Linger: c.Linger, RefusedMax: c.RefusedMax,
			Rate: limit, Metrics: metrics, Logger: logger,
		})
	}
	return d
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
		cluster.Flush = func(ctx context.Context) error { return memcache.Flush(ctx, flush, c.Timeout) }
	}
	targets := [][]string{c.Routers}
	if len(c.Servers) > 0 {
		// Each server gets every delete.
		targets = nil
		for _, server := range c.Servers {
			targets = append(targets, []string{server})
		}
	}
	sink := func(t []string) *memcache.Sink {
		cfg.Targets = t
		s := memcache.New(cfg)
		d.sinks = append(d.sinks, s)
		return s
	}
	for _, t := range targets {
		conn := pipeline.Connection{Sink: sink(t)}
		for _, after := range c.RedeleteAfter {
			conn.Seconds = append(conn.Seconds, pipeline.Second{After: after, Sink: sink(t)})
		}
		cluster.Connections = append(cluster.Connections, conn)
	}
	d.clusters = append(d.clusters, cluster)
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

// matchers are the expressions that a key of the cluster has to match.
func matchers(c config.Cluster, also *regexp.Regexp) (all []*regexp.Regexp) {
	if m := matcher(c); m != nil {
		all = append(all, m)
	}
	if also != nil {
		all = append(all, also)
	}
	return all
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
