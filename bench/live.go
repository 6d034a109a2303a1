package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchLive reads a server's log, tags only, beside a client that only reads and
// drops the same dump.
func benchLive(k servers.Kind) func(ctx context.Context, w *workbench) error {
	return func(ctx context.Context, w *workbench) error {
		w.table.note("Events of 100 B, every transaction names a key. The bare client reads packets into a buffer and drops them.")
		return liveOf(ctx, w, k)
	}
}

func liveOf(ctx context.Context, w *workbench, k servers.Kind) (err error) {
	flavor := flavorOf(k)
	keys := 0
	d, file, err := serverWithLog(ctx, w, k, func(path string, c binlogtest.Config) (err error) {
		_, keys, err = eventFile(path, c, w.scaled(128<<20), 100, 1)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()

	from := place{addr: d.Addr(), maria: flavor == binlog.MariaDB, file: file, offset: 4}
	size := int64(0)
	rate := func(d time.Duration) []float64 { return []float64{float64(size) / d.Seconds() / 1e6} }
	drop := func(ctx context.Context) ([]float64, error) {
		began := time.Now()
		dump, err := openDump(ctx, from, 71, true)
		if err != nil {
			return nil, err
		}
		size, err = dump.drop()
		d := time.Since(began)
		return rate(d), errors.Join(err, dump.close())
	}
	if _, err := drop(ctx); err != nil { // to learn its size, and that the file is in memory
		return err
	}
	results, err := interleave(ctx, w.rounds(),
		side{"mcsqueal replay --dry-run", func(ctx context.Context) ([]float64, error) {
			d, err := w.replay(ctx, keys, "--source="+d.URL(), "--from=oldest", "--dry-run", "--match=^$")
			return rate(d), err
		}},
		side{"reading and extracting", func(ctx context.Context) ([]float64, error) {
			d, err := readLive(ctx, d, flavor, file, keys)
			return rate(d), err
		}},
		side{"bare client", drop},
	)
	if err != nil {
		return err
	}
	w.table.compare("command", "MB/s", results[0][0], "bare client", results[2][0], target{atLeast: 0.9})
	w.table.compare("reading and extracting", "MB/s", results[1][0], "bare client", results[2][0], target{atLeast: 0.9})
	return nil
}

// readLive reads a server's log from a file's beginning to where it ends now, and
// takes the keys out, which must be so many.
func readLive(ctx context.Context, d *servers.Database, flavor binlog.Flavor, file string, keys int) (time.Duration, error) {
	e, err := newExtractor()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	live := binlog.NewLive(binlog.LiveConfig{
		Servers:  []binlog.ServerConfig{{Flavor: flavor, Address: d.Addr(), User: "root"}},
		ServerID: 72, ToEnd: true,
	})
	pos := binlog.Position{File: binlog.File{Name: file}, Offset: 4}
	if err := live.Run(ctx, &pos, e); err != nil {
		return 0, err
	}
	return time.Since(began), e.check(keys)
}

func flavorOf(k servers.Kind) binlog.Flavor {
	if k == servers.KindMariaDB {
		return binlog.MariaDB
	}
	return binlog.MySQL
}

// serverWithLog starts a server and puts a log file that was written without it
// among its own, which is quicker by far than committing as much. It is the last
// but one, and the caller closes the server.
func serverWithLog(ctx context.Context, w *workbench, k servers.Kind, write func(path string, c binlogtest.Config) error) (_ *servers.Database, file string, err error) {
	d, err := servers.StartDatabase(ctx, k, servers.Config{})
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if _, err := d.DB().ExecContext(ctx, "CREATE TABLE test.t (id BIGINT NOT NULL PRIMARY KEY, v LONGBLOB)"); err != nil {
		return nil, "", fmt.Errorf("make a table: %w", err)
	}
	// The file goes on where the server's own end.
	executed := "SELECT REPLACE(@@gtid_executed, '\n', '')"
	if k == servers.KindMariaDB {
		executed = "SELECT @@gtid_binlog_pos"
	}
	var before string
	if err := d.DB().QueryRowContext(ctx, executed).Scan(&before); err != nil {
		return nil, "", fmt.Errorf("%s: %w", executed, err)
	}
	c := binlogtest.Config{Flavor: flavorOf(k)}
	if c.Previous, err = binlog.ParseGTIDSet(c.Flavor, before); err != nil {
		return nil, "", err
	}
	if err := d.Stop(ctx); err != nil {
		return nil, "", err
	}
	logs, err := d.LogFiles()
	if err != nil {
		return nil, "", err
	}
	file = fmt.Sprintf("bin.%06d", len(logs)+1)
	if err := write(filepath.Join(d.DataDir(), file), c); err != nil {
		return nil, "", err
	}
	index, err := os.OpenFile(filepath.Join(d.DataDir(), "bin.index"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, "", fmt.Errorf("list the log file: %w", err)
	}
	_, err = fmt.Fprintf(index, "./%s\n", file)
	if err = errors.Join(err, index.Close()); err != nil {
		return nil, "", fmt.Errorf("list the log file: %w", err)
	}
	w.say("restarting %s with a log of its own and one of ours", k)
	if err := d.Restart(ctx); err != nil {
		return nil, "", err
	}
	return d, file, nil
}
