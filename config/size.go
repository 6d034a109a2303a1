package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, never negative.
type Size int64

// Units of Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40

	kB Size = 1_000
	mB Size = 1_000_000
	gB Size = 1_000_000_000
	tB Size = 1_000_000_000_000
)

// units are tried from the first when a Size is written: the largest binary unit it
// is a multiple of, then the largest decimal one.
var units = []struct {
	name string
	size Size
}{
	{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"TB", tB}, {"GB", gB}, {"MB", mB}, {"kB", kB}, {"B", 1},
}

// ParseSize reads a whole number with a unit, or of bytes without one: 64MiB, 1GB,
// 1048576. Letters may be of either case, and a space may stand before the unit.
func ParseSize(s string) (Size, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	unit := Size(1)
	if name := strings.TrimPrefix(s[digits:], " "); name != "" {
		unit = 0
		for _, u := range units {
			if strings.EqualFold(name, u.name) {
				unit = u.size
			}
		}
	}
	if digits == 0 || unit == 0 {
		return 0, fmt.Errorf("%q is not a size; write 64MiB, 1GB or a number of bytes", s)
	}
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("%q is more than can be counted, which is 8388607TiB", s)
	}
	return Size(n) * unit, nil
}

// String is what ParseSize reads, in the largest unit that needs no fraction.
func (s Size) String() string {
	if s > 0 {
		for _, u := range units[:len(units)-1] {
			if s%u.size == 0 {
				return strconv.FormatInt(int64(s/u.size), 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) error {
	size, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = size
	return nil
}
