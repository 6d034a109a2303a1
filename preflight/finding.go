// Package preflight finds out whether everything that a configuration names is set up
// for it: what comes in is a configuration, what goes out are findings, each with the
// statement or setting that mends it. It asks servers, routers, caches and the disk
// themselves, and changes nothing but a key of its own in each cache. It keeps the sixth
// promise before there is anything to be silently wrong.
package preflight

import (
	"fmt"
	"slices"
)

// Level says how serious a finding is.
type Level uint8

// The levels.
const (
	OK   Level = iota // as it should be
	Warn              // it works, and something may go wrong
	Fail              // it does not work until it is mended
)

var levelNames = [...]string{OK: "ok", Warn: "warn", Fail: "fail"}

// String is the level in a word: ok, warn or fail.
func (l Level) String() string { return levelNames[l] }

// MarshalText is String. It never fails.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is one thing that was looked at.
type Finding struct {
	Level Level `json:"level"`
	// About is what was looked at: a server, a router, a cluster, the state.
	About string `json:"about"`
	// Check names what was looked for, in a word that stays.
	Check string `json:"check"`
	// Says is what was found, in a sentence.
	Says string `json:"says"`
	// Mend is the statement, setting or command that mends it; empty where nothing is
	// wrong, or nothing can be named.
	Mend string `json:"mend,omitempty"`
}

// Count is how many of the findings are of a level.
func Count(findings []Finding, l Level) int {
	n := 0
	for _, f := range findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// about gathers the findings of one thing, in order. One goroutine uses it.
type about struct {
	name  string
	found []Finding
}

func (a *about) add(l Level, check, mend, format string, args ...any) {
	a.found = append(a.found, Finding{Level: l, About: a.name, Check: check, Says: fmt.Sprintf(format, args...), Mend: mend})
}

func (a *about) ok(check, format string, args ...any) { a.add(OK, check, "", format, args...) }

func (a *about) warn(check, mend, format string, args ...any) {
	a.add(Warn, check, mend, format, args...)
}

func (a *about) fail(check, mend, format string, args ...any) {
	a.add(Fail, check, mend, format, args...)
}

// failed tells whether a check has failed already.
func (a *about) failed(check string) bool {
	return slices.ContainsFunc(a.found, func(f Finding) bool { return f.Check == check && f.Level == Fail })
}
