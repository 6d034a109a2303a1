package harness

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/goroutines"
)

// Version is what the built command is told to say of itself.
const Version = "v0.0.0-test"

// binary is the command, with the race detector if the tests have it.
var binary = build.Once{Name: "mcsqueal", Flags: append(build.AsTested(), "-ldflags", "-X github.com/mcsqueal/mcsqueal/release.version="+Version)}

// Binary is the path of the command, which is built for the first that asks.
func Binary(t *testing.T) string {
	t.Helper()
	return binary.Path(t)
}

// Main runs the tests of a package and gives the exit status. So many of them run at a
// time, unless -parallel says otherwise: most of a test's time is waiting. In the end it
// does what clean says, and holds the tests to having left no goroutine behind.
func Main(m *testing.M, parallel int, clean ...func() error) (status int) {
	flag.Parse()
	if given := flag.Lookup("test.parallel"); given.Value.String() == given.DefValue {
		if err := given.Value.Set(strconv.Itoa(parallel)); err != nil {
			panic(err)
		}
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy would tell of every cut
	status = m.Run()
	var failed []error
	for _, s := range shared {
		failed = append(failed, s.close())
	}
	for _, clean := range append(clean, binary.Remove) {
		failed = append(failed, clean())
	}
	if status == 0 {
		const toxic = "github.com/Shopify/toxiproxy/v2"
		failed = append(failed, goroutines.Left(
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
	return status
}
