//go:build !race

package binlog_test

// raceDetector: the tests run under the race detector.
const raceDetector = false
