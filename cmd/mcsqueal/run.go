package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/extract"
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
		return runDaemon(cmd, s, dryRun)
	}
	return cmd
}

func runDaemon(cmd *cobra.Command, s *settings, dryRun bool) error {
	ctx := cmd.Context()
	c, err := s.load()
	if err != nil {
		return err
	}
	if err := c.RequireSource(); err != nil {
		return err
	}
	if !dryRun {
		if err := c.RequireClusters(); err != nil {
			return err
		}
	}
	logger := s.logger(c)
	dir, err := s.stateDir(c)
	if err != nil {
		return err
	}
	server, err := serverConfig(c, s.env)
	if err != nil {
		return err
	}
	live := binlog.LiveConfig{Server: server, ServerID: daemonServerID(c, dir), Logger: logger}

	saved, save := &checkpoint.Checkpoint{}, (func(map[string]binlog.Position) error)(nil)
	if dryRun {
		live.ServerID = freshServerID()
		if saved, err = checkpoint.Read(dir); err != nil {
			return err
		}
	} else {
		store, err := checkpoint.Open(dir)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }() // the process ends, and the lock with it
		saved, save = store.Checkpoint(), store.Save
		if err := known(saved, c); err != nil {
			return err
		}
	}

	settings, err := inspect(ctx, server, logger)
	if err != nil {
		return err
	}
	live.Connected = watchSettings(server.Address, logger)
	start, err := startOf(ctx, binlog.NewLive(live), c, saved)
	if err != nil {
		return err
	}
	from := func(name string) binlog.Position {
		if p, ok := saved.Clusters[name]; ok {
			return p
		}
		return start.point
	}
	var d *delivery
	if dryRun {
		d = printTo(s.env.stdout, c.Clusters, start.reading, nil)
	} else {
		d = deliverTo(c.Clusters, from, nil, nil, logger)
	}
	p, err := pipeline.New(pipeline.Config{
		Source: binlog.NewLive(live), From: start.reading, Impatient: true,
		Clusters: d.clusters, Tags: c.Tags, Lexing: extract.LexingNamed(settings.SQLMode, settings.Charset),
		LogBytes: int64(c.LogBytes), Save: save, Logger: logger,
	})
	if err != nil {
		return err
	}
	logger.Info("tailing", "source", server.Address, "version", settings.Version, "from", start.reading.String(), "clusters", len(c.Clusters), "server_id", live.ServerID)
	if err := p.Run(ctx); err != nil {
		return err
	}
	for name, at := range p.Positions() {
		logger.Info("stopped", "cluster", name, "position", at.String())
	}
	return nil
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
