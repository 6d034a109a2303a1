// Command demo shows mcsqueal's main job on live servers: a small shop whose pages
// are cached, for ten seconds without mcsqueal and for ten with it, side by side.
//
// It installs what it needs (see package servers), and nothing of it stays but the
// programs in their cache folder. Where no server can be had it says so, and reads
// the log files in testdata instead.
//
//	go run ./integration/demo
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func main() {
	half := flag.Duration("half", 10*time.Second, "how long each half lasts")
	flag.Parse()
	if *half < time.Second || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "demo: it takes no arguments, and -half of a second at least")
		os.Exit(2)
	}
	// Until all is cleaned up, which is bounded, further signals do nothing. SIGPIPE
	// comes when who read the output has gone.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	d := newDemo(newScreen(os.Stdout), *half)
	err := d.run(ctx)
	interrupted := ctx.Err() != nil
	d.out.endLine()
	stop()
	switch {
	case interrupted && len(d.unclean) == 0:
		fmt.Fprintln(os.Stderr, "demo: interrupted; nothing of it is left")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// newDemo is the demo with whatever servers this machine has, or can get.
func newDemo(out *screen, half time.Duration) *demo {
	return &demo{
		out:     out,
		half:    half,
		rest:    40 * time.Second, // what goes wrong, goes wrong within a minute
		install: servers.Install,
		has:     func(k servers.Kind) bool { return servers.Missing(k) == nil },
	}
}
