// Package harness is what tests of the built command have in common: a database with a
// schema of the test's own, caches that are filled and looked into, a configuration, the
// command at work on it, and wires between them that can be cut. What comes in is a test;
// what goes out are things that go with it, and whose failures are the test's.
//
// Tests say with it what they hold the command to: a key is set before the write that
// names it, and must be gone after; its neighbours must be there still.
package harness
