package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
)

// reloadMetrics say whether what is at work is what the file says.
type reloadMetrics struct{ successful, timestamp prometheus.Gauge }

func newReloadMetrics(r prometheus.Registerer) *reloadMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mcsqueal", Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	m := &reloadMetrics{
		successful: gauge("config_last_reload_successful", "1 if the configuration that was read last, at the start or by a reload, is at work; 0 if it was refused and the one before goes on."),
		timestamp:  gauge("config_last_reload_success_timestamp_seconds", "When the configuration that is at work was read."),
	}
	m.taken()
	return m
}

func (m *reloadMetrics) taken() {
	m.successful.Set(1)
	m.timestamp.SetToCurrentTime()
}

// serve works until the context ends or the work does, and changes over to a new
// generation whenever a hangup asks for it. The old one ends without waiting for what is
// in its Log: the new one goes on from where each cluster has acknowledged, so deletes
// repeat, and none is skipped.
func (d *daemon) serve(ctx context.Context, g *generation, hangups <-chan os.Signal) error {
	for {
		working, stop := context.WithCancelCause(ctx)
		ended := make(chan error, 1)
		go func() { ended <- g.pipeline.Run(working) }()
		next, err := d.untilReload(ctx, g, hangups, ended)
		if next == nil {
			stop(nil)
			return err
		}
		stop(pipeline.ErrHandover)
		if err := <-ended; err != nil {
			// What the checkpoint has is what the new one begins with, whatever came of the old.
			d.logger.Error("what the old configuration was at did not end well; the new one goes on from the checkpoint", "error", err)
		}
		if err := d.begin(next); err != nil {
			return fmt.Errorf("change over to the new configuration: %w", err)
		}
		d.changedOver(g, next)
		d.service.loaded()
		g = next
	}
}

// untilReload waits for the end of the work, whose error it returns, or for a hangup that
// brings a generation which can take over.
func (d *daemon) untilReload(ctx context.Context, g *generation, hangups <-chan os.Signal, ended <-chan error) (*generation, error) {
	for {
		select {
		case err := <-ended:
			return nil, err
		case <-hangups:
		}
		d.logger.Info("reloading the configuration", "file", d.file)
		d.service.reloading()
		next, err := d.reload(ctx, g)
		select {
		case err := <-ended:
			return nil, err
		default:
		}
		switch {
		case err == nil:
			return next, nil
		case ctx.Err() == nil:
			d.reloads.successful.Set(0)
			d.logger.Error("the new configuration is refused; the old one stays at work", "file", d.file, "error", err)
			d.service.loaded()
		}
	}
}

// reload reads the configuration again and prepares it.
func (d *daemon) reload(ctx context.Context, g *generation) (*generation, error) {
	c, err := d.load()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.RequireSource(), c.RequireClusters()); err != nil {
		return nil, err
	}
	if paths := g.config.NeedsRestart(c); len(paths) > 0 {
		return nil, fmt.Errorf("%s cannot be changed while the daemon runs; change it back, or restart the daemon", strings.Join(paths, ", "))
	}
	clusters, err := c.Select(d.flags.Selected())
	if err != nil {
		return nil, err
	}
	if err := renamed(g.config, c); err != nil {
		return nil, err
	}
	return d.prepare(ctx, c, clusters)
}

// renamed refuses what looks like a cluster under a new name: the place of the old one
// would be lost to it, and with that what it has not acknowledged.
func renamed(old, next *config.Config) error {
	lacks := func(c *config.Config, name string) bool {
		return !slices.ContainsFunc(c.Clusters, func(c config.Cluster) bool { return c.Name == name })
	}
	for _, gone := range old.Clusters {
		for _, added := range next.Clusters {
			if !lacks(next, gone.Name) || !lacks(old, added.Name) {
				continue
			}
			for _, address := range added.Addresses() {
				if slices.Contains(gone.Addresses(), address) {
					return fmt.Errorf("cluster %s is gone, and %s is new and has its address %s: is it renamed? Then it would lose its place; name it %[1]s again, or take %[1]s out and reload, and then add %[2]s", gone.Name, added.Name, address)
				}
			}
		}
	}
	return nil
}

// changedOver says what has changed.
func (d *daemon) changedOver(old, g *generation) {
	d.setLevel(g.config)
	d.reloads.taken()
	serves := func(g *generation, name string) bool {
		return slices.ContainsFunc(g.clusters, func(c config.Cluster) bool { return c.Name == name })
	}
	for _, c := range g.clusters {
		if !serves(old, c.Name) {
			at := g.pipeline.Positions()[c.Name]
			d.logger.Info("a cluster is served that was not", "cluster", c.Name, "position", at.String())
		}
	}
	for _, c := range old.clusters {
		if !serves(g, c.Name) {
			d.read.Forget(c.Name)
			d.sent.Forget(c.Name)
			at := d.store.Checkpoint().Clusters[c.Name]
			d.logger.Warn("a cluster is served no more; its place is kept, and it goes on from there if it comes back",
				"cluster", c.Name, "position", at.String(), "if_gone_for_good", dropOf(c.Name))
		}
	}
	d.logger.Info("the new configuration is at work", "file", d.file, "clusters", len(g.clusters), "rules", len(g.config.Rules), "tags", strings.Join(g.config.Tags, " "), "log_level", string(g.config.Log.Level))
}

// dropOf is the command that forgets a cluster.
func dropOf(cluster string) string {
	return "mcsqueal checkpoint drop --cluster " + cluster + ", while no daemon runs"
}
