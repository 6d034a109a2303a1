package mcproto

import "fmt"

// MaxKey is the greatest length of a key on the wire, in bytes (KEY_MAX_LENGTH in
// memcached's sources; protocol.txt, "Keys").
const MaxKey = 250

// ErrKey is what the Append functions return for a key that [ValidKey] refuses.
var ErrKey = fmt.Errorf("not a key: a key is 1 to %d bytes, none of them white space, a control character or DEL", MaxKey)

// Bytes is what a key may be held in.
type Bytes interface{ ~[]byte | ~string }

// ValidKey reports whether key may stand in a command's line: 1 to [MaxKey] bytes,
// none ≤ 0x20, none 0x7f. Bytes from 0x80 are allowed, whatever they encode:
// memcached does not look at them.
//
// memcached itself ends a key at a space or the line's end only, and takes other
// control bytes; ValidKey is the stricter rule of protocol.txt, which routers
// enforce.
func ValidKey[K Bytes](key K) bool {
	if len(key) == 0 || len(key) > MaxKey {
		return false
	}
	if len(key) < 8 {
		for i := range len(key) {
			if key[i] <= ' ' || key[i] == 0x7f {
				return false
			}
		}
		return true
	}
	last := len(key) - 8
	for i := 0; i < last; i += 8 {
		if hasForbidden(load8(key, i)) {
			return false
		}
	}
	return !hasForbidden(load8(key, last)) // some of them for the second time
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// hasForbidden reports whether one of the eight bytes of x is ≤ 0x20 or 0x7f. Both
// terms are the "is there a byte less than n" of Bit Twiddling Hacks, which is
// exact as to whether there is one.
func hasForbidden(x uint64) bool {
	del := x ^ 0x7f*ones // zero where x has 0x7f
	return ((x-0x21*ones)&^x|(del-ones)&^del)&highs != 0
}

// load8 is the eight bytes of s from i, little-endian. The compiler makes one load
// of it, and needs no copy of a string.
func load8[S Bytes](s S, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}
