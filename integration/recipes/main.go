// Command recipes holds docs/tags.md to its word: it runs the programs that are shown
// there, each with its real library, against a MySQL and a MariaDB, and looks whether
// the keys come out that the document promises. What comes in are the programs in the
// folders beside this file, with their libraries' versions pinned; what goes out is
// testdata: the statements as each library sent them, which the tests of this package
// replay without any library. It keeps the promise that nothing is forged: each
// program also writes a value that looks like a tag.
//
//	go run ./integration/recipes [-run REGEXP]
//
// Libraries come from the registries that this machine's own tools are configured for,
// into a folder outside the checkout. A recipe whose tools are not on this machine is
// not run, and that is said.
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
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "recipes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("recipes", flag.ContinueOnError)
	choice := flags.String("run", "", "run only recipes whose names match this regular `expression`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := regexp.Compile(*choice)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	root, err := build.Checkout(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "mcsqueal-recipes-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	command, err := build.Command(ctx, scratch, "mcsqueal")
	if err != nil {
		return err
	}
	var stages []*stage
	for _, k := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB} {
		db, err := servers.StartDatabase(ctx, k, servers.Config{})
		if err != nil {
			return err
		}
		defer db.Close()
		stages = append(stages, &stage{Database: db, command: command})
	}

	var failed []error
	for _, r := range recipes {
		if !chosen.MatchString(r.name) {
			continue
		}
		began := time.Now()
		err := r.cook(ctx, root, scratch, stages)
		var missing *missingError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &missing):
			fmt.Fprintf(out, "%-18s not run: %v\n", r.name, missing)
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", r.name, err))
			fmt.Fprintf(out, "%-18s FAILED\n", r.name)
		default:
			fmt.Fprintf(out, "%-18s as promised, in %v\n", r.name, time.Since(began).Round(100*time.Millisecond))
		}
	}
	return errors.Join(failed...)
}
