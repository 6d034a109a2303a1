// Command mcsqueal tails a MySQL or MariaDB server's binary log and deletes the
// keys that its statements name from memcached clusters. See docs/ for how.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitGap    = 3
)

// heapGrowth is how far the heap may grow, in percent, before what is no longer used
// is given back. Most of the heap is the Log, which stays, and next to nothing is
// allocated beside it: the usual 100 would only double what is resident.
const heapGrowth = 25

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	status := run(ctx, os.Args[1:], environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, uid: os.Getuid(), hangups: hangups,
	})
	stop()
	os.Exit(status)
}

// environment is what the command takes from the process around it.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	uid            int
	// hangups begins to give a value for each SIGHUP, until stop is called; several that
	// come before one is taken are one. nil: there are none.
	hangups func() (signals <-chan os.Signal, stop func())
}

// hangupsOrNone is hangups, whether it is set or not.
func (e environment) hangupsOrNone() (signals <-chan os.Signal, stop func()) {
	if e.hangups == nil {
		return nil, func() {}
	}
	return e.hangups()
}

func hangups() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// run is the whole command: it returns the exit status.
func run(ctx context.Context, args []string, env environment) int {
	root := &cobra.Command{
		Use:   "mcsqueal",
		Short: "Delete from memcached what changes in MySQL or MariaDB, as the binary log says it",
		Long: `mcsqueal tails the row-based binary log of a MySQL or MariaDB server, takes cache keys
from comments in the statements (/* mc: user:1 */), or derives them from the rows that
change, and deletes them from every cluster of memcached, in batches, once the commit
can be read.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				hint := "mcsqueal --help lists them"
				if near, ok := config.Nearest(args[0], subcommands(cmd)); ok {
					hint = "did you mean " + near + "?"
				}
				return usagef("unknown command %q; %s", args[0], hint)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	//nolint:contextcheck // cobra hands the context to the command
	root.AddCommand(newRunCommand(env), newReplayCommand(env), newStatusCommand(env), newCheckpointCommand(env), newConfigCommand(env), newCheckCommand(env), newVersionCommand(env))
	root.AddCommand(newManualCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(env.stderr, "mcsqueal: %v\n", err)
	return status(err)
}

// subcommands are the names of those that help lists.
func subcommands(cmd *cobra.Command) (names []string) {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// usageError is a mistake of whoever called the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func status(err error) int {
	var usage usageError
	var mistakes *config.Error
	switch {
	case errors.As(err, &usage), errors.As(err, &mistakes):
		return exitUsage
	case errors.Is(err, pipeline.ErrAllParked):
		return exitGap
	default:
		return exitFailed
	}
}

// noArgs refuses arguments behind the flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, found %q; %[1]s --help lists the flags", cmd.CommandPath(), args[0])
	}
	return nil
}
