package binlog

import (
	"slices"
	"sort"
)

// An interval is the transaction numbers lo … hi, both inclusive. A list of them
// is canonical when it is in rising order and no two overlap or touch; every list
// in a GTIDSet is, and every function here expects and returns such lists, save
// that join makes one. Numbers stay ≤ maxGNO, so that +1 cannot overflow.
type interval struct{ lo, hi uint64 }

// join sorts ivs in place and joins what overlaps or touches.
func join(ivs []interval) []interval {
	slices.SortFunc(ivs, func(a, b interval) int {
		switch {
		case a.lo < b.lo:
			return -1
		case a.lo > b.lo:
			return 1
		default:
			return 0
		}
	})
	out := ivs[:0]
	for _, iv := range ivs {
		if n := len(out); n > 0 && iv.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, iv.hi)
		} else {
			out = append(out, iv)
		}
	}
	return out
}

// insert adds lo … hi to ivs in place.
func insert(ivs []interval, lo, hi uint64) []interval {
	// ivs[i:j] are those that overlap or touch lo … hi.
	i := sort.Search(len(ivs), func(i int) bool { return ivs[i].hi+1 >= lo })
	j := i
	for j < len(ivs) && ivs[j].lo <= hi+1 {
		j++
	}
	if i == j {
		return slices.Insert(ivs, i, interval{lo, hi})
	}
	ivs[i] = interval{min(lo, ivs[i].lo), max(hi, ivs[j-1].hi)}
	return slices.Delete(ivs, i+1, j)
}

// covers reports whether lo … hi lies within ivs.
func covers(ivs []interval, lo, hi uint64) bool {
	i := len(ivs) - 1
	if i >= 0 && lo < ivs[i].lo { // most questions are about the newest
		i = sort.Search(len(ivs), func(i int) bool { return ivs[i].hi >= lo })
	}
	return i >= 0 && ivs[i].lo <= lo && hi <= ivs[i].hi
}

// union, intersect and subtract return a new list, never one that shares memory
// with x or y.

func union(x, y []interval) []interval {
	return join(slices.Concat(x, y))
}

func intersect(x, y []interval) []interval {
	var out []interval
	for len(x) > 0 && len(y) > 0 {
		if lo, hi := max(x[0].lo, y[0].lo), min(x[0].hi, y[0].hi); lo <= hi {
			out = append(out, interval{lo, hi})
		}
		if x[0].hi < y[0].hi {
			x = x[1:]
		} else {
			y = y[1:]
		}
	}
	return out
}

func subtract(x, y []interval) []interval {
	var out []interval
	for _, iv := range x {
		for len(y) > 0 && y[0].hi < iv.lo {
			y = y[1:]
		}
		// A piece of y may reach into the next interval, so it is not used up here.
		for rest := y; len(rest) > 0 && rest[0].lo <= iv.hi; rest = rest[1:] {
			if iv.lo < rest[0].lo {
				out = append(out, interval{iv.lo, rest[0].lo - 1})
			}
			iv.lo = rest[0].hi + 1
		}
		if iv.lo <= iv.hi {
			out = append(out, iv)
		}
	}
	return out
}
