package config

import (
	"fmt"
	"strings"
	"time"
)

// Action is what is done to a key in a cluster.
type Action struct {
	Kind ActionKind
	// For is how long a stale value may still be read, or how long adds are held off:
	// whole seconds, at least one, at most MaxActionTime. Zero with ActionDelete.
	For time.Duration
}

// ActionKind is one thing that can be done to a key.
type ActionKind string

// What can be done to a key.
const (
	ActionDelete  ActionKind = "delete"  // it is deleted
	ActionStale   ActionKind = "stale"   // it is marked stale, and its old value kept for a while
	ActionHoldoff ActionKind = "holdoff" // it is deleted, and adds are refused for a while
)

// MaxActionTime is the longest time memcached counts from now; a greater number it
// takes for a date (protocol.txt, "Expiration times").
const MaxActionTime = 30 * 24 * time.Hour

// ParseAction reads delete, or stale: or holdoff: and a duration of whole seconds.
func ParseAction(s string) (Action, error) {
	word, length, timed := strings.Cut(s, ":")
	switch kind := ActionKind(word); {
	case kind == ActionDelete && !timed:
		return Action{Kind: kind}, nil
	case kind == ActionStale || kind == ActionHoldoff:
		d, err := time.ParseDuration(length)
		if err != nil || d < time.Second || d%time.Second != 0 || d > MaxActionTime {
			return Action{}, fmt.Errorf("%q: %s takes a time of whole seconds, from 1s to 720h (30 days); write it like %s:30s", s, kind, kind)
		}
		return Action{Kind: kind, For: d}, nil
	default:
		return Action{}, fmt.Errorf("%q is nothing to do to a key; write delete, stale:30s or holdoff:2s", s)
	}
}

// String is what ParseAction reads.
func (a Action) String() string {
	if a.For == 0 {
		return string(a.Kind)
	}
	return string(a.Kind) + ":" + a.For.String()
}

// MarshalText is String.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAction.
func (a *Action) UnmarshalText(text []byte) error {
	action, err := ParseAction(string(text))
	if err != nil {
		return err
	}
	*a = action
	return nil
}
