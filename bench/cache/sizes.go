package main

import (
	"math"
)

// sized gives every key a size of its own, drawn from the distribution of "Scaling
// Memcache at Facebook", §7: the median value has 135 bytes, the mean is 954. The
// logarithm is normal, which puts the 99th percentile at 13 kB, near to the 18 kB that
// the paper has for its largest pool.
type sized struct {
	pad    []byte
	factor float64 // of all sizes
}

const (
	medianSize = 135
	meanSize   = 954
	mostSize   = 500_000
)

func newSized(factor float64) *sized {
	return &sized{pad: newItems(0, mostSize).pad, factor: factor}
}

// size is the size of a key's value.
func (s *sized) size(key uint32) int {
	// The finalizer of splitmix64 makes a uniform number of a key.
	x := uint64(key)*0x9e3779b97f4a7c15 + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	u := (float64(x>>11) + 0.5) / (1 << 53)
	sigma := math.Sqrt(2 * math.Log(meanSize/float64(medianSize)))
	size := medianSize * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*u-1)) * s.factor
	return int(min(max(size, 1), mostSize))
}

// value is the value of a key.
func (s *sized) value(key uint32) []byte {
	at := key * 0x9e3779b1 >> 20
	return s.pad[at : int(at)+s.size(key)]
}
