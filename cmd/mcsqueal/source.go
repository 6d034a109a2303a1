package main

import (
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/config"
)

// serverConfig says how the source is reached.
func serverConfig(c *config.Config, env environment) (binlog.ServerConfig, error) {
	url := c.Source.All()[0]
	password, err := c.Source.Password(env.getenv)
	if err != nil {
		return binlog.ServerConfig{}, usageError{err}
	}
	secure, err := c.Source.TLS.Client(url)
	if err != nil {
		return binlog.ServerConfig{}, usageError{err}
	}
	_, address := url.Address()
	return binlog.ServerConfig{
		Flavor: url.Flavor, Address: address, User: url.User, Password: password, TLS: secure,
	}, nil
}

// daemonServerID is the id of a daemon's dump connection: the configured one, or
// one derived from the host's name and state_dir, so that it stays the same over
// restarts and the source ends a dump that a crash left behind.
func daemonServerID(c *config.Config, stateDir string) uint32 {
	if c.Source.ServerID != 0 {
		return c.Source.ServerID
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // then state_dir alone tells daemons apart
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(host + "\x00" + stateDir)) // it never fails
	// Away from the small numbers that people give their servers.
	return h.Sum32() | 1<<31
}

// freshServerID is an id for a dump that must not end another's.
func freshServerID() uint32 {
	return rand.Uint32() | 1<<31 //nolint:gosec // not a secret
}

// warnAbout says what of the source's settings should be known.
func warnAbout(s *binlog.Settings, logger *slog.Logger) {
	if s.Format != "ROW" {
		logger.Warn("binlog_format is not ROW: statements in statement format carry tags too, but rows are what the log should hold", "binlog_format", s.Format)
	}
	if s.SyncBinlog != "1" {
		logger.Warn("sync_binlog is not 1: after a crash of the machine the source can use GTIDs again, and what comes under them then looks done; mend it with: SET GLOBAL sync_binlog = 1", "sync_binlog", s.SyncBinlog)
	}
}
