package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
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
