package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// caches is two memcacheds and the way to them: the best that can be had.
type caches struct {
	name   string // for people
	client *memcache.Client
	// routers or servers are as a cluster in mcsqueal's configuration has them.
	routers, servers []string
	close            []func() error // in the order of starting
}

// startCaches starts two memcacheds behind memcached's own proxy as a router; where
// only an older memcached can be had, which has no proxy, two of that, and readers
// find a key's server for themselves.
func (d *demo) startCaches(ctx context.Context) (*caches, error) {
	var reasons []error
	for _, try := range []func(context.Context, *caches) error{d.startRouted, d.startPlain, d.startSystems} {
		c := &caches{}
		err := try(ctx, c)
		if err == nil {
			c.client = memcache.New(append(c.routers, c.servers...)...)
			c.client.MaxIdleConns = readerCount + 2
			c.client.Timeout = 30 * time.Second
			c.close = append(c.close, c.client.Close)
			return c, nil
		}
		reasons = append(reasons, err, c.Close())
		if ctx.Err() != nil {
			break
		}
	}
	return nil, listed(reasons)
}

// Close ends what was started.
func (c *caches) Close() error {
	var failed []error
	for i := len(c.close) - 1; i >= 0; i-- {
		failed = append(failed, c.close[i]())
	}
	c.close = nil
	return errors.Join(failed...)
}

func (d *demo) startRouted(ctx context.Context, c *caches) error {
	if err := d.startTwo(ctx, c, servers.KindMemcached, servers.MemcachedConfig{}); err != nil {
		return err
	}
	router, err := servers.StartProxy(ctx, servers.ProxyConfig{Backends: c.servers})
	if err != nil {
		return err
	}
	c.close = append(c.close, router.Close)
	c.routers, c.servers = []string{router.Addr()}, nil
	c.name += " behind a router, memcached's own proxy"
	return nil
}

func (d *demo) startPlain(ctx context.Context, c *caches) error {
	if err := d.startTwo(ctx, c, servers.KindMemcachedOld, servers.MemcachedConfig{Old: true}); err != nil {
		return err
	}
	c.name += " without a router: each gets every delete"
	return nil
}

// startTwo starts two memcacheds of a kind.
func (d *demo) startTwo(ctx context.Context, c *caches, k servers.Kind, config servers.MemcachedConfig) error {
	if !d.has(k) {
		return fmt.Errorf("%s is not installed", k)
	}
	for range 2 {
		m, err := servers.StartMemcached(ctx, config)
		if err != nil {
			return err
		}
		c.close = append(c.close, m.Close)
		c.servers = append(c.servers, m.Addr())
	}
	version, err := servers.Version(k)
	if err != nil {
		return err
	}
	c.name = fmt.Sprintf("two memcached %s", version)
	return nil
}

// startSystems starts two of the memcached that the system has, on Unix sockets.
func (d *demo) startSystems(ctx context.Context, c *caches) error {
	path, err := exec.LookPath("memcached")
	if err != nil {
		return errors.New("the system has no memcached either")
	}
	for n := range 2 {
		socket := filepath.Join(d.scratch, fmt.Sprintf("memcached-%d", n))
		args := []string{"-s", socket}
		if os.Geteuid() == 0 {
			args = append(args, "-u", "root")
		}
		// Not bound to a context: Close ends it.
		m, err := startChild(exec.Command(path, args...), socket+".log")
		if err != nil {
			return err
		}
		c.close = append(c.close, m.stop)
		if err := waitFor(ctx, time.Minute, func() (bool, error) {
			if m.Ended() {
				return false, fmt.Errorf("%s ended (%w); it said: %s", path, m.Err(), m.said())
			}
			return memcache.New(socket).Ping() == nil, nil
		}); err != nil {
			return fmt.Errorf("start %s: %w", path, err)
		}
		c.servers = append(c.servers, socket)
	}
	c.name = "two of the system's memcached without a router: each gets every delete"
	return nil
}

// waitFor asks until the answer is yes, an error, or time is up.
func waitFor(ctx context.Context, atMost time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, atMost, fmt.Errorf("not within %v", atMost))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
