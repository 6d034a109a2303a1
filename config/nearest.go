package config

import "strings"

// Nearest is the known name that was most likely meant by one that is not known, if any
// is near enough.
func Nearest(name string, known []string) (string, bool) { return nearest(name, known) }

// nearest is the known name that was most likely meant, if any is near enough.
func nearest(name string, known []string) (string, bool) {
	want := plain(name)
	if len(want) > 64 {
		return "", false // no name is that long, and the distance takes time
	}
	best, distance := "", 2+len(want)/4
	for _, candidate := range known {
		have := plain(candidate)
		d := editDistance(want, have)
		if len(want) >= 4 && strings.HasPrefix(have, want) {
			d = min(d, 1) // password for password_file
		}
		if d < distance {
			best, distance = candidate, d
		}
	}
	return best, best != ""
}

// plain makes onGap, on-gap and on_gap the same.
func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// editDistance is how many bytes have to be put in, left out, changed or swapped
// with their neighbour to make b of a (optimal string alignment).
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
