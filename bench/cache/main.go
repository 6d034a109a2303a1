// Command cache measures mccache beside memcached: both as they are shipped, with the
// options that a user would give, in turns on one machine. What comes in is a choice of
// shapes (how many connections, which commands, how large the values are); what goes
// out is a table of keys a second and keys for a second of the server's processor time,
// and with -memory of what each keeps in the same memory. Every answer is compared byte
// by byte with what it must be, so that nothing wrong is ever fast.
//
//	go run ./bench/cache [-run REGEXP] [-short] [-rounds N] [-seconds S] [-same] [-memory] [-o FILE]
//
// The client shares the machine with what it measures: it is one thread, or two, of raw
// system calls. How much of its time it worked is printed too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/bench/machine"
	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// bench is a run.
type bench struct {
	starters      [2]starter // memcached, and mccache
	rounds        int
	warm, seconds time.Duration
	noLatency     bool
	brief         bool
	report        *report
	progress      io.Writer
}

// say tells people what is going on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench-cache: "+format+"\n", args...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench-cache:", err)
		os.Exit(1)
	}
}

// errUsage: the flag package has said what is wrong.
var errUsage = errors.New("usage")

// options are what the command line says.
type options struct {
	chosen    *regexp.Regexp
	same      bool
	memory    bool
	command   string
	out       string
	rounds    int
	seconds   float64
	short     bool
	noLatency bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench-cache", flag.ContinueOnError)
	flags.SetOutput(stderr)
	chosen := flags.String("run", "", "measure only what matches this regular `expression`: \"t1 100k of 135B get 50\" is the form of a name")
	flags.BoolVar(&o.same, "same", false, "run memcached on both sides: what the ratios then miss of 1 is the error of the measurement")
	flags.BoolVar(&o.memory, "memory", false, "measure what each keeps in the same memory, instead of speed")
	flags.StringVar(&o.command, "mccache", "", "measure the command at this `path`; otherwise it is built first")
	flags.StringVar(&o.out, "o", "", "also put the table between its markers in this `file`")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each shape is measured")
	flags.Float64Var(&o.seconds, "seconds", 2, "how long, each time")
	flags.BoolVar(&o.short, "short", false, "three rounds of 0.3 s, without the millions of items: to see that it works, not to quote")
	flags.BoolVar(&o.noLatency, "no-latency", false, "leave out the open loops")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	var err error
	if o.chosen, err = regexp.Compile(*chosen); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.seconds <= 0 {
		flags.Usage()
		return o, errUsage
	}
	if o.short {
		o.rounds, o.seconds = 3, 0.3
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := servers.Missing(servers.KindMemcached); err != nil {
		return err
	}
	measured := time.Duration(o.seconds * float64(time.Second))
	b := &bench{
		starters: [2]starter{{"memcached", startMemcached}, {"memcached again", startMemcached}},
		rounds:   o.rounds, warm: measured / 5, seconds: measured, noLatency: o.noLatency, brief: o.short,
		report: &report{machine: machine.Describe(servers.KindMemcached), rounds: o.rounds, seconds: measured}, progress: stderr,
	}
	if !o.same {
		dir, err := os.MkdirTemp("", "mcsqueal-bench-cache-")
		if err != nil {
			return fmt.Errorf("make a scratch folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		path := o.command
		if path == "" {
			if path, err = build.Command(ctx, dir, "mccache"); err != nil {
				return err
			}
		}
		b.starters[1] = starter{"mccache", startMccache(path)}
	}
	name, text := "bench-cache", new(strings.Builder)
	if o.memory {
		name = "bench-cache-memory"
		if err := b.memory(ctx); err != nil {
			return err
		}
		b.report.memoryMarkdown(text, b.names())
	} else {
		if err := b.speeds(ctx, o); err != nil {
			return err
		}
		b.report.speedMarkdown(text, b.names())
	}
	if _, err := io.WriteString(stdout, text.String()); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if o.out == "" {
		return nil
	}
	return writeBetween(o.out, name, text.String())
}

func (b *bench) names() [2]string { return [2]string{b.starters[0].name, b.starters[1].name} }

// speeds measures all groups that were chosen.
func (b *bench) speeds(ctx context.Context, o options) error {
	groups := plan(o.chosen)
	shapes, loops := 0, 0
	for i, g := range groups {
		if o.short && g.filling.count > 1_000_000 {
			groups[i].shapes = nil
			continue
		}
		for _, s := range g.shapes {
			shapes++
			loops++
			if s.latency && g.layout.pinned && !b.noLatency {
				loops++
			}
		}
	}
	if shapes == 0 {
		return fmt.Errorf("-run %s: nothing has such a name; \"t1 100k of 135B get 50\" is the form of one", o.chosen)
	}
	b.say("%d shapes, about %v", shapes, (time.Duration(loops*b.rounds*2) * (b.seconds + b.warm)).Round(10*time.Second))
	for _, g := range groups {
		if g.shapes == nil {
			continue
		}
		if err := b.speed(ctx, g); err != nil {
			return err
		}
	}
	return nil
}
