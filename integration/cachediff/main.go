// Command cachediff holds mccache to memcached. What comes in is a seed and a time;
// what goes out is what the two answer differently, which must be nothing.
//
// Programs are generated: sequences of commands, text and meta, valid and malformed,
// on few keys, pipelined, and cut anywhere into writes. Both servers get the same
// bytes, and their answers are compared byte by byte. What may differ: CAS ids, as long
// as they are as often the same; a second more or less; the numbers of size classes and
// the sizes of items with what a server keeps of them. The counters that follow from
// what was sent are compared too. In some programs items expire and are flushed; their
// steps run while both servers' clocks stand still.
//
// Left out is what docs/cache.md says mccache does otherwise, sizes within 1 kB of the
// limit, evictions, lines beyond 2,000 bytes except get's, and the binary protocol.
//
// A program that is answered differently is made as small as it can be, and shown with
// both answers and the seed that brings it again.
//
//	go run ./integration/cachediff [-seconds 300] [-seed N] [-profile NAME]
//
// It exits with 1 if anything differs.
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
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends it at once; the servers die with it.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "cachediff:", err)
		os.Exit(1)
	}
}

var (
	// errUsage: the flag package has said what is wrong.
	errUsage = errors.New("usage")
	// errDifferent: the findings say what.
	errDifferent = errors.New("the answers differ")
)

// options say what is compared, and for how long.
type options struct {
	lasts    time.Duration
	seed     uint64
	subject  string // a name of start, or empty: mccache is built
	profiles []profile
	most     int
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("cachediff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	seconds := flags.String("seconds", cmp.Or(getenv("DIFF_SECONDS"), "300"), "how long, in `seconds` (DIFF_SECONDS)")
	seed := flags.String("seed", getenv("SEED"), "the `number` of the first program (SEED); without it, another one each time")
	only := flags.String("profile", "", "only programs of this `profile`: mixed, meta, bulk, timed or \"timed meta\"")
	flags.StringVar(&o.subject, "subject", "", "compare this `program`, or memcached, or old (memcached 1.6.18), instead of the mccache of this checkout")
	flags.IntVar(&o.most, "findings", 5, "end after this `number` of findings")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if err := o.read(*seconds, *seed, *only); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "cachediff:", errors.Join(err, unexpected(flags.Args())))
		return errUsage
	}
	if servers.Missing(servers.KindMemcached, servers.KindMemcachedOld) != nil {
		if err := servers.Install(ctx, stderr); err != nil {
			return err
		}
	}
	return scratch(func(dir string) (err error) {
		if o.subject == "" {
			if o.subject, err = build.Command(ctx, dir, "mccache"); err != nil {
				return err
			}
		}
		return o.compare(ctx, stdout, stderr)
	})
}

// compare does what the options say.
func (o options) compare(ctx context.Context, stdout, stderr io.Writer) (err error) {
	s, err := set(ctx, o.subject, "memcached", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.align(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "cachediff: %v and %v, from seed %d on, %v\n", s.subject, s.reference, o.seed, o.lasts)
	c := comparison{world: s.world, seed: o.seed, lasts: o.lasts, most: o.most, shrink: 30 * time.Second, profiles: o.profiles, progress: stderr}
	r, err := c.compare(ctx)
	for _, f := range r.findings {
		if err := f.print(stdout, s.world.subject.name, s.world.reference.name); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%d programs, %d commands: %d differences, and %d like them\n", r.programs, r.commands, len(r.findings), r.repeated); err != nil {
		return err
	}
	if len(r.findings) > 0 {
		return errDifferent
	}
	return nil
}

// read takes over what was said as text.
func (o *options) read(seconds, seed, only string) error {
	n, err := strconv.ParseFloat(seconds, 64)
	if err != nil || n < 1 {
		return fmt.Errorf("-seconds %q: write a number, 1 or more", seconds)
	}
	o.lasts = time.Duration(n * float64(time.Second))
	if o.seed = rand.Uint64N(1_000_000_000); seed != "" {
		if o.seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
			return fmt.Errorf("-seed %q: write a number", seed)
		}
	}
	for p := range profiles {
		if only == "" || only == p.String() {
			o.profiles = append(o.profiles, p)
		}
	}
	if o.profiles == nil {
		return fmt.Errorf("-profile %q: write mixed, meta, bulk, timed or \"timed meta\"", only)
	}
	return nil
}

func unexpected(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("it takes no arguments, found %q", args)
}
