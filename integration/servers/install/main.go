// Command install gets the real servers that tests, demo and benchmarks use:
// MySQL, MariaDB, and memcached of two ages. What is there already is left alone,
// so it is quick to run every time.
//
// It exits with 1 if MariaDB cannot be had or, where MCSQUEAL_REQUIRE_SERVERS=1,
// if anything cannot; MySQL alone missing is said and otherwise tolerated.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := servers.Install(ctx, os.Stdout)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "install:", err)
	if servers.Required() || servers.Missing(servers.KindMariaDB) != nil {
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "install: going on without; tests that need what is missing are skipped")
}
