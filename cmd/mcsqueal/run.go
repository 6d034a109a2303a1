package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
	"github.com/mcsqueal/mcsqueal/sink/memcache"
)

func newRunCommand(env environment) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Tail the source's log and deliver, until SIGTERM or SIGINT, then drain",
		Args:  noArgs,
	}
	s := bindSettings(cmd, env)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be deleted, a line of JSON each; send nothing, take no lock, write no checkpoint")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.load()
		if err != nil {
			return err
		}
		if err := c.RequireSource(); err != nil {
			return err
		}
		daemon := dryRunDaemon
		if !dryRun {
			daemon = runDaemon
			if err := c.RequireClusters(); err != nil {
				return err
			}
		}
		clusters, err := c.Select(s.flags.Selected())
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		err = daemon(ctx, s, c, clusters)
		if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
			return nil // told to stop before there was anything to drain
		}
		return err
	}
	return cmd
}

// runDaemon tails and delivers to some of the configured clusters, or all; the others
// keep their places.
func runDaemon(ctx context.Context, s *settings, c *config.Config, clusters []config.Cluster) error {
	logger := s.logger(c)
	dir, err := s.stateDir(c)
	if err != nil {
		return err
	}
	store, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // the process ends, and the lock with it
	saved := store.Checkpoint()
	if err := known(saved, c); err != nil {
		return err
	}
	spool, err := checkpoint.OpenSpool(filepath.Join(dir, "xa"))
	if err != nil {
		return err
	}
	defer func() { _ = spool.Close() }() // what it keeps is on disk
	src, err := openSource(ctx, c, s.env, logger)
	if err != nil {
		return err
	}
	if err := checkSource(ctx, src, c, placesOf(saved, clusters), logger); err != nil {
		return err
	}
	warnAbout(src.settings, len(c.Tags) > 0, logger)
	if err := probeActions(ctx, clusters, logger); err != nil {
		return err
	}
	from, err := startOf(ctx, src, clusters, c.Start, saved)
	if err != nil {
		return err
	}
	// Every cluster has its place on disk before anything is read: a daemon killed
	// within the first second would otherwise begin where the log has got to by then.
	if err := store.Save(from); err != nil {
		return err
	}
	others := unserved(saved, from)
	starts := slices.Clone(others)
	for _, at := range from {
		starts = append(starts, at)
	}
	if err := spool.Rewind(starts); err != nil {
		return err
	}
	metrics := newRegistry()
	d := deliverTo(clusters, func(name string) binlog.Position { return from[name] }, nil, nil, memcache.NewMetrics(metrics), logger)
	if c.OnGap != config.OnGapFlush {
		for i := range d.clusters {
			d.clusters[i].Flush = nil
		}
	}
	id := daemonServerID(c, dir)
	p, err := pipeline.New(tailing(src, c, pipeline.Config{
		Open: src.tail(id, c), Clusters: d.clusters, Save: store.Save, Spool: spool, Unserved: others, Logger: logger,
		Metrics:  pipeline.NewMetrics(metrics),
		Prepared: func(ctx context.Context, at binlog.Position) error { return src.live.Prepared(ctx, at, spool.XIDs()) },
	}))
	if err != nil {
		return err
	}
	metrics.MustRegister(p.Lags())
	admin, err := startAdmin(ctx, c, metrics, p.Ready, logger)
	if err != nil {
		return err
	}
	defer admin.close()
	logger.Info("tailing", "source", src.live.Server().Address, "version", src.settings.Version, "clusters", len(clusters), "server_id", id)
	err = p.Run(ctx)
	for name, at := range p.Positions() {
		logger.Info("stopped", "cluster", name, "position", at.String())
	}
	return err
}

// tailing fills in what every tailing of a source has in common.
func tailing(src *source, c *config.Config, p pipeline.Config) pipeline.Config {
	p.Impatient = true
	p.Distance, p.Verify, p.Now = src.distance, src.live.Verify, src.now
	p.CatchUp, p.Tags, p.Rules, p.LogBytes = c.CatchUp, c.Tags, rulesOf(c), int64(c.LogBytes)
	p.MendText = src.settings.MendText()
	return p
}

// checkSource says what keeps the source's log from having keys.
func checkSource(ctx context.Context, src *source, c *config.Config, from []binlog.Position, logger *slog.Logger) error {
	if len(c.Tags) > 0 {
		if err := src.settings.CheckText(); err != nil {
			return err
		}
	}
	return checkRules(ctx, src, c, from, logger)
}

// dryRunDaemon prints what runDaemon would delete, from where it would begin.
func dryRunDaemon(ctx context.Context, s *settings, c *config.Config, clusters []config.Cluster) error {
	logger := s.logger(c)
	dir, err := s.stateDir(c)
	if err != nil {
		return err
	}
	saved, err := checkpoint.Read(dir)
	if err != nil {
		return err
	}
	src, err := openSource(ctx, c, s.env, logger)
	if err != nil {
		return err
	}
	if err := checkSource(ctx, src, c, placesOf(saved, clusters), logger); err != nil {
		return err
	}
	from, err := startOf(ctx, src, clusters, c.Start, saved)
	if err != nil {
		return err
	}
	spool := checkpoint.TemporarySpool("")
	defer func() { logClose(logger, spool.Close()) }()
	d := printTo(s.env.stdout, clusters, earliest(from), nil)
	p, err := pipeline.New(tailing(src, c, pipeline.Config{
		Open: src.tail(freshServerID(), c), Clusters: d.clusters, Spool: spool, Logger: logger,
	}))
	if err != nil {
		return err
	}
	logger.Info("dry run: printing what would be deleted", "source", src.live.Server().Address, "version", src.settings.Version)
	err = p.Run(ctx)
	if gap := (*binlog.GapError)(nil); errors.Is(err, pipeline.ErrAllParked) && errors.As(err, &gap) {
		return fmt.Errorf("%w: %w", pipeline.ErrAllParked, gap) // of no cluster by its name
	}
	return err
}

func logClose(logger *slog.Logger, err error) {
	if err != nil {
		logger.Warn("temporary files cannot be removed", "error", err)
	}
}

// known refuses a checkpoint with clusters that the configuration lacks: one may
// have been renamed, and would lose its place in silence.
func known(saved *checkpoint.Checkpoint, c *config.Config) error {
	names := make(map[string]bool)
	for _, cluster := range c.Clusters {
		names[cluster.Name] = true
	}
	var errs []error
	for name := range saved.Clusters {
		if !names[name] {
			errs = append(errs, fmt.Errorf("the checkpoint has a cluster %q that the configuration lacks; if it was renamed, name it so again; if it is gone: mcsqueal checkpoint drop --cluster %[1]s", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}
