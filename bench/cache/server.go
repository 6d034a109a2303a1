package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// server is one of the two that are compared.
type server struct {
	*servers.Memcached
	name string
	cpu  cpuClock
	addr netip.AddrPort
}

// starter starts one of the two with options that both understand.
type starter struct {
	name  string
	start func(ctx context.Context, udp bool, args ...string) (*servers.Memcached, error)
}

func startMemcached(ctx context.Context, udp bool, args ...string) (*servers.Memcached, error) {
	return servers.StartMemcached(ctx, servers.MemcachedConfig{UDP: udp, Args: args})
}

// startMccache starts the command at a path.
func startMccache(path string) func(ctx context.Context, udp bool, args ...string) (*servers.Memcached, error) {
	return func(ctx context.Context, udp bool, args ...string) (*servers.Memcached, error) {
		return servers.StartMccache(ctx, servers.MccacheConfig{Program: path, UDP: udp, Args: args})
	}
}

// launch starts a server for a group and fills it.
func (s starter) launch(ctx context.Context, g group, t *items) (_ *server, err error) {
	udp := slices.ContainsFunc(g.shapes, func(s shape) bool { return s.udp })
	m, err := s.start(ctx, udp,
		"-t", strconv.Itoa(g.layout.threads), "-m", strconv.Itoa(g.filling.megabytes()), "-c", "4096")
	if err != nil {
		return nil, err
	}
	v := &server{Memcached: m, name: s.name, cpu: processClock(m.Pid())}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", s.name, err), m.Close())
		}
	}()
	if v.addr, err = netip.ParseAddrPort(m.Addr()); err != nil {
		return nil, err
	}
	if err := v.arrange(g.layout); err != nil {
		return nil, err
	}
	if err := v.fill(t, &stretch{end: uint64(t.count), step: 1, count: uint64(t.count)}); err != nil {
		return nil, err
	}
	return v, v.settle(ctx, t)
}

// The cores of a pinned layout.
const (
	serverCore = 0
	clientCore = 1
)

// arrange puts the server and this process where the layout has them.
func (v *server) arrange(l layout) error {
	ours, theirs := -1, -1
	if l.pinned {
		ours, theirs = clientCore, serverCore
	}
	return errors.Join(pin(v.Pid(), theirs), pin(os.Getpid(), ours))
}

// fill sets keys, pipelined.
func (v *server) fill(t *items, keys picker) (err error) {
	l, err := dial(t, v.addr, 8, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	l.pick, l.load = keys, load{verb: verbSet, batch: 50}
	if t.size > copied {
		l.load.batch = 1
	}
	if _, err := l.closed(v.cpu, 0, time.Hour); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return nil
}

// settle waits until the server has done what filling made it begin, and sees that it
// has everything.
func (v *server) settle(ctx context.Context, t *items) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not within a minute"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		stats, err := v.Stats(ctx)
		if err != nil {
			return err
		}
		if stats["evictions"] != "0" || stats["curr_items"] != strconv.Itoa(t.count) {
			return fmt.Errorf("filled with %d items it has %s and has evicted %s, with limit_maxbytes %s: -m must be larger",
				t.count, stats["curr_items"], stats["evictions"], stats["limit_maxbytes"])
		}
		if expanding := stats["hash_is_expanding"]; expanding == "" || expanding == "0" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until the hash table has grown: %w", context.Cause(ctx))
		}
	}
}

// check reads keys that have just been set and sees that they have these flags.
func (v *server) check(t *items, keys picker, flags byte) (err error) {
	l, err := dial(t, v.addr, 1, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	l.flags, l.exact = flags, true
	l.pick, l.load = keys, load{verb: verbGet, batch: 16}
	if _, err := l.closed(v.cpu, 0, time.Minute); err != nil {
		return fmt.Errorf("read what was set: %w", err)
	}
	return nil
}
