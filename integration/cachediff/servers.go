package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// args are the options that both servers get: memory for everything that programs
// store, since what is evicted is not compared.
var args = []string{"-m", "1024"}

// still are the options with which a memcached leaves its items alone. Its background
// threads hold on to items while they move them, and a number that is held is not
// changed in place: its length and its marks would be a matter of luck.
var still = append(args, "-o", "no_lru_maintainer,no_lru_crawler")

// start starts a server of a name: memcached, old (memcached 1.6.18), or else the path
// of a mccache.
func start(ctx context.Context, name string) (*servers.Memcached, error) {
	switch name {
	case "memcached":
		return servers.StartMemcached(ctx, servers.MemcachedConfig{Args: still})
	case "old":
		return servers.StartMemcached(ctx, servers.MemcachedConfig{Old: true, Args: still})
	}
	return servers.StartMccache(ctx, servers.MccacheConfig{Program: name, Args: args})
}

// A stage is two servers that run.
type stage struct {
	subject, reference *servers.Memcached
	world              *world
}

// set starts both servers. The subject's address is what through makes of it, nil for
// the one it has.
func set(ctx context.Context, subject, reference string, through func(addr string) (string, error)) (_ *stage, err error) {
	s := &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.subject, err = start(ctx, subject); err != nil {
		return nil, err
	}
	if s.reference, err = start(ctx, reference); err != nil {
		return nil, err
	}
	addr := s.subject.Addr()
	if through != nil {
		if addr, err = through(addr); err != nil {
			return nil, err
		}
	}
	return s, s.connect(ctx, addr)
}

// align brings the two clocks to move nearly together. Programs in which time passes need
// that.
func (s *stage) align(ctx context.Context) error {
	const attempts = 10
	for attempt := 1; ; attempt++ {
		lag, err := s.world.settle(ctx)
		if err != nil {
			return err
		}
		// The busier the machine is, the less it can be had exactly.
		if lag.Abs() < time.Duration(150+50*min(attempt, 5))*time.Millisecond {
			return nil
		}
		if attempt == attempts {
			return fmt.Errorf("bring the clocks of %v and %v in step: at the %dth attempt they are still %v apart", s.subject, s.reference, attempt, lag.Abs())
		}
		// memcached's clock moves a second after it has moved last. It stands frozen when
		// it is due, and moves when the subject's does. (To start it anew would not help:
		// it ends only when its clock moves.)
		if _, err := s.world.subject.tick(ctx); err != nil {
			return err
		}
		if err := s.reference.Freeze(); err != nil {
			return err
		}
		_, err = s.world.subject.tick(ctx)
		if err = errors.Join(err, s.reference.Thaw()); err != nil {
			return err
		}
	}
}

func (s *stage) connect(ctx context.Context, addr string) (err error) {
	if s.world != nil {
		if err := s.world.close(); err != nil {
			return err
		}
		s.world = nil
	}
	subject, err := reach(ctx, s.subject.String(), addr)
	if err != nil {
		return err
	}
	reference, err := reach(ctx, s.reference.String(), s.reference.Addr())
	if err != nil {
		return errors.Join(err, subject.close())
	}
	s.world, err = meet(subject, reference)
	if err != nil {
		return errors.Join(err, subject.close(), reference.close())
	}
	return nil
}

func (s *stage) close() (err error) {
	if s.world != nil {
		err = s.world.close()
	}
	for _, m := range []*servers.Memcached{s.subject, s.reference} {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
	}
	return err
}

// scratch is a folder that goes with what is done in it.
func scratch(do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", "cachediff-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(dir)
}
