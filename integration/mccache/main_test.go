// Package mccache holds the built cache server to its promises, from outside: what comes
// in are clients, polite and not, and what is looked at are answers, their order, and the
// size of the process. Leases are held to the promise they exist for, in both dialects:
// what was read before a delete is never cached after it.
package mccache

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// given is a command that need not be built.
var given = flag.String("mccache", "", "test the command at this `path`; otherwise it is built first")

func TestMain(m *testing.M) { os.Exit(harness.Main(m, 4, plain.Remove, raced.Remove)) }

// program is a command that is built unless another is given.
type program struct{ build.Once }

func (p *program) path(t *testing.T) string {
	t.Helper()
	if *given != "" {
		return *given
	}
	return p.Path(t)
}

var (
	// plain is the command as it is shipped: the race detector would change its size.
	plain = program{build.Once{Name: "mccache"}}
	raced = program{build.Once{Name: "mccache", Flags: []string{"-race"}}}
)

// start starts a mccache that goes with the test.
func start(t *testing.T, args ...string) *servers.Memcached {
	t.Helper()
	return servers.Mccache(t, servers.MccacheConfig{Program: plain.path(t), Args: args})
}

// resident is how much memory a process has in the machine's, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return pages * int64(os.Getpagesize())
}

// descriptors counts the open files of a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// threads counts the threads of a process.
func threads(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// mebibytes writes a size for people.
func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
