package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/mcsqueal/mcsqueal/pipeline"
)

const progressEvery = 500 * time.Millisecond

// showProgress shows how far a replay has come, on one line of a terminal that is
// written over; on anything else nothing. What it returns ends it, and leaves the
// last line.
func showProgress(ctx context.Context, out io.Writer, bytes func() (read, total int64), p *pipeline.Pipeline) (finished func()) {
	if !onTerminal(out) {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	began := time.Now()
	line := func() {
		read, total := bytes()
		_, keys := p.Read()
		fmt.Fprintf(out, "\r\x1b[K%s", progressLine(read, total, keys, time.Since(began)))
	}
	done.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				line()
			}
		}
	})
	return func() {
		stop()
		done.Wait()
		line()
		fmt.Fprintln(out)
	}
}

func onTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// progressLine is bytes, keys, rate and time left; total is -1 where not known.
func progressLine(read, total int64, keys uint64, elapsed time.Duration) string {
	seconds := max(elapsed.Seconds(), 0.001)
	s := size(read)
	if total > 0 {
		read = min(read, total)
		s += fmt.Sprintf(" of %s (%d %%)", size(total), 100*read/total)
	}
	s += fmt.Sprintf("  %d keys  %.0f keys/s  %s/s", keys, float64(keys)/seconds, size(int64(float64(read)/seconds)))
	if total > 0 && read > 0 {
		left := time.Duration(float64(elapsed) * float64(total-read) / float64(read))
		s += fmt.Sprintf("  %s left", left.Round(time.Second))
	}
	return s
}

func size(n int64) string {
	const unit = 1024
	f := float64(n)
	for _, name := range []string{"B", "KiB", "MiB"} {
		if f < unit {
			return fmt.Sprintf("%.4g %s", f, name)
		}
		f /= unit
	}
	return fmt.Sprintf("%.4g GiB", f)
}
