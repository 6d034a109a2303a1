package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
)

// daemon is what stays from one configuration to the next: the lock on the state, what
// is counted, the listener, the log. What a configuration says is done by a generation.
//
//	start ─► prepare ─► begin ─► serve ─► the end
//	                      ▲        │ SIGHUP
//	                      └─ prepare the next, while this one goes on; if that fails,
//	                         it simply goes on
type daemon struct {
	*settings
	logger  *slog.Logger
	dir     string // state_dir
	store   *checkpoint.Store
	spool   *checkpoint.Spool
	metrics *prometheus.Registry
	daemonMetrics
	service  *service
	serverID uint32
	started  time.Time

	mu      sync.Mutex
	current *generation // the one at work, nil before the first; guarded by mu
}

// generation is a configuration at work, or about to be.
type generation struct {
	config   *config.Config
	clusters []config.Cluster // those to be served
	src      *source
	// fresh is where clusters begin that the checkpoint does not know.
	fresh map[string]binlog.Position
	// retired are the clusters in the checkpoint that the configuration lacks.
	retired  []string
	delivery *delivery
	pipeline *pipeline.Pipeline
	report   *report
}

// runDaemon tails and delivers to some of the configured clusters, or all; the others
// keep their places.
func runDaemon(ctx context.Context, s *settings, c *config.Config, clusters []config.Cluster) error {
	d := &daemon{settings: s, logger: s.logger(c), metrics: prometheus.NewRegistry(), started: time.Now()}
	d.daemonMetrics = newDaemonMetrics(d.metrics)
	d.metrics.MustRegister(currentLags{d})
	// A hangup must not end a daemon that has only just begun.
	hangups, stop := s.env.hangupsOrNone()
	defer stop()
	var err error
	if d.dir, err = s.stateDir(c); err != nil {
		return err
	}
	if d.store, err = checkpoint.Open(d.dir); err != nil {
		return err
	}
	defer func() { _ = d.store.Close() }() // the process ends, and the lock with it
	if err := known(d.store.Checkpoint(), c); err != nil {
		return err
	}
	if d.spool, err = checkpoint.OpenSpool(filepath.Join(d.dir, "xa")); err != nil {
		return err
	}
	defer func() { _ = d.spool.Close() }() // what it keeps is on disk
	for _, name := range d.store.Checkpoint().Retired {
		if slices.ContainsFunc(c.Clusters, func(c config.Cluster) bool { return c.Name == name }) {
			continue
		}
		d.logger.Warn("the checkpoint keeps the place of a cluster that was taken out of the configuration by a reload", "cluster", name, "if_gone_for_good", dropOf(name))
	}
	d.serverID = daemonServerID(c, d.dir)
	g, err := d.prepare(ctx, c, clusters)
	if err != nil {
		return err
	}
	if err := d.begin(g); err != nil {
		return err
	}
	admin, err := startAdmin(ctx, d, c)
	if err != nil {
		return err
	}
	defer admin.close()
	d.logger.Info("tailing", "source", g.src.live.Server().Address, "version", g.src.settings.Version, "clusters", len(clusters), "server_id", d.serverID)
	d.service = startService(ctx, d)
	defer d.service.stop()
	err = d.serve(ctx, g, hangups)
	for name, at := range d.now().pipeline.Positions() {
		d.logger.Info("stopped", "cluster", name, "position", at.String())
	}
	return err
}

// prepare finds out whether a configuration can be served, and where its new clusters
// begin, which is on disk when it returns. It disturbs nothing that is at work.
func (d *daemon) prepare(ctx context.Context, c *config.Config, clusters []config.Cluster) (*generation, error) {
	g := &generation{config: c, clusters: clusters, fresh: make(map[string]binlog.Position)}
	saved := d.store.Checkpoint()
	var err error
	if g.src, err = openSource(ctx, c, d.env, d.logger); err != nil {
		return nil, err
	}
	places := placesOf(saved, clusters)
	if d.now() != nil {
		// There is always some log to be read from before now. But rules that serve it are
		// at work, and new ones are to fit the tables as they are.
		places = nil
	}
	if err := checkSource(ctx, g.src, c, places, d.logger); err != nil {
		return nil, err
	}
	g.src.metrics = d.connections
	warnAbout(g.src.settings, len(c.Tags) > 0, d.logger)
	if err := probeActions(ctx, clusters, d.logger); err != nil {
		return nil, err
	}
	from, err := startOf(ctx, g.src, clusters, c.Start, saved)
	if err != nil {
		return nil, err
	}
	if g.delivery, err = deliverTo(clusters, binlog.Position{}, nil, nil, d.sent, d.logger); err != nil {
		return nil, err
	}
	for name, at := range from {
		if _, ok := saved.Clusters[name]; !ok {
			g.fresh[name] = at
		}
	}
	for name := range saved.Clusters {
		if !slices.ContainsFunc(c.Clusters, func(c config.Cluster) bool { return c.Name == name }) {
			g.retired = append(g.retired, name)
		}
	}
	// Every cluster has its place on disk before anything is read: a daemon killed
	// within the first second would otherwise begin where the log has got to by then.
	if len(g.fresh) == 0 && d.now() != nil {
		return g, nil
	}
	return g, d.store.Save(g.fresh)
}

// begin makes a generation the one at work; the one before has ended.
func (d *daemon) begin(g *generation) error {
	if err := d.store.Retire(g.retired); err != nil {
		d.logger.Error("the checkpoint cannot be saved; clusters that are no longer configured have to be dropped from it before the next start", "clusters", g.retired, "error", err)
	}
	saved := d.store.Checkpoint()
	from := make(map[string]binlog.Position, len(g.clusters))
	for _, c := range g.clusters {
		from[c.Name] = saved.Clusters[c.Name]
	}
	others := unserved(saved, from)
	if err := d.spool.Rewind(slices.Concat(others, slices.Collect(maps.Values(from)))); err != nil {
		return err
	}
	for i := range g.delivery.clusters {
		c := &g.delivery.clusters[i]
		c.From = from[c.Name]
		if g.config.OnGap != config.OnGapFlush {
			c.Flush = nil
		}
	}
	p, err := pipeline.New(tailing(g.src, g.config, pipeline.Config{
		Open: g.src.tail(d.serverID, g.config), Clusters: g.delivery.clusters, Save: d.store.Save, Spool: d.spool, Unserved: others, Logger: d.logger,
		Metrics: d.read,
		Prepared: func(ctx context.Context, at binlog.Position) error {
			return g.src.live.Prepared(ctx, at, d.spool.XIDs())
		},
	}))
	if err != nil {
		return err
	}
	g.pipeline, g.report = p, newReport(g, p, g.delivery, d.read)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current = g
	return nil
}

// now is the generation at work.
func (d *daemon) now() *generation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// ready is that of the generation at work.
func (d *daemon) ready() error { return d.now().pipeline.Ready() }

// alive is that of the generation at work.
func (d *daemon) alive() error { return d.now().pipeline.Alive() }

// currentLags are those of whatever generation is at work.
type currentLags struct{ d *daemon }

// Describe implements prometheus.Collector.
func (currentLags) Describe(out chan<- *prometheus.Desc) { pipeline.Lags{}.Describe(out) }

// Collect implements prometheus.Collector.
func (l currentLags) Collect(out chan<- prometheus.Metric) {
	if g := l.d.now(); g != nil {
		g.pipeline.Lags().Collect(out)
	}
}

// known refuses a checkpoint with clusters that the configuration lacks: one may
// have been renamed, and would lose its place in silence. That of a running daemon was
// taken out in its sight.
func known(saved *checkpoint.Checkpoint, c *config.Config) error {
	names := make(map[string]bool)
	for _, cluster := range c.Clusters {
		names[cluster.Name] = true
	}
	var errs []error
	for name := range saved.Clusters {
		if !names[name] && !slices.Contains(saved.Retired, name) {
			errs = append(errs, fmt.Errorf("the checkpoint has a cluster %q that the configuration lacks; if it was renamed, name it so again; if it is gone: mcsqueal checkpoint drop --cluster %[1]s", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}
