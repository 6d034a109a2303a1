package main

import (
	"math/bits"
	"time"
)

// histogram counts times in buckets a 64th of their time wide.
type histogram struct {
	counts [64 * 64]int
	total  int
	most   int64
}

func bucket(ns int64) int {
	v := uint64(max(ns, 0))
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return (shift+1)*64 + int(v>>shift) - 64
}

// upTo is the longest time of a bucket.
func upTo(bucket int) int64 {
	if bucket < 64 {
		return int64(bucket)
	}
	shift := bucket/64 - 1
	return int64(bucket%64+64+1)<<shift - 1
}

func (h *histogram) add(ns int64) {
	h.counts[bucket(ns)]++
	h.total++
	h.most = max(h.most, ns)
}

// quantile is a time that at least a share q of all did not exceed, and at most a 64th
// longer than the least such.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(q*float64(h.total) + 0.999999)
	for b, n := range h.counts {
		if left -= n; left <= 0 && n > 0 {
			return time.Duration(min(upTo(b), h.most))
		}
	}
	return time.Duration(h.most)
}
