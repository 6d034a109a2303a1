package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
	"github.com/mcsqueal/mcsqueal/sink/memcache"
)

// replayFlags are the flags of replay alone.
type replayFlags struct {
	from, to, match string
	files           []string
	rate            float64
	dryRun          bool
}

func newReplayCommand(env environment) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --from POS | --files FILE…",
		Short: "Deliver again what the server's log, or log files, hold",
		Long: `replay delivers again what the server's log holds from POS on, or what log files hold
(- is standard input; gzip and zstd are read through). It ends at --to, or where the log
ended when it started. It touches neither a running daemon's checkpoint nor its dump, and
deletes each key once, whatever the clusters' redelete_after says.

POS is oldest, now, gtid:SET (everything not in SET), file:NAME:OFFSET or time:RFC3339.
What begins at --to, is in its SET or has its time is delivered still: of a line that
--dry-run prints, log and pos name the place of its transaction for --from and --to alike.
Bounds by file need the names that the server gave its files.`,
		Example: `  mcsqueal replay --files bin.000001 --dry-run
  mcsqueal replay --config mcsqueal.yaml --from time:2026-01-02T15:04:05Z --cluster east`,
	}
	s := bindSettings(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "`position` to begin at")
	flags.StringVar(&f.to, "to", "", "`position` to end at, inclusive; otherwise where the log ends now")
	flags.StringArrayVar(&f.files, "files", nil, "log `file` to read instead of a server's log; more may follow behind it")
	flags.StringVar(&f.match, "match", "", "deliver only keys that match this regular `expression`")
	flags.Float64Var(&f.rate, "rate", 0, "`keys` a second at most; 0: as many as go")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be deleted, a line of JSON each, and send nothing")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(f.files) == 0 {
			return noArgs(cmd, args)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(f.files) > 0 {
			f.files = append(f.files, args...)
		}
		return replay(cmd.Context(), s, &f)
	}
	return cmd
}

func replay(ctx context.Context, s *settings, f *replayFlags) error {
	c, err := s.load()
	if err != nil {
		return err
	}
	if f.from == "" && len(f.files) == 0 {
		return usagef("replay wants --from POS, or --files FILE…")
	}
	if f.rate < 0 {
		return usagef("--rate %g: write how many keys a second, or 0 for no bound", f.rate)
	}
	var match *regexp.Regexp
	if f.match != "" {
		if match, err = regexp.Compile(f.match); err != nil {
			return usageError{fmt.Errorf("--match: %w", err)}
		}
	}
	clusters, err := c.Select(s.flags.Selected())
	if err != nil {
		return err
	}
	if len(clusters) == 0 && !f.dryRun {
		return usagef("there is no cluster to deliver to; name one with --cluster NAME=HOST:PORT or --config FILE, or print with --dry-run")
	}
	logger := s.logger(c)
	r := &replaying{settings: s, config: c, flags: f, logger: logger}
	if r.from, err = parsePoint("--from", f.from); err != nil {
		return err
	}
	if r.to, err = parsePoint("--to", f.to); err != nil {
		return err
	}
	var p pipeline.Config
	if len(f.files) > 0 {
		p, err = r.files()
	} else {
		if err := c.RequireSource(); err != nil {
			return err
		}
		p, err = r.server(ctx)
	}
	if err != nil {
		return err
	}
	var limit *rate.Limiter
	if f.rate > 0 {
		limit = rate.NewLimiter(rate.Limit(f.rate), max(1, int(f.rate/10)))
	}
	var d *delivery
	if f.dryRun {
		d = printTo(s.env.stdout, clusters, r.start, match)
	} else {
		if err := probeActions(ctx, clusters, logger); err != nil {
			return err
		}
		d, err = deliverTo(once(clusters), r.start, match, limit, memcache.NewMetrics(nil), logger)
		if err != nil {
			return err
		}
	}
	p.Together = true
	p.Clusters, p.Tags, p.Rules, p.LogBytes, p.Logger = d.clusters, c.Tags, rulesOf(c), int64(c.LogBytes), logger
	p.Spool = checkpoint.TemporarySpool("")
	defer func() { logClose(logger, p.Spool.Close()) }()
	line, err := pipeline.New(p)
	if err != nil {
		return err
	}
	finished := showProgress(ctx, s.env.stderr, r.progress, line)
	err = line.Run(ctx)
	finished()
	if gap := (*binlog.GapError)(nil); errors.Is(err, pipeline.ErrAllParked) && errors.As(err, &gap) {
		// Nobody waits for a decision: there is less than was asked for.
		err = fmt.Errorf("%w; --from oldest begins where its log does now", gap)
	}
	if err := errors.Join(err, r.bounds.err); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the replay was interrupted; it is not complete")
	}
	transactions, keys := line.Read()
	logger.Info("replayed", "transactions", transactions, "keys", keys)
	var failed []error
	if n := d.setAside(); n > 0 {
		failed = append(failed, fmt.Errorf("%d keys were set aside: they can never be deleted where they were to go; the log lines above name some", n))
	}
	failed = append(failed, unservedError(line.Unserved()))
	return errors.Join(failed...)
}

// unservedError names every table of which rules' keys are missing.
func unservedError(tables []pipeline.Unserved) error {
	if len(tables) == 0 {
		return nil
	}
	var events uint64
	var each strings.Builder
	for _, t := range tables {
		events += t.Events
		fmt.Fprintf(&each, "\n  %s: %d, the first: %s", t.Table, t.Events, t.Reason)
	}
	return fmt.Errorf("of %d row events the rules' keys could not be had for certain:%s", events, each.String())
}

// once is clusters without their second deletes: those are for readers who looked just
// before a commit, and would keep a replay waiting for as long as they trail.
func once(clusters []config.Cluster) []config.Cluster {
	clusters = slices.Clone(clusters)
	for i := range clusters {
		clusters[i].RedeleteAfter = nil
	}
	return clusters
}

func parsePoint(flag, text string) (binlog.Point, error) {
	if text == "" {
		return binlog.Point{}, nil
	}
	p, err := binlog.ParsePoint(text)
	if err != nil {
		return p, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	return p, nil
}

// replaying is one replay's source and its bounds.
type replaying struct {
	settings *settings
	config   *config.Config
	flags    *replayFlags
	logger   *slog.Logger
	from, to binlog.Point
	start    binlog.Position // zero for files
	bounds   bounds
	// progress tells how many bytes of the log were read, of how many; -1: not known.
	progress func() (read, total int64)
}

// files reads log files.
func (r *replaying) files() (pipeline.Config, error) {
	if err := errors.Join(checkFiles("--from", r.from, r.flags.files), checkFiles("--to", r.to, r.flags.files)); err != nil {
		return pipeline.Config{}, err
	}
	files, err := binlog.NewFiles(r.flags.files, r.settings.env.stdin)
	if err != nil {
		return pipeline.Config{}, err
	}
	files.KeepRows = len(r.config.Rules) > 0
	r.progress = files.Progress
	return pipeline.Config{
		Open:     func() (pipeline.Source, *binlog.Visibility) { return pipeline.Files(files), nil },
		MendText: "binlog_rows_query_log_events = ON (MySQL) or binlog_annotate_row_events = ON (MariaDB), where they are written",
		Wanted:   r.bounds.wanted(from(r.from), upTo(r.to)), Last: r.bounds.last(lastOf(r.to, nil)),
	}, nil
}

// server reads a server's log to where it ends now.
func (r *replaying) server(ctx context.Context) (pipeline.Config, error) {
	flavor := r.config.Source.All()[0].Flavor
	if err := errors.Join(checkFlavor("--from", r.from, flavor), checkFlavor("--to", r.to, flavor)); err != nil {
		return pipeline.Config{}, err
	}
	src, err := openSource(ctx, r.config, r.settings.env, r.logger)
	if err != nil {
		return pipeline.Config{}, err
	}
	if err := src.settings.CheckText(); err != nil && len(r.config.Tags) > 0 {
		r.logger.Warn("statement text is off now; what was logged while it was on is replayed", "error", err)
	}
	if err := checkRules(ctx, src, r.config, nil, r.logger); err != nil {
		r.logger.Warn("a rule cannot be served as things are now; what was logged before may be", "error", err)
	}
	pos, err := src.live.Resolve(ctx, r.from)
	if err != nil {
		return pipeline.Config{}, fmt.Errorf("--from: %w", err)
	}
	if r.from.Kind == binlog.PointGTID {
		if err := src.live.CheckSet(ctx, pos.GTIDs); err != nil {
			return pipeline.Config{}, fmt.Errorf("--from: %w", err)
		}
	}
	if err := src.live.HasFile(ctx, r.to); err != nil {
		return pipeline.Config{}, fmt.Errorf("--to: %w", err)
	}
	end, err := src.live.Resolve(ctx, binlog.Point{Kind: binlog.PointNow})
	if err != nil {
		return pipeline.Config{}, err
	}
	total, err := r.bytes(ctx, src, pos, end)
	if err != nil {
		return pipeline.Config{}, err
	}
	cfg := src.config(freshServerID())
	cfg.ToEnd = true
	live, visibility := src.open(cfg)
	r.start = pos
	r.progress = func() (int64, int64) { return live.BytesRead(), total }
	return pipeline.Config{
		Open:      func() (pipeline.Source, *binlog.Visibility) { return live, visibility },
		Impatient: true,
		MendText:  src.settings.MendText(),
		Wanted:    r.bounds.wanted(upTo(r.to)), Last: r.bounds.last(lastOf(r.to, pos.GTIDs), endAt(end)),
	}, nil
}

// bytes is how many bytes of log there are to be read, for who looks on.
func (r *replaying) bytes(ctx context.Context, src *source, from, end binlog.Position) (int64, error) {
	if !onTerminal(r.settings.env.stderr) {
		return -1, nil
	}
	if from.File.Name == "" {
		head, err := src.live.Holding(ctx, from.GTIDs)
		if err != nil {
			return -1, err
		}
		from = head
	}
	return src.distance(ctx, from, end)
}
