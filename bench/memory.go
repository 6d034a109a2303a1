package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
)

// benchMemory delivers one transaction of ten million keys, and one event of 128 MiB,
// and looks at how much memory that took.
func benchMemory(ctx context.Context, w *workbench) error {
	if err := manyKeys(ctx, w); err != nil {
		return err
	}
	return largeEvent(ctx, w)
}

// logBytes is log_bytes' default.
const logBytes = 64 << 20

// memoryBound is what may be resident, in MiB: the Log, the largest event, and 64 MiB
// for everything else.
func memoryBound(largest int) float64 { return float64(64<<20+logBytes+largest) / (1 << 20) }

func manyKeys(ctx context.Context, w *workbench) error {
	statements := w.scaled(10_000)
	const perStatement = 1000
	path := filepath.Join(w.dir, "huge")
	largest := 0
	size, err := logFile(path, binlogtest.Config{}, func(l *binlogtest.Writer) {
		tx := l.Begin(binlogtest.Tx{})
		for i := 0; i < statements && l.Err() == nil; i++ {
			for _, s := range tagged(i*perStatement, perStatement).Statements {
				largest = max(largest, len(s.Text))
				tx.Statement(s)
			}
		}
		tx.End()
	})
	if err != nil {
		return err
	}
	want := statements * perStatement
	peak, err := w.peakOf(ctx, path, want)
	if err != nil {
		return err
	}
	w.table.add(row{what: "resident peak, many keys", ours: peak, unit: "MiB", target: target{atMost: memoryBound(largest)}})
	w.table.note("Many keys: one transaction of %d statements with %d keys each, %s MB of log, replayed into a cache. The bound is 64 MiB, log_bytes (64 MiB) and the largest event (%.1f KiB).",
		statements, perStatement, number(float64(size)/1e6), float64(largest)/1024)
	return nil
}

// largeEvent delivers what one statement names whose text has a value of 128 MiB.
func largeEvent(ctx context.Context, w *workbench) error {
	const value = 128 << 20
	path := filepath.Join(w.dir, "large")
	text := "UPDATE /* mc: large:1 */ t SET v = '" + strings.Repeat("x", value) + "' WHERE id = 1"
	if _, err := logFile(path, binlogtest.Config{}, func(l *binlogtest.Writer) {
		l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: text, Schema: "test", Table: "t", RowBytes: 20}}})
		l.Rotate("bin.000002")
	}); err != nil {
		return err
	}
	peak, err := w.peakOf(ctx, path, 1)
	if err != nil {
		return err
	}
	w.table.add(row{what: "resident peak, one large event", ours: peak, unit: "MiB", target: target{atMost: memoryBound(len(text))}})
	w.table.note("One large event: a statement whose text has 128 MiB, replayed likewise.")
	return nil
}

// peakOf replays a log file of so many distinct keys into a cache and gives the most
// memory that mcsqueal has had resident, in MiB.
func (w *workbench) peakOf(ctx context.Context, path string, want int) (mib float64, err error) {
	var deleted atomic.Int64
	cache, err := startCache(ctx, func(_ time.Time, keys [][]byte) { deleted.Add(int64(len(keys))) })
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cache.close()) }()
	p, err := w.start(ctx, nil, "replay", "--files", path, "--cluster=c="+cache.addr())
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.wait() }()
	peak := int64(0)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				return 0, err
			}
			running = false
		case <-tick.C:
			// The kernel keeps the maximum, so little is missed between the last look
			// and the end. A process that has just ended has none.
			if now, err := residentPeak(p.cmd.Process.Pid); err == nil {
				peak = max(peak, now)
			}
		}
	}
	if deleted.Load() < int64(want) || peak == 0 {
		return 0, fmt.Errorf("%d of %d keys were deleted, resident peak %d", deleted.Load(), want, peak)
	}
	return float64(peak) / (1 << 20), nil
}

// residentPeak is the most memory that a process has had resident (VmHWM in
// proc_pid_status(5)), in bytes.
func residentPeak(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM")
}
