package promises

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

// whole is for a machine of one's own: nothing is scaled down.
var whole = flag.Bool("whole", false, "run what is scaled down in the default form at its full size")

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests mostly wait, for time that must pass or for servers to start: more
	// of them side by side than there are cores. -parallel still has the last word.
	if given := flag.Lookup("test.parallel"); given.Value.String() == given.DefValue {
		_ = given.Value.Set("6")
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy would tell of every cut
	status := m.Run()
	var failed []error
	for _, s := range shared {
		failed = append(failed, s.close())
	}
	failed = append(failed, binary.Remove())
	if status == 0 {
		const toxic = "github.com/Shopify/toxiproxy/v2"
		failed = append(failed, goleak.Find(
			// What toxiproxy leaves behind of connections that are cut.
			goleak.IgnoreAnyFunction(toxic+"/toxics.(*ToxicStub).Run"),
			goleak.IgnoreAnyFunction(toxic+".(*ToxicLink).read"),
			goleak.IgnoreAnyFunction(toxic+".(*ToxicLink).write"),
		))
	}
	if err := errors.Join(failed...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// patience is how long what must come to pass may take on a busy machine.
const patience = 60 * time.Second

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// binary is the command, with the race detector if the tests have it.
var binary = build.Once{Name: "mcsqueal", Flags: build.AsTested()}

// sharedServer is one that tests use side by side: each writes to a schema and keys of
// its own, changes nothing global, stops nothing and leaves nothing prepared. Who must,
// starts his own.
type sharedServer struct {
	kind servers.Kind
	once sync.Once
	db   *servers.Database
	err  error
}

var shared = []*sharedServer{{kind: servers.KindMySQL}, {kind: servers.KindMariaDB}}

func (s *sharedServer) get(t *testing.T) *source {
	t.Helper()
	servers.Need(t, s.kind)
	s.once.Do(func() {
		start := servers.StartMySQL
		if s.kind == servers.KindMariaDB {
			start = servers.StartMariaDB
		}
		// It outlives the test that happens to be the first.
		ctx := context.Background()
		if s.db, s.err = start(ctx, servers.Config{}); s.err == nil {
			s.err = addUser(ctx, s.db)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return newSource(t, s.db)
}

func (s *sharedServer) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// each runs a subtest on the shared MySQL and one on the shared MariaDB, side by side.
func each(t *testing.T, test func(t *testing.T, db *source)) {
	t.Helper()
	t.Parallel()
	for _, s := range shared {
		t.Run(nameOf(s.kind), func(t *testing.T) {
			t.Parallel()
			test(t, s.get(t))
		})
	}
}

// eachKind runs a subtest for each kind of database, side by side, and starts none.
func eachKind(t *testing.T, test func(t *testing.T, kind servers.Kind)) {
	t.Helper()
	t.Parallel()
	for _, s := range shared {
		t.Run(nameOf(s.kind), func(t *testing.T) {
			t.Parallel()
			test(t, s.kind)
		})
	}
}

// eachOwn is each with servers that are the subtest's own, to be stopped and changed.
func eachOwn(t *testing.T, test func(t *testing.T, db *source)) {
	t.Helper()
	eachKind(t, func(t *testing.T, kind servers.Kind) { test(t, own(t, kind, servers.Config{})) })
}

// own starts a database that goes with the test.
func own(t *testing.T, kind servers.Kind, c servers.Config) *source {
	t.Helper()
	db := start(t, kind, c)
	if err := addUser(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return newSource(t, db)
}

func start(t *testing.T, kind servers.Kind, c servers.Config) *servers.Database {
	t.Helper()
	if kind == servers.KindMariaDB {
		return servers.MariaDB(t, c)
	}
	return servers.MySQL(t, c)
}

func nameOf(kind servers.Kind) string { return strings.ToLower(kind.String()) }
