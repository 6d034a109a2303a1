package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/preflight"
)

func newCheckCommand(env environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Is everything set up? If not, what mends it",
		Long: `Connect to everything that the configuration names, and say what is set up for mcsqueal
and what is not, each with the statement, setting or command that mends it. Nothing is
changed, but for a key of its own that is set and deleted where an action other than
delete is to be tried. A daemon may be running.

The exit status is 0 where nothing keeps mcsqueal from its work, 1 where something does,
2 where the configuration itself is wrong.`,
		Args: noArgs,
	}
	s := bindSettings(cmd, env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		found, err := check(cmd.Context(), s)
		if err != nil {
			return err
		}
		if asJSON {
			err = writeFindingsJSON(env.stdout, found)
		} else {
			err = writeFindings(env.stdout, found, coloured(env))
		}
		if err != nil {
			return err
		}
		if n := preflight.Count(found, preflight.Fail); n > 0 {
			return fmt.Errorf("%d of %d findings keep mcsqueal from its work; mend what is marked fail, and check again", n, len(found))
		}
		return nil
	}
	return cmd
}

func check(ctx context.Context, s *settings) ([]preflight.Finding, error) {
	c, err := s.load()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.RequireSource(), c.RequireClusters()); err != nil {
		return nil, err
	}
	if c.Clusters, err = c.Select(s.flags.Selected()); err != nil {
		return nil, err
	}
	dir, err := s.stateDir(c)
	if err != nil {
		return nil, err
	}
	servers, err := serversOf(c, s.env)
	if err != nil {
		return nil, err
	}
	cfg := preflight.Config{Config: c, Servers: servers, ServerID: daemonServerID(c, dir), StateDir: dir, AdminToken: s.env.getenv(config.TokenVariable) != ""}
	if len(c.Rules) > 0 {
		cfg.Rules = func(ctx context.Context, server binlog.ServerConfig, settings *binlog.Settings, logger *slog.Logger) error {
			return rulesAsAtAStart(ctx, c, dir, server, settings, logger)
		}
	}
	found := preflight.Run(ctx, cfg)
	return found, ctx.Err()
}

// rulesAsAtAStart holds the rules against one server's tables.
func rulesAsAtAStart(ctx context.Context, c *config.Config, dir string, server binlog.ServerConfig, settings *binlog.Settings, logger *slog.Logger) error {
	saved, err := checkpoint.Read(dir)
	if err != nil {
		return nil //nolint:nilerr // it is a finding of its own
	}
	src := &source{servers: []binlog.ServerConfig{server}, settings: settings, logger: logger}
	src.live = binlog.NewLive(src.config(freshServerID()))
	err = checkRules(ctx, src, c, placesOf(saved, c.Clusters), logger)
	if usage := (usageError{}); errors.As(err, &usage) {
		return usage.error
	}
	return err
}

// writeFindingsJSON prints an object with the findings in it.
func writeFindingsJSON(out io.Writer, found []preflight.Finding) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		OK       bool                `json:"ok"`
		Findings []preflight.Finding `json:"findings"`
	}{preflight.Count(found, preflight.Fail) == 0, found})
}

// coloured tells whether levels are to have colours: on a terminal, unless NO_COLOR says
// otherwise (no-color.org).
func coloured(env environment) bool {
	return onTerminal(env.stdout) && env.getenv("NO_COLOR") == "" && env.getenv("TERM") != "dumb"
}

// The colours of levels on a terminal, as ECMA-48 has them.
var colours = map[preflight.Level]string{preflight.OK: "\x1b[32m", preflight.Warn: "\x1b[33m", preflight.Fail: "\x1b[31m"}

const plain = "\x1b[0m"

// writeFindings prints a line for each finding, under what it is about, and below it what
// mends it.
func writeFindings(w io.Writer, found []preflight.Finding, coloured bool) error {
	out := &failing{w: w}
	about := ""
	for _, f := range found {
		if f.About != about {
			if about != "" {
				out.printf("\n")
			}
			out.printf("%s\n", f.About)
			about = f.About
		}
		level := fmt.Sprintf("%-4s", f.Level)
		if coloured {
			level = colours[f.Level] + level + plain
		}
		out.printf("  %s  %s\n", level, f.Says)
		if f.Mend != "" {
			out.printf("        mend: %s\n", f.Mend)
		}
	}
	out.printf("\n%d ok, %d to look at, %d to mend\n", preflight.Count(found, preflight.OK), preflight.Count(found, preflight.Warn), preflight.Count(found, preflight.Fail))
	return out.err
}

// failing writes until that fails, once.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) printf(format string, args ...any) {
	if f.err == nil {
		_, f.err = fmt.Fprintf(f.w, format, args...)
	}
}
