package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
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
		point, err := binlog.ParsePoint(to)
		if err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		store, err := openStore(s, c)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }() // the process ends, and the lock with it
		var pos binlog.Position
		switch {
		case len(c.Source.All()) > 0:
			src, err := openSource(cmd.Context(), c, env, s.logger(c))
			if err != nil {
				return err
			}
			if pos, err = src.live.Resolve(cmd.Context(), point); err != nil {
				return err
			}
		case point.Kind == binlog.PointGTID:
			// It says everything itself.
			pos = binlog.Position{GTIDs: point.GTIDs}
		default:
			return usagef("--to %s has to be looked up on the source; name it with --source or --config", to)
		}
		if err := store.Save(map[string]binlog.Position{name: pos}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "cluster %s goes on from %s\n", name, pos)
		return err
	}
	return cmd
}

func newCheckpointDrop(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop --cluster NAME",
		Short: "Forget a cluster that is gone; refused while a daemon runs",
		Args:  noArgs,
	}
	s := bindSettings(cmd, env)
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := s.load()
		if err != nil {
			return err
		}
		name, err := oneCluster(s)
		if err != nil {
			return err
		}
		store, err := openStore(s, c)
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
