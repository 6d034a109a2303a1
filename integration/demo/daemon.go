package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/integration/build"
)

// program is mcsqueal, built from this checkout.
type program struct {
	path string
	root string // the checkout
}

// newProgram builds mcsqueal into the folder dir.
func newProgram(ctx context.Context, dir string) (*program, error) {
	root, err := build.Checkout(ctx)
	if err != nil {
		return nil, err
	}
	path, err := build.Command(ctx, dir, "mcsqueal")
	if err != nil {
		return nil, err
	}
	return &program{path: path, root: root}, nil
}

// configure writes a configuration for mcsqueal with its state in dir; source is
// empty where there is none.
func configure(dir, source string, c *caches) (file string, err error) {
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make a folder for mcsqueal's state: %w", err)
	}
	var text strings.Builder
	if source != "" {
		fmt.Fprintf(&text, "source: {url: %q}\n", source)
	}
	kind, addresses := "routers", c.routers
	if len(addresses) == 0 {
		kind, addresses = "servers", c.servers
	}
	fmt.Fprintf(&text, "state_dir: %q\nclusters:\n  - {name: shop, %s: [\"%s\"]}\nadmin: {listen: \"\"}\n",
		state, kind, strings.Join(addresses, `", "`))
	file = filepath.Join(dir, "mcsqueal.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("write mcsqueal's configuration: %w", err)
	}
	return file, nil
}

// daemon is mcsqueal, tailing.
type daemon struct {
	child *child
	ready bool // it has deleted a key
}

// run starts mcsqueal with what it writes in dir.
func (p *program) run(dir, source string, c *caches) (*daemon, error) {
	file, err := configure(dir, source, c)
	if err != nil {
		return nil, err
	}
	child, err := startChild(exec.Command(p.path, "run", "--config", file), filepath.Join(dir, "mcsqueal.log"))
	if err != nil {
		return nil, err
	}
	return &daemon{child: child}, nil
}

// waitReady waits until a commit's key has been deleted.
func (d *daemon) waitReady(ctx context.Context, s *shop, c *caches) error {
	var last time.Time
	err := waitFor(ctx, time.Minute, func() (bool, error) {
		if d.child.Ended() {
			return false, errors.New("it has ended")
		}
		// What is committed before it begins to tail is not its business.
		if time.Since(last) > 200*time.Millisecond {
			last = time.Now()
			if err := c.client.Set(&memcache.Item{Key: greetingKey, Value: []byte("hello")}); err != nil {
				return false, fmt.Errorf("set %s: %w", greetingKey, err)
			}
			if err := s.greet(ctx); err != nil {
				return false, err
			}
		}
		_, err := c.client.Get(greetingKey)
		if errors.Is(err, memcache.ErrCacheMiss) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("get %s: %w", greetingKey, err)
		}
		return false, nil
	})
	if err != nil {
		return d.explain(fmt.Errorf("wait for mcsqueal's first delete: %w", err))
	}
	d.ready = true
	return nil
}

// stop ends mcsqueal, which drains, saves its checkpoint and is to say that all is
// well. One that was not ready may still have been without ears for signals.
func (d *daemon) stop() error {
	err := d.child.stop()
	if err == nil && d.ready {
		err = d.child.Err()
	}
	if err != nil {
		return d.explain(fmt.Errorf("stop mcsqueal: %w", err))
	}
	return nil
}

// explain adds what mcsqueal has said.
func (d *daemon) explain(err error) error {
	return fmt.Errorf("%w; mcsqueal said:\n%s", err, d.child.said())
}
