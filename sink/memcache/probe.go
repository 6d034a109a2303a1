package memcache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// ErrNotHonoured is what Probe's error holds when a router or server does not do
// what the action asks for.
var ErrNotHonoured = errors.New("the action is not honoured")

// Probe tries the action on each target, with a key of its own that it removes. An
// error that holds ErrNotHonoured says that at least one does not do what is asked;
// any other, that none could be tried. A plain delete needs no probe.
func Probe(ctx context.Context, cfg Config) error {
	var tried bool
	var errs []error
	for _, target := range cfg.Targets {
		err := probe(ctx, &cfg, target)
		if errors.Is(err, ErrNotHonoured) {
			return err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		tried = true
	}
	if tried {
		return nil
	}
	return errors.Join(errs...)
}

// probe tries the action on one target.
func probe(ctx context.Context, cfg *Config, target string) error {
	key := cfg.Prefix + "mcsqueal:probe:" + rand.Text()
	refuse := func(answers []answer, what string) error {
		said := make([]string, len(answers))
		for i, a := range answers {
			said[i] = strings.TrimRight(a.Text, "\r\n")
		}
		return fmt.Errorf("%s: %s (it said %q): %w", target, what, said, ErrNotHonoured)
	}
	switch {
	case cfg.Stale > 0:
		answers, err := ask(ctx, target, cfg.Timeout, cfg.TLS,
			"ms "+key+" 1 T60\r\nx\r\n", "md "+key+" I T30\r\n", "mg "+key+" t\r\n", "md "+key+"\r\n")
		if err != nil {
			return fmt.Errorf("probe %s for stale values: %w", target, err)
		}
		if !strings.Contains(answers[2].Text, " X") {
			return refuse(answers, "a value that is invalidated is not kept as a stale one: action stale needs the meta protocol")
		}
	case cfg.Holdoff > 0:
		answers, err := ask(ctx, target, cfg.Timeout, cfg.TLS,
			"set "+key+" 0 60 1\r\nx\r\n", "delete "+key+" 2\r\n", "add "+key+" 0 60 1\r\nx\r\n", "delete "+key+"\r\n")
		if err != nil {
			return fmt.Errorf("probe %s for hold-offs: %w", target, err)
		}
		if !strings.HasPrefix(answers[1].Text, "DELETED") || !strings.HasPrefix(answers[2].Text, "NOT_STORED") {
			return refuse(answers, "an add is taken within the hold-off of a delete: the server does not know hold-offs (memcached 1.6 does not)")
		}
	}
	return nil
}
