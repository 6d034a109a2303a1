package promises

import (
	"flag"
	"os"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// whole is for a machine of one's own: nothing is scaled down.
var whole = flag.Bool("whole", false, "run what is scaled down in the default form at its full size")

func TestMain(m *testing.M) {
	// These tests mostly wait, for time that must pass or for servers to start: more
	// of them side by side than there are cores.
	os.Exit(harness.Main(m, 6))
}
