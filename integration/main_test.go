// Package integration holds the built command to its promises, on real servers: what
// comes in are statements that name keys, committed on a MySQL or a MariaDB; what is
// looked at are the caches' contents. Each key is set before the write that names it
// and must be gone after, its neighbours must be there still: that is the first
// promise of all, nothing lost, with what may go wrong on the way from the commit to
// the cache.
package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m, 4)) }

// patient is what a cluster is told whose deletes are counted, each once: a cache that is
// slow for want of a processor is not given up.
const patient = "timeout: 10m"

// cluster is a line of YAML: a cluster that is a list of addresses.
func cluster(name, targets string, addresses ...string) string {
	return fmt.Sprintf("  - {name: %s, %s: [%s]}", name, targets, strings.Join(addresses, ", "))
}
