package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// logFiles are small logs of the shop that a MySQL and a MariaDB have written, by
// their paths in the checkout.
var logFiles = []string{
	"integration/demo/testdata/mysql-bin.000001",
	"integration/demo/testdata/mariadb-bin.000001",
}

// showFiles shows what can be shown without a database: mcsqueal reads log files.
func (d *demo) showFiles(ctx context.Context) error {
	d.out.note("So mcsqueal reads two small logs of the shop, a MySQL's and a MariaDB's.")
	var all []string
	for _, file := range logFiles {
		lines, err := d.replay(ctx, file, "--dry-run")
		if err != nil {
			return err
		}
		const shown = 3
		for _, line := range lines[:min(len(lines), shown)] {
			d.out.note("%s", d.out.fit(line))
		}
		if more := len(lines) - shown; more > 0 {
			d.out.note("%s", d.out.paint(fmt.Sprintf("… and %d more, one for each key of each transaction", more), dim))
		}
		all = append(all, lines...)
	}
	caches, err := d.startCaches(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.out.print("\n")
		d.out.note("No memcached can be had here either, so nothing is delivered: %v", err)
		return nil
	}
	defer d.closing(caches.Close)
	return d.deliverFiles(ctx, caches, all)
}

// deliverFiles sets the keys of a dry run's lines, and replays the logs at them.
func (d *demo) deliverFiles(ctx context.Context, c *caches, lines []string) error {
	keys, err := distinctKeys(lines)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := c.client.Set(&memcache.Item{Key: key, Value: []byte("old")}); err != nil {
			return fmt.Errorf("set %s: %w", key, err)
		}
	}
	d.out.print("\n")
	d.out.note("Now these keys, %d different ones, have been set in %s.", len(keys), c.name)
	config, err := configure(d.scratch, "", c)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, file := range logFiles {
		if _, err := d.replay(ctx, file, "--config", config); err != nil {
			return err
		}
	}
	took := time.Since(began)
	gone := 0
	for _, key := range keys {
		switch _, err := c.client.Get(key); {
		case errors.Is(err, memcache.ErrCacheMiss):
			gone++
		case err != nil:
			return fmt.Errorf("get %s: %w", key, err)
		}
	}
	d.replayed = &replayed{keys: len(keys), gone: gone}
	d.out.print("\n")
	d.out.note("%d of %d are gone, after %s.", gone, len(keys), span(took))
	if gone < len(keys) {
		return fmt.Errorf("%d keys that the logs name were not deleted", len(keys)-gone)
	}
	return nil
}

// keyOf is the key of a dry run's line, which is percent-encoded where it must be.
func keyOf(line string) (string, error) {
	var invalidation struct{ Key string }
	if err := json.Unmarshal([]byte(line), &invalidation); err != nil {
		return "", fmt.Errorf("read the dry run's line %q: %w", line, err)
	}
	key, err := url.PathUnescape(invalidation.Key)
	if err != nil {
		return "", fmt.Errorf("read the dry run's line %q: %w", line, err)
	}
	return key, nil
}

// distinctKeys are the keys of a dry run's lines, each once.
func distinctKeys(lines []string) ([]string, error) {
	var keys []string
	seen := make(map[string]bool)
	for _, line := range lines {
		key, err := keyOf(line)
		if err != nil {
			return nil, err
		}
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// replay shows and runs mcsqueal replay over a log file, and gives the lines it
// printed.
func (d *demo) replay(ctx context.Context, file string, args ...string) ([]string, error) {
	args = append([]string{"replay", "--files", file}, args...)
	command := "mcsqueal"
	for _, arg := range args {
		command += " " + strings.TrimPrefix(arg, d.scratch+string(filepath.Separator))
	}
	d.out.print("\n  " + d.out.paint("$ "+command, bold) + "\n")
	cmd := exec.CommandContext(ctx, d.program.path, args...)
	cmd.Dir = d.program.root
	var said bytes.Buffer
	cmd.Stderr = &said
	printed, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; it said:\n%s", command, err, said.String())
	}
	return strings.FieldsFunc(string(printed), func(r rune) bool { return r == '\n' }), nil
}
