package main

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
	"github.com/mcsqueal/mcsqueal/preflight"
)

// source is the server whose log is read, or several to fail over between, and
// what it said of itself at the start.
type source struct {
	servers    []binlog.ServerConfig
	settings   *binlog.Settings
	visibility binlog.VisibilityConfig // its Mode is 0 for "off"
	failover   time.Duration
	metrics    *binlog.Metrics // nil: connections are not counted
	logger     *slog.Logger
	// live answers questions; readings have their own.
	live *binlog.Live
}

// openSource connects to the source once and learns what it is. Nothing is wrong
// with it then that would keep its log from being read.
func openSource(ctx context.Context, c *config.Config, env environment, logger *slog.Logger) (*source, error) {
	servers, err := serversOf(c, env)
	if err != nil {
		return nil, err
	}
	s := &source{servers: servers, failover: c.Source.FailoverWait, logger: logger}
	var errs []error
	for i := range s.servers {
		// The first that answers is read first.
		settings, err := ask(ctx, s.servers[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.settings = settings
		s.servers[0], s.servers[i] = s.servers[i], s.servers[0]
		break
	}
	if s.settings == nil {
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		logger.Warn("a server of the source cannot be used now", "error", err)
	}
	mode, why, err := s.settings.Visibility(string(c.Visibility.Mode))
	if err != nil {
		return nil, err
	}
	s.visibility = binlog.VisibilityConfig{Mode: mode, Delay: c.Visibility.Delay, Logger: logger}
	if mode == binlog.VisibilityDelay && c.Visibility.Mode == config.VisibilityAuto {
		s.visibility.Delay = binlog.AnonymousDelay
	}
	logger.Info("visibility chosen", "visibility", mode.String(), "why", why)
	s.live = binlog.NewLive(s.config(freshServerID()))
	return s, nil
}

// serversOf are the source's servers, as the configuration has them.
func serversOf(c *config.Config, env environment) ([]binlog.ServerConfig, error) {
	password, err := c.Source.Password(env.getenv)
	if err != nil {
		return nil, usageError{err}
	}
	servers := make([]binlog.ServerConfig, 0, len(c.Source.All()))
	for _, url := range c.Source.All() {
		secure, err := c.Source.TLS.Client(url)
		if err != nil {
			return nil, usageError{err}
		}
		_, address := url.Address()
		servers = append(servers, binlog.ServerConfig{
			Flavor: url.Flavor, Address: address, User: url.User, Password: password, PasswordFrom: c.Source.PasswordFrom(env.getenv), TLS: secure,
		})
	}
	return servers, nil
}

func ask(ctx context.Context, server binlog.ServerConfig) (*binlog.Settings, error) {
	conn, err := binlog.Connect(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // it has said what was asked
	settings, err := conn.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return settings, settings.Check()
}

func (s *source) config(serverID uint32) binlog.LiveConfig {
	return binlog.LiveConfig{Servers: s.servers, FailoverWait: s.failover, ServerID: serverID, Logger: s.logger}
}

// open makes a reading of the log and what tells what is visible where it reads.
func (s *source) open(cfg binlog.LiveConfig) (*binlog.Live, *binlog.Visibility) {
	live := binlog.NewLive(cfg)
	if s.visibility.Mode == 0 {
		return live, nil
	}
	v := s.visibility
	v.Server = live.Server
	return live, binlog.NewVisibility(v)
}

// tail gives the opener of a daemon's readings. The main one keeps its server id
// over restarts, so that the source ends a dump which a crash has left behind.
func (s *source) tail(serverID uint32, c *config.Config) func() (pipeline.Source, *binlog.Visibility) {
	main := true
	return func() (pipeline.Source, *binlog.Visibility) {
		cfg := s.config(serverID)
		if !main {
			cfg.ServerID = freshServerID()
		}
		main = false
		cfg.Metrics = s.metrics
		cfg.Patient = true // openSource has seen that the set-up is right
		cfg.Connected = func(settings *binlog.Settings) error {
			if err := settings.CheckText(); err != nil && len(c.Tags) > 0 {
				s.logger.Error("statement text is off: tags do not arrive", "error", err)
			}
			if settings.Replica && !settings.LogReplicaUpdates {
				s.logger.Warn("the source is a replica that does not log what it replicates: nothing of that arrives",
					"source", settings.Address, "mend", "log_replica_updates = ON (log_slave_updates) in its configuration, then a restart")
			}
			return nil
		}
		return s.open(cfg)
	}
}

// distance is how many bytes of log lie between two positions.
func (s *source) distance(ctx context.Context, from, to binlog.Position) (int64, error) {
	conn, err := binlog.Connect(ctx, s.live.Server())
	if err != nil {
		return -1, err
	}
	defer func() { _ = conn.Close() }() // it has said what was asked
	return conn.Distance(ctx, from, to)
}

// now is where the log ends, once everything up to there is visible.
func (s *source) now(ctx context.Context) (binlog.Position, error) {
	pos, err := s.live.Resolve(ctx, binlog.Point{Kind: binlog.PointNow})
	if err != nil || s.visibility.Mode == 0 {
		return pos, err
	}
	v := s.visibility
	v.Server = s.live.Server
	barrier := binlog.NewVisibility(v).Barrier()
	defer barrier.Close()
	return pos, barrier.Wait(ctx, &binlog.Pending{
		GTIDs: pos.GTIDs, File: pos.File, Start: pos.Offset - 1, Read: time.Now().UnixMicro(),
	})
}

// daemonServerID is the id of a daemon's dump connection: the configured one, or
// one derived from the host's name and state_dir, which is there by now.
func daemonServerID(c *config.Config, stateDir string) uint32 {
	if c.Source.ServerID != 0 {
		return c.Source.ServerID
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // then state_dir alone tells daemons apart
	}
	// The folder counts, however it is named: two daemons may both call theirs "state".
	if path, err := filepath.Abs(stateDir); err == nil {
		stateDir = path
	}
	if path, err := filepath.EvalSymlinks(stateDir); err == nil {
		stateDir = path
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(host + "\x00" + stateDir)) // it never fails
	// Away from the small numbers that people give their servers.
	return h.Sum32() | 1<<31
}

// freshServerID is an id for a dump that must not end another's.
func freshServerID() uint32 {
	return rand.Uint32() | 1<<31
}

// warnAbout says what of the source's settings should be known.
func warnAbout(s *binlog.Settings, tags bool, logger *slog.Logger) {
	if untested := preflight.Untested(s.Flavor, s.Version); untested != "" {
		logger.Warn("the source's version is not one that mcsqueal is tested with", "version", untested, "mend", preflight.MendUntested)
	}
	if s.Format != "ROW" && tags {
		logger.Warn("binlog_format is not ROW: statements in statement format carry tags too, but rows are what the log should hold", "binlog_format", s.Format, "mend", set(s, "binlog_format", "ROW"))
	}
	if s.SyncBinlog != "1" {
		logger.Warn("sync_binlog is not 1: after a crash of the machine the source can use GTIDs again, and what comes under them then looks done", "sync_binlog", s.SyncBinlog, "mend", set(s, "sync_binlog", "1"))
	}
}
