package preflight

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/config"
)

// Config says what is looked at. Its fields are read only.
type Config struct {
	// Config has been validated, and names a source and clusters.
	Config *config.Config
	// Servers are the source's, in the order of Config.
	Servers []binlog.ServerConfig
	// ServerID is what a daemon's dump connection would call itself.
	ServerID uint32
	// StateDir is the daemon's.
	StateDir string
	// AdminToken: the listener's token is in the environment.
	AdminToken bool
	// Rules, if set, holds the rules against a server's tables as a start would: what
	// keeps it from starting is the error, what it would warn of goes to the logger.
	Rules func(ctx context.Context, server binlog.ServerConfig, settings *binlog.Settings, logger *slog.Logger) error
}

// Run looks at everything, and returns what it has found: first what concerns the
// source, server by server, then the state, then the clusters in their order. What
// cannot be reached is a finding. When the context ends, what was not looked at by then
// is found not to answer.
func Run(ctx context.Context, cfg Config) []Finding {
	state := lookAtState(&cfg)
	var all sync.WaitGroup
	servers := make([]*serverCheck, len(cfg.Servers))
	for i, server := range cfg.Servers {
		servers[i] = &serverCheck{cfg: &cfg, server: server, url: cfg.Config.Source.All()[i], held: state.held, about: about{name: "source " + server.Address}}
		all.Go(func() { servers[i].run(ctx) })
	}
	clusters := make([]*clusterCheck, len(cfg.Config.Clusters))
	for i, c := range cfg.Config.Clusters {
		clusters[i] = &clusterCheck{cluster: c, flushes: cfg.Config.OnGap == config.OnGapFlush, about: about{name: "cluster " + c.Name}}
		all.Go(func() { clusters[i].run(ctx) })
	}
	all.Wait()
	// Where others answer, one that does not is failed over to later, or is mended.
	answered := false
	for _, s := range servers {
		answered = answered || s.answered
	}
	var found []Finding
	for _, s := range servers {
		for _, f := range s.found {
			if answered && !s.answered && f.Check == "connect" {
				f.Level = Warn
			}
			found = append(found, f)
		}
	}
	if answered {
		state.positions(ctx, &cfg)
	}
	found = append(found, state.found...)
	for _, c := range clusters {
		found = append(found, c.found...)
	}
	return found
}

// splitOrNone is split, of an error that may be none.
func splitOrNone(err error) (says, mend string) {
	if err == nil {
		return "", ""
	}
	return split(err)
}

// split takes an error apart into a sentence and what mends it.
func split(err error) (says, mend string) {
	if setup := (*binlog.SetupError)(nil); errors.As(err, &setup) {
		says := setup.What
		if setup.Err != nil {
			says += ": " + setup.Err.Error()
		}
		return says, setup.Mend
	}
	return err.Error(), ""
}
