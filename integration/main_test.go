// Package integration holds the built command to its promises, on real servers: what
// comes in are statements that name keys, committed on a MySQL or a MariaDB; what is
// looked at are the caches' contents. Each key is set before the write that names it
// and must be gone after, its neighbours must be there still: that is the first
// promise of all, nothing lost, with what may go wrong on the way from the commit to
// the cache.
package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy would tell of every cut
	// Most of a test's time is waiting. A -parallel of the command line is read later.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	status := m.Run()
	var failed []error
	for _, s := range shared {
		failed = append(failed, s.close())
	}
	failed = append(failed, binary.Remove())
	if status == 0 {
		failed = append(failed, goleak.Find(
			// toxiproxy leaves some behind on connections that it has cut.
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		))
	}
	if err := errors.Join(failed...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// testVersion is what the built command is told to say of itself.
const testVersion = "v0.0.0-test"

// binary is the command, with the race detector if the tests have it.
var binary = build.Once{
	Name: "mcsqueal", Flags: append(build.AsTested(), "-ldflags", "-X main.version="+testVersion),
}

// sharedDatabase is one that tests use side by side: each writes to a schema and keys
// of its own, changes nothing global, stops nothing and prepares no XA transaction. Who
// must, starts his own.
type sharedDatabase struct {
	kind  servers.Kind
	start func(context.Context, servers.Config) (*servers.Database, error)
	once  sync.Once
	db    *servers.Database
	err   error
}

var shared = []*sharedDatabase{
	{kind: servers.KindMySQL, start: servers.StartMySQL},
	{kind: servers.KindMariaDB, start: servers.StartMariaDB},
}

func (s *sharedDatabase) get(t *testing.T) *database {
	t.Helper()
	servers.Need(t, s.kind)
	s.once.Do(func() {
		// It outlives the test that happens to be the first.
		ctx := context.Background()
		if s.db, s.err = s.start(ctx, servers.Config{}); s.err == nil {
			s.err = addUser(ctx, s.db)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return newDatabase(t, s.db)
}

func (s *sharedDatabase) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// each runs a subtest on the shared MySQL and one on the shared MariaDB, side by side.
func each(t *testing.T, test func(t *testing.T, db *database)) {
	t.Helper()
	for _, s := range shared {
		t.Run(nameOf(s.kind), func(t *testing.T) {
			t.Parallel()
			test(t, s.get(t))
		})
	}
}

// eachOwn is each with servers that are the subtest's own, to be stopped and changed.
func eachOwn(t *testing.T, c servers.Config, test func(t *testing.T, db *database)) {
	t.Helper()
	for _, s := range shared {
		t.Run(nameOf(s.kind), func(t *testing.T) {
			t.Parallel()
			test(t, own(t, s.kind, c))
		})
	}
}

// own starts a database that goes with the test.
func own(t *testing.T, kind servers.Kind, c servers.Config) *database {
	t.Helper()
	start := servers.MySQL
	if kind == servers.KindMariaDB {
		start = servers.MariaDB
	}
	db := start(t, c)
	if err := addUser(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return newDatabase(t, db)
}

func nameOf(kind servers.Kind) string { return strings.ToLower(kind.String()) }

// patience is how long what must come to pass may take on a busy machine.
const patience = 30 * time.Second

// await waits until a condition holds. What it is, is a string or, where that is
// known in the end only, a func() string.
func await[S string | func() string](t *testing.T, what S, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			said, ok := any(what).(func() string)
			if !ok {
				said = func() string { return fmt.Sprint(what) }
			}
			t.Fatalf("not within %v: %s", patience, said())
		case <-tick.C:
		}
	}
}
