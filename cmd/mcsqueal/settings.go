package main

import (
	"log/slog"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcsqueal/mcsqueal/config"
)

// settings is a subcommand's half of the configuration: its file and its flags.
type settings struct {
	env   environment
	file  string
	flags *config.Flags
	level slog.LevelVar // of the logger
}

func bindSettings(cmd *cobra.Command, env environment) *settings {
	s := &settings{env: env}
	cmd.Flags().StringVar(&s.file, "config", "", "configuration `file` (YAML); flags override it")
	s.flags = config.BindFlags(cmd.Flags())
	return s
}

// helpOnly leaves the help of a command the flags that change what it does; it takes
// the others too, so that one line of flags does for several commands.
func helpOnly(cmd *cobra.Command, names ...string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = !slices.Contains(names, f.Name) })
}

// load reads the configuration: defaults, then the file, then the flags.
func (s *settings) load() (*config.Config, error) {
	c := config.Default()
	if s.file != "" {
		var err error
		if c, err = config.Load(s.file, s.env.getenv); err != nil {
			return nil, usageError{err}
		}
	}
	if err := s.flags.Apply(c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := flushable(c); err != nil {
		return nil, err
	}
	return c, nil
}

// flushable refuses on_gap: flush for clusters of which nobody knows what to flush.
func flushable(c *config.Config) error {
	for _, cluster := range c.Clusters {
		if c.OnGap == config.OnGapFlush && len(cluster.FlushServers()) == 0 {
			return usagef("cluster %s: on_gap: flush needs the cluster's cache servers; list them under flush", cluster.Name)
		}
	}
	return nil
}

// stateDir is the configured directory, or the user's.
func (s *settings) stateDir(c *config.Config) (string, error) {
	if c.StateDir != "" {
		return c.StateDir, nil
	}
	dir, err := config.DefaultStateDir(s.env.uid, s.env.getenv)
	if err != nil {
		return "", usageError{err}
	}
	return dir, nil
}

// logger writes to standard error. Its level can be changed by setLevel.
func (s *settings) logger(c *config.Config) *slog.Logger {
	s.setLevel(c)
	options := &slog.HandlerOptions{Level: &s.level}
	if c.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(s.env.stderr, options))
	}
	return slog.New(slog.NewTextHandler(s.env.stderr, options))
}

// setLevel makes the logger write what the configuration says.
func (s *settings) setLevel(c *config.Config) {
	s.level.Set(map[config.LogLevel]slog.Level{
		config.LogDebug: slog.LevelDebug, config.LogInfo: slog.LevelInfo,
		config.LogWarn: slog.LevelWarn, config.LogError: slog.LevelError,
	}[c.Log.Level])
}
