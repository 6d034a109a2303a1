package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchFiles reads log files, tags only, checksums verified: the command, and
// reading and extracting alone, beside the server's own tool and a bare loop that
// does only what cannot be left out.
func benchFiles(ctx context.Context, w *workbench) error {
	for _, f := range []struct {
		name        string
		each, every int
		tool        target
	}{
		{"events of 100 B", 100, 1, target{atLeast: 20}},
		{"events of 100 B, few tags", 100, 10, target{atLeast: 20}},
		{"events of 2 kB", 2000, 1, target{}},
	} {
		path := filepath.Join(w.dir, "files")
		size, keys, err := eventFile(path, binlogtest.Config{}, w.scaled(128<<20), f.each, f.every)
		if err != nil {
			return err
		}
		rate := func(d time.Duration) []float64 { return []float64{float64(size) / d.Seconds() / 1e6} }
		sides := []side{
			{"mcsqueal replay --dry-run", func(ctx context.Context) ([]float64, error) {
				// That no key matches leaves out the printing, and nothing else.
				d, err := w.replay(ctx, keys, "--files", path, "--dry-run", "--match=^$")
				return rate(d), err
			}},
			{"reading and extracting", func(ctx context.Context) ([]float64, error) {
				d, err := readFile(ctx, path, keys)
				return rate(d), err
			}},
			{"bare loop", func(context.Context) ([]float64, error) {
				d, err := bareLoop(path)
				return rate(d), err
			}},
		}
		missing := servers.Missing(servers.KindMySQL)
		if missing == nil {
			sides = append(sides, side{"mysqlbinlog", func(ctx context.Context) ([]float64, error) {
				d, err := mysqlbinlog(ctx, path)
				return rate(d), err
			}})
		}
		results, err := interleave(ctx, w.rounds(), sides...)
		if err != nil {
			return err
		}
		const unit = "MB/s"
		for i, what := range []string{"command", "reading and extracting"} {
			what = f.name + ", " + what
			if missing == nil {
				w.table.compare(what, unit, results[i][0], "mysqlbinlog", results[3][0], f.tool)
			}
			w.table.compare(what, unit, results[i][0], "bare loop", results[2][0], target{atLeast: 0.7})
		}
	}
	w.table.note("Every transaction names a key; with few tags, one in ten does. The command is timed from its start to its end, reading and extracting is binlog.Files with extract.Tags; the bare loop walks headers and sums CRCs.")
	return nil
}

// readFile reads a file and takes its keys out, which must be so many.
func readFile(ctx context.Context, path string, keys int) (time.Duration, error) {
	e, err := newExtractor()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	files, err := binlog.NewFiles([]string{path}, nil)
	if err != nil {
		return 0, err
	}
	if err := files.Run(ctx, e); err != nil {
		return 0, err
	}
	return time.Since(began), e.check(keys)
}

// mysqlbinlog times the server's tool at the same file, its output discarded.
func mysqlbinlog(ctx context.Context, path string) (time.Duration, error) {
	cmd, err := servers.Command(ctx, servers.KindMySQL, "mysqlbinlog", "--no-defaults", "--verify-binlog-checksum", path)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, errors.Join(fmt.Errorf("mysqlbinlog %s: %w", path, err), context.Cause(ctx))
	}
	return time.Since(began), nil
}
