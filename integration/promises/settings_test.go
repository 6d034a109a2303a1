package promises

import (
	"fmt"
	"strings"
	"time"
)

// from is a line of YAML: a source of several servers.
func from(urls ...string) string {
	return fmt.Sprintf("source: {urls: [%s], failover_wait: %s}", strings.Join(urls, ", "), failoverWait)
}

// failoverWait is what daemons with several servers are told: short, for it must
// pass.
const failoverWait = 3 * time.Second

// patient is what a cluster is told whose flushes are counted: a cache that is slow for
// want of a processor is not given up.
const patient = "timeout: 10m"

// to are lines of YAML: clusters, each from cluster.
func to(clusters ...string) string { return "clusters:\n" + strings.Join(clusters, "\n") }

// cluster is one line of YAML; what else there is to say comes as "name: value".
func cluster(name, targets, address string, more ...string) string {
	return fmt.Sprintf("  - {%s}", strings.Join(append([]string{"name: " + name, targets + ": [" + address + "]"}, more...), ", "))
}
