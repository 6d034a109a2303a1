package main

import (
	"context"
	"log/slog"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
)

// inspect connects once and says what keeps the source from being tailed.
func inspect(ctx context.Context, server binlog.ServerConfig, logger *slog.Logger) (*binlog.Settings, error) {
	conn, err := binlog.Connect(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // it has said what was asked
	settings, err := conn.Settings(ctx)
	if err != nil {
		return nil, err
	}
	if err := settings.Check(server.Address); err != nil {
		return nil, err
	}
	if err := settings.CheckText(server.Address); err != nil {
		return nil, err
	}
	warnAbout(settings, logger)
	return settings, nil
}

// watchSettings looks at the source's settings again at each connection: while
// running, what is wrong is said loudly and reading goes on.
func watchSettings(address string, logger *slog.Logger) func(*binlog.Settings) error {
	return func(s *binlog.Settings) error {
		if err := s.CheckText(address); err != nil {
			logger.Error("statement text is off: tags do not arrive", "error", err)
		}
		return nil
	}
}

// beginning is where a daemon begins.
type beginning struct {
	// reading is where the log is read from, point where clusters begin that the
	// checkpoint does not know.
	reading, point binlog.Position
}

// startOf finds where the reading begins so that every cluster gets what it lacks.
func startOf(ctx context.Context, live *binlog.Live, c *config.Config, saved *checkpoint.Checkpoint) (beginning, error) {
	var b beginning
	fresh := len(saved.Clusters) == 0
	for _, cluster := range c.Clusters {
		at, ok := saved.Clusters[cluster.Name]
		if !ok {
			fresh = true
			continue
		}
		if b.reading.IsZero() || b.reading.Covers(at) {
			b.reading = at
		}
	}
	if !fresh {
		return b, nil
	}
	var err error
	if b.point, err = live.Resolve(ctx, c.Start); err != nil {
		return b, err
	}
	if b.reading.IsZero() || b.reading.Covers(b.point) {
		b.reading = b.point
	}
	return b, nil
}
