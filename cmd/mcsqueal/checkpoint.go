package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
)

func newCheckpointCommand(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Show or change how far each cluster has acknowledged",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("checkpoint wants show, set or drop")
			}
			return usagef("checkpoint %s is not known; it is show, set or drop", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(newCheckpointShow(env), newCheckpointSet(env), newCheckpointDrop(env))
	return cmd
}

func newCheckpointShow(env environment) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Print every cluster's position; a daemon may be running", Args: noArgs}
	s := bindSettings(cmd, env)
	helpOnly(cmd, "config", "state-dir")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := s.load()
		if err != nil {
			return err
		}
		dir, err := s.stateDir(c)
		if err != nil {
			return err
		}
		at, err := checkpoint.Read(dir)
		if err != nil {
			return err
		}
		if len(at.Clusters) == 0 {
			_, err := fmt.Fprintf(env.stdout, "no checkpoint in %s\n", dir)
			return err
		}
		names := make([]string, 0, len(at.Clusters))
		for name := range at.Clusters {
			names = append(names, name)
		}
		slices.Sort(names)
		w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "CLUSTER\tLOG\tPOSITION\tSERVER\tGTID SET")
		for _, name := range names {
			p := at.Clusters[name]
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", name, p.File.Name, p.Offset, p.File.Server, p.GTIDs)
		}
		fmt.Fprintf(w, "\nsaved %s\n", at.Saved.Format(time.RFC3339Nano))
		return w.Flush()
	}
	return cmd
}

func newCheckpointSet(env environment) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "set --cluster NAME --to POS",
		Short: "Make a cluster go on from another position; refused while a daemon runs",
		Args:  noArgs,
	}
	s := bindSettings(cmd, env)
	cmd.Flags().StringVar(&to, "to", "", "`position`: oldest, now, gtid:SET, file:NAME:OFFSET or time:RFC3339")
	helpOnly(cmd, "to", "cluster", "config", "state-dir", "source", "password-file",
		"tls-mode", "tls-ca", "tls-cert", "tls-key", "tls-server-name", "log-level", "log-format")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.load()
		if err != nil {
			return err
		}
		name, err := oneCluster(s)
		if err != nil {
			return err
		}
		if to == "" {
			return usagef("checkpoint set wants --to POS")
		}
		point, err := parsePoint("--to", to)
		if err != nil {
			return err
		}
		dir, err := s.stateDir(c)
		if err != nil {
			return err
		}
		saved, err := checkpoint.Read(dir)
		if err != nil {
			return err
		}
		if err := checkTarget(saved, c, name, point); err != nil {
			return err
		}
		pos, err := lookUp(cmd.Context(), s, c, point)
		if err != nil {
			return err
		}
		store, err := checkpoint.Open(dir)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }() // the process ends, and the lock with it
		if err := store.Save(map[string]binlog.Position{name: pos}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "cluster %s goes on from %s\n", name, pos)
		return err
	}
	return cmd
}

// checkTarget refuses a cluster that nobody knows, and a set of GTIDs that means nothing
// to it or to the source.
func checkTarget(saved *checkpoint.Checkpoint, c *config.Config, name string, to binlog.Point) error {
	known := slices.Collect(maps.Keys(saved.Clusters))
	for _, cluster := range c.Clusters {
		known = append(known, cluster.Name)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if len(known) > 0 && !slices.Contains(known, name) {
		hint := "there is " + strings.Join(known, ", ")
		if near, ok := config.Nearest(name, known); ok {
			hint = "did you mean " + near + "?"
		}
		return usagef("--cluster %s: neither the configuration nor the checkpoint has such a cluster; %s", name, hint)
	}
	if sources := c.Source.All(); len(sources) > 0 {
		return checkFlavor("--to", to, sources[0].Flavor)
	}
	if has := saved.Clusters[name].GTIDs; !has.Empty() && to.Kind == binlog.PointGTID && !to.GTIDs.Empty() && to.GTIDs.Flavor() != has.Flavor() {
		return usagef("--to %s: the set is %s's, and the cluster's position is %s's: %s", to, to.GTIDs.Flavor(), has.Flavor(), has)
	}
	return nil
}

// lookUp finds a point on the source, and makes sure that it has what follows. A set of
// GTIDs says everything itself, if the source cannot be asked.
func lookUp(ctx context.Context, s *settings, c *config.Config, point binlog.Point) (binlog.Position, error) {
	bySet := point.Kind == binlog.PointGTID
	switch {
	case len(c.Source.All()) > 0:
	case bySet:
		return binlog.Position{GTIDs: point.GTIDs}, nil
	default:
		return binlog.Position{}, usagef("--to %s has to be looked up on the source; name it with --source or --config", point)
	}
	logger := s.logger(c)
	src, err := openSource(ctx, c, s.env, logger)
	if bySet && err != nil && ctx.Err() == nil && !errors.As(err, new(usageError)) && !errors.As(err, new(*binlog.SetupError)) {
		logger.Warn("the source cannot be asked whether it has what follows the set", "error", err)
		return binlog.Position{GTIDs: point.GTIDs}, nil
	}
	if err != nil {
		return binlog.Position{}, err
	}
	pos, err := src.live.Resolve(ctx, point)
	if err == nil && bySet {
		err = src.live.CheckSet(ctx, pos.GTIDs)
	}
	if err != nil {
		return binlog.Position{}, fmt.Errorf("--to: %w", err)
	}
	return pos, nil
}

func newCheckpointDrop(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop --cluster NAME",
		Short: "Forget a cluster that is gone; refused while a daemon runs",
		Args:  noArgs,
	}
	s := bindSettings(cmd, env)
	helpOnly(cmd, "cluster", "config", "state-dir")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := s.load()
		if err != nil {
			return err
		}
		name, err := oneCluster(s)
		if err != nil {
			return err
		}
		dir, err := s.stateDir(c)
		if err != nil {
			return err
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no state_dir %s, and so no checkpoint in it", dir)
		}
		store, err := checkpoint.Open(dir)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }() // the process ends, and the lock with it
		if _, ok := store.Checkpoint().Clusters[name]; !ok {
			return fmt.Errorf("the checkpoint has no cluster %q; mcsqueal checkpoint show lists them", name)
		}
		if err := store.Drop(name); err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "cluster %s is forgotten\n", name)
		return err
	}
	return cmd
}

func oneCluster(s *settings) (string, error) {
	names := s.flags.Selected()
	if len(names) != 1 {
		return "", usagef("name one cluster with --cluster NAME")
	}
	return names[0], nil
}
