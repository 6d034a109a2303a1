package config

import (
	"fmt"
	"strings"
	"time"
)

// Visibility says how it is known that a transaction can be read on the source.
type Visibility struct {
	Mode VisibilityMode
	// Delay is how long after its event a transaction counts as visible; more than
	// zero with VisibilityDelay, zero otherwise.
	Delay time.Duration
}

// VisibilityMode is one way of knowing.
type VisibilityMode string

// The ways of knowing that a transaction can be read.
const (
	VisibilityAuto     VisibilityMode = "auto"     // the surest the source allows; which is logged
	VisibilityGTID     VisibilityMode = "gtid"     // MySQL: WAIT_FOR_EXECUTED_GTID_SET
	VisibilitySnapshot VisibilityMode = "snapshot" // MariaDB: binlog_snapshot_file and _position
	VisibilityDelay    VisibilityMode = "delay"    // not known: a time is waited
	VisibilityOff      VisibilityMode = "off"      // not waited for
)

// ParseVisibility reads auto, gtid, snapshot, off, or delay: and a duration.
func ParseVisibility(s string) (Visibility, error) {
	word, length, timed := strings.Cut(s, ":")
	switch mode := VisibilityMode(word); {
	case mode == VisibilityDelay && timed:
		delay, err := time.ParseDuration(length)
		if err != nil || delay <= 0 {
			return Visibility{}, fmt.Errorf("%q is not a time to wait; write it like delay:50ms", length)
		}
		return Visibility{Mode: mode, Delay: delay}, nil
	case mode == VisibilityDelay:
		return Visibility{}, fmt.Errorf("delay needs a time; write it like delay:50ms")
	case !timed && mode.known():
		return Visibility{Mode: mode}, nil
	default:
		return Visibility{}, fmt.Errorf("%q is not a way to know what can be read; write auto, gtid, snapshot, delay:50ms or off", s)
	}
}

func (m VisibilityMode) known() bool {
	switch m {
	case VisibilityAuto, VisibilityGTID, VisibilitySnapshot, VisibilityDelay, VisibilityOff:
		return true
	default:
		return false
	}
}

// String is what ParseVisibility reads.
func (v Visibility) String() string {
	if v.Mode == VisibilityDelay {
		return string(v.Mode) + ":" + v.Delay.String()
	}
	return string(v.Mode)
}

// MarshalText is String.
func (v Visibility) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is ParseVisibility.
func (v *Visibility) UnmarshalText(text []byte) error {
	visibility, err := ParseVisibility(string(text))
	if err != nil {
		return err
	}
	*v = visibility
	return nil
}
