package binlog

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// PointKind says which form of Point it is. The zero value is "none given".
type PointKind uint8

// The forms of Point.
const (
	PointNone   PointKind = iota
	PointOldest           // oldest: where the log that is still there begins
	PointNow              // now: where the log ends
	PointGTID             // gtid:SET: before everything that is not in SET
	PointFile             // file:NAME:OFFSET
	PointTime             // time:RFC3339: before the first transaction of that time or later
)

// Point is a place in a log as a person names it, on the command line or in the
// configuration. A source turns it into a Position. The zero Point is none.
type Point struct {
	Kind   PointKind
	GTIDs  *GTIDSet // PointGTID: never nil; empty, of FlavorUnknown, for "gtid:"
	File   string   // PointFile: a log file's name, as SHOW BINARY LOGS lists it
	Offset uint64   // PointFile: where an event begins or the file ends, at least 4
	Time   time.Time
}

// firstOffset is where a log file's first event begins, behind the four magic bytes.
const firstOffset = 4

var errPoint = errors.New("a position is oldest, now, gtid:SET, file:NAME:OFFSET or time:2006-01-02T15:04:05Z")

// ParsePoint reads a position of the command line. What stands behind the last
// colon of file:NAME:OFFSET is the offset, so a name may hold colons. The flavor of
// a GTID set is told by its syntax; gtid: alone is the empty set. Any error lists
// the forms.
func ParsePoint(s string) (Point, error) {
	p, err := parsePoint(strings.TrimSpace(s))
	if err != nil {
		return Point{}, fmt.Errorf("position %q: %w; %w", clip(s), err, errPoint)
	}
	return p, nil
}

func parsePoint(s string) (Point, error) {
	form, rest, _ := strings.Cut(s, ":")
	switch {
	case s == "oldest":
		return Point{Kind: PointOldest}, nil
	case s == "now":
		return Point{Kind: PointNow}, nil
	case form == s: // no colon
		return Point{}, errors.New("is none of the forms")
	case form == "gtid":
		set, err := ParseGTIDSet(FlavorUnknown, rest)
		return Point{Kind: PointGTID, GTIDs: set}, err
	case form == "file":
		colon := strings.LastIndexByte(rest, ':')
		if colon < 1 {
			return Point{}, errors.New("file name or offset is missing")
		}
		offset, err := strconv.ParseUint(rest[colon+1:], 10, 64)
		if err != nil || offset < firstOffset {
			return Point{}, fmt.Errorf("offset %q: must be a number from %d (a file's first event) to %d",
				clip(rest[colon+1:]), firstOffset, uint64(math.MaxUint64))
		}
		return Point{Kind: PointFile, File: rest[:colon], Offset: offset}, nil
	case form == "time":
		t, err := time.Parse(time.RFC3339, rest)
		if err != nil {
			return Point{}, fmt.Errorf("time %q: must be like 2006-01-02T15:04:05Z or 2006-01-02T15:04:05+02:00", clip(rest))
		}
		return Point{Kind: PointTime, Time: t}, nil
	default:
		return Point{}, fmt.Errorf("%q is none of the forms", clip(form))
	}
}

// String is the form ParsePoint reads; "" for none.
func (p Point) String() string {
	switch p.Kind {
	case PointOldest:
		return "oldest"
	case PointNow:
		return "now"
	case PointGTID:
		return "gtid:" + p.GTIDs.String()
	case PointFile:
		return "file:" + p.File + ":" + strconv.FormatUint(p.Offset, 10)
	case PointTime:
		return "time:" + p.Time.Format(time.RFC3339Nano)
	default:
		return ""
	}
}

// IsZero reports whether no point is given.
func (p Point) IsZero() bool { return p.Kind == PointNone }

// MarshalText is String.
func (p Point) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePoint; empty text is the zero Point, none given.
func (p *Point) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Point{}
		return nil
	}
	parsed, err := ParsePoint(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
