//go:build race

package server

// raceEnabled: the race detector allocates.
const raceEnabled = true
