package main

import (
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

// delivery is the clusters' sinks, and what is asked of them at the end.
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

// deliverTo makes the sinks of the clusters. from gives each its position.
func deliverTo(clusters []config.Cluster, from func(name string) binlog.Position, match *regexp.Regexp, limit *rate.Limiter, logger *slog.Logger) *delivery {
	d := &delivery{}
	metrics := memcache.NewMetrics(nil)
	for _, c := range clusters {
		cfg := memcache.Config{
			Cluster: c.Name, Prefix: c.Prefix, Window: c.Window, Timeout: c.Timeout, Linger: c.Linger,
			RefusedMax: c.RefusedMax, Rate: limit, Metrics: metrics, Logger: logger,
		}
		for _, m := range []*regexp.Regexp{matcher(c), match} {
			if m != nil {
				cfg.Match = append(cfg.Match, m)
			}
		}
		switch c.Protocol {
		case config.ProtocolMeta:
			cfg.Protocol = mcconn.Meta
		case config.ProtocolText:
			cfg.Protocol = mcconn.Text
		case config.ProtocolAuto:
			cfg.Protocol = mcconn.Auto
		}
		cluster := pipeline.Cluster{Name: c.Name, From: from(c.Name)}
		targets := [][]string{c.Routers}
		if len(c.Servers) > 0 {
			// Each server gets every delete.
			targets = nil
			for _, server := range c.Servers {
				targets = append(targets, []string{server})
			}
		}
		for _, t := range targets {
			cfg.Targets = t
			s := memcache.New(cfg)
			d.sinks = append(d.sinks, s)
			cluster.Sinks = append(cluster.Sinks, s)
		}
		d.clusters = append(d.clusters, cluster)
	}
	return d
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
	return &delivery{clusters: []pipeline.Cluster{{Name: "standard output", From: from, Sinks: []pipeline.Sink{stdout.New(cfg)}}}}
}
