// Command torture tries to make mcsqueal lose a key. What comes in is a seed and a
// time; what goes out is a table of what was done to it, and how many keys it lost,
// which must be none: the first promise, nothing lost, whatever happens.
//
// Writers commit transactions that name keys on a real server. Every key is in every
// cache of every cluster before its transaction is committed, with a value that
// names the write. Meanwhile the daemon, the server, the routers and the caches are
// killed, frozen and started again, connections are cut, delayed, clipped and black-
// holed, and logs are rotated: storms, with a lull behind each. In a lull everything
// is healthy, and whatever a cache still holds of a committed write, once a patient
// while has passed, is lost. The daemon's saved position must have come past what
// was committed, too.
//
// Only what the caches hold decides; nobody's counter is asked. A pair of a key and a
// cache proves something if the cache confirmed the key before the commit, was not
// killed since, and the commit is known to have happened: else it is counted apart.
//
// What goes wrong and when follows from the seed, as far as a machine can repeat it.
//
//	go run ./integration/torture [-seconds 300] [-seed N] [-flavor mysql|mariadb]
//
// It exits with 1 if a key was lost, or if the daemon ended, hung or did not come
// past a position, and then keeps the daemon's log.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends it at once; the servers die with it.
	context.AfterFunc(ctx, stop)
	err := command(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

var (
	// errUsage: the flag package has said what is wrong.
	errUsage = errors.New("usage")
	// errBroken: the report says which promises.
	errBroken = errors.New("a promise was broken")
)

// options say what is done, for how long.
type options struct {
	kind  servers.Kind // of the source
	seed  uint64
	lasts time.Duration // storms and lulls together
	least int           // commits, however long they take
	// patience is how long after a storm everything may take to be gone.
	patience time.Duration
	program  string // the command; empty: it is built
	race     bool   // it is built with the race detector
	keep     string // the folder in which a log is kept when something was wrong
	progress io.Writer
	// forgetful makes each restart of the daemon begin without its checkpoint, so that
	// keys are lost: to see that this is found out.
	forgetful bool
}

// patience is how long, unless told otherwise, everything may take to be gone after
// a storm: several of the longest pauses between two attempts (10 s), on a busy
// machine.
const patience = 90 * time.Second

func command(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	o := options{progress: stderr}
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.SetOutput(stderr)
	seconds := flags.String("seconds", cmp.Or(getenv("TORTURE_SECONDS"), "300"), "how long, in `seconds` (TORTURE_SECONDS)")
	seed := flags.String("seed", getenv("TORTURE_SEED"), "what happens and when follows from this `number` (TORTURE_SEED); without it, another one each time")
	flavor := flags.String("flavor", cmp.Or(getenv("TORTURE_FLAVOR"), "mysql"), "the source: mysql or mariadb (TORTURE_FLAVOR)")
	flags.DurationVar(&o.patience, "patience", patience, "how long after a storm every key may take to be gone")
	flags.StringVar(&o.program, "mcsqueal", "", "torture this `program` instead of what this checkout builds")
	flags.BoolVar(&o.race, "race", false, "build mcsqueal with the race detector")
	flags.StringVar(&o.keep, "keep", os.TempDir(), "the `folder` in which the daemon's log is kept when something was wrong")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if err := o.read(*seconds, *seed, *flavor); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "torture:", errors.Join(err, unexpected(flags.Args())))
		return errUsage
	}
	if servers.Missing(needed(o.kind)...) != nil {
		if err := servers.Install(ctx, stderr); err != nil {
			return err
		}
	}
	r, err := torture(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(stdout); err != nil {
		return err
	}
	if !r.intact() {
		return errBroken
	}
	return nil
}

// read takes over what was said as text.
func (o *options) read(seconds, seed, flavor string) error {
	n, err := strconv.ParseFloat(seconds, 64)
	if err != nil || n < 1 {
		return fmt.Errorf("-seconds %q: write a number, 1 or more", seconds)
	}
	o.lasts = time.Duration(n * float64(time.Second))
	if o.seed = rand.Uint64N(1_000_000); seed != "" {
		if o.seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
			return fmt.Errorf("-seed %q: write a number", seed)
		}
	}
	switch strings.ToLower(flavor) {
	case "mysql":
		o.kind = servers.KindMySQL
	case "mariadb":
		o.kind = servers.KindMariaDB
	default:
		return fmt.Errorf("-flavor %q: write mysql or mariadb", flavor)
	}
	return nil
}

// needed are the servers that a torture with such a source takes.
func needed(source servers.Kind) []servers.Kind {
	return []servers.Kind{source, servers.KindMemcached, servers.KindMemcachedOld}
}

func unexpected(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("it takes no arguments, found %q", args)
}
