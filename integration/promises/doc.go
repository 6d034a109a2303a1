// Package promises tries to break what mcsqueal promises, on real servers: deletes
// must not be lost, must not leave before their commit can be read, must not delay
// each other, and what cannot be kept must be said. What comes in are committed
// transactions that name keys, and faults: stalled commits, rotations, failovers,
// purged and reset logs, frozen routers, daemons killed with -9. What is looked at
// are the caches' contents and the daemon's own words. Each test says in its name
// which promise it defends; docs/promises.md lists them. There is no code here but
// tests.
package promises
