// Command bench measures how fast mcsqueal is, beside its peers: the servers' own
// tools, the least a program could do (a bare loop, a bare client), and the obvious
// program. Whatever is compared is measured in turns within one run, several times,
// and what is printed is the ratio, since a figure alone says more of the machine.
//
// What comes in is a choice of benchmarks; what goes out is a table. It holds the
// design to its word that nothing is done for an event which nobody asked for, that
// memory stays flat, and that a commit's keys are gone from the caches at once.
//
//	go run ./bench [-short] [-run REGEXP] [-o FILE] [-mcsqueal PATH]
//
// The servers are those of integration/servers; a benchmark whose servers are not
// installed is left out with a sentence that says how to get them.
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
	"slices"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/bench/machine"
	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchmark is one comparison, or several that share their set-up.
type benchmark struct {
	name  string
	about string
	needs []servers.Kind
	run   func(ctx context.Context, w *workbench) error
}

// benchmarks are in the order in which they run and are printed.
var benchmarks = []benchmark{
	{"files", "reading log files", nil, benchFiles},
	{"rules", "reading log files with a rule", nil, benchRules},
	{"live-mysql", "reading a server's log, MySQL", []servers.Kind{servers.KindMySQL}, benchLive(servers.KindMySQL)},
	{"live-mariadb", "reading a server's log, MariaDB", []servers.Kind{servers.KindMariaDB}, benchLive(servers.KindMariaDB)},
	{"delivery", "deleting what a log file names", []servers.Kind{servers.KindMemcached}, benchDelivery},
	{"obvious", "the obvious program", []servers.Kind{servers.KindMySQL, servers.KindMemcached}, benchObvious},
	{"latency-mysql", "from COMMIT's return to the delete, MySQL", []servers.Kind{servers.KindMySQL}, benchLatency(servers.KindMySQL)},
	{"latency-mariadb", "from COMMIT's return to the delete, MariaDB", []servers.Kind{servers.KindMariaDB}, benchLatency(servers.KindMariaDB)},
	{"away", "one cluster away for an hour's worth of log", []servers.Kind{servers.KindMySQL, servers.KindMemcached}, benchAway},
	{"packets", "deletes in a packet", nil, benchPackets},
	{"memory", "one transaction of ten million keys, one event of 128 MiB", nil, benchMemory},
	{"lexing", "taking the keys out of one statement", nil, benchLexing},
}

// workbench is what benchmarks work with.
type workbench struct {
	dir      string // scratch
	short    bool
	mcsqueal string // the command's path
	table    *table
	progress io.Writer
}

// say tells people what is going on.
func (w *workbench) say(format string, args ...any) {
	fmt.Fprintf(w.progress, "bench: "+format+"\n", args...)
}

// rounds is how often a comparison is repeated.
func (w *workbench) rounds() int {
	if w.short {
		return 3
	}
	return 5
}

// scaled is a size for the whole run, or a quarter of it for a short one.
func (w *workbench) scaled(n int) int {
	if w.short {
		return n / 4
	}
	return n
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errUsage: the flag package has said what is wrong.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) > 0 && args[0] == tailCommand {
		return tail(ctx, args[1:])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	choice := flags.String("run", "", "run only benchmarks whose names match this regular `expression`")
	short := flags.Bool("short", false, "smaller and fewer: to see that it works, not to quote")
	command := flags.String("mcsqueal", "", "measure the command at this `path`; otherwise it is built first")
	out := flags.String("o", "", "also write the table to this `file`, as Markdown")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	chosen, err := regexp.Compile(*choice)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	selected := slices.DeleteFunc(slices.Clone(benchmarks), func(b benchmark) bool { return !chosen.MatchString(b.name) })
	if len(selected) == 0 {
		return fmt.Errorf("-run %s matches no benchmark; there are %s", *choice, names(benchmarks))
	}

	dir, err := os.MkdirTemp("", "mcsqueal-bench-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w := &workbench{dir: dir, short: *short, mcsqueal: *command, table: &table{machine: machine.Describe(servers.KindMySQL, servers.KindMariaDB, servers.KindMemcached)}, progress: stderr}
	if w.mcsqueal == "" {
		if w.mcsqueal, err = build.Command(ctx, dir, "mcsqueal"); err != nil {
			return err
		}
	}
	var failed []error
	for _, b := range selected {
		if missing := servers.Missing(b.needs...); missing != nil {
			w.say("%s is left out: %v", b.name, missing)
			continue
		}
		w.say("%s: %s", b.name, b.about)
		began := time.Now()
		w.table.section(b.name, b.about)
		if err := b.run(ctx, w); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			// The others have something to say all the same.
			failed = append(failed, fmt.Errorf("%s: %w", b.name, err))
			w.say("%s failed: %v", b.name, err)
		}
		w.say("%s took %v", b.name, time.Since(began).Round(time.Second))
	}
	if err := w.table.text(stdout); err != nil {
		return err
	}
	if *out != "" {
		if err := w.table.writeFile(*out); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

func names(list []benchmark) string {
	s := ""
	for i, b := range list {
		if i > 0 {
			s += ", "
		}
		s += b.name
	}
	return s
}
