package main

import (
	"math"
	"testing"
)

func TestAStretchVisitsEveryKeyOnce(t *testing.T) {
	for _, count := range []int{1, 2, 10, 1000, 4096, 99_999} {
		seen := make([]bool, count)
		s := &stretch{at: 5, end: 5 + uint64(count), step: strideOf(count), count: uint64(count)}
		n := 0
		for k, ok := s.next(); ok; k, ok = s.next() {
			if seen[k] {
				t.Fatalf("of %d, key %d came twice", count, k)
			}
			seen[k] = true
			n++
		}
		if n != count {
			t.Errorf("%d of %d keys", n, count)
		}
	}
}

func TestUniformPicksAllKeysAlike(t *testing.T) {
	u := &uniform{1, 10}
	var counts [10]int
	const n = 100_000
	for range n {
		k, _ := u.next()
		counts[k]++
	}
	for k, c := range counts {
		if math.Abs(float64(c)-n/10) > 5*math.Sqrt(n/10) {
			t.Errorf("key %d came %d times in %d", k, c, n)
		}
	}
}

func TestZipfPicksByRank(t *testing.T) {
	const n, count = 200_000, 1000
	z := newZipf(count, 1)
	counts := make(map[uint32]int)
	for _, k := range z.list(n) {
		counts[k]++
	}
	sum := 0.0
	for r := 1; r <= count; r++ {
		sum += math.Pow(float64(r), -0.99)
	}
	for _, rank := range []int{1, 2, 10} {
		key := uint32(uint64(rank-1) * z.step % count)
		want := n * math.Pow(float64(rank), -0.99) / sum
		if got := float64(counts[key]); math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("rank %d came %v times, want %.0f", rank, got, want)
		}
	}
}

func TestSizesAreThePapers(t *testing.T) {
	s := newSized(1)
	const n = 400_000
	sum, small := 0, 0
	for k := range uint32(n) {
		size := s.size(k)
		if len(s.value(k)) != size {
			t.Fatalf("key %d: %d bytes, want %d", k, len(s.value(k)), size)
		}
		sum += size
		if size <= medianSize {
			small++
		}
	}
	if mean := sum / n; mean < meanSize*9/10 || mean > meanSize*11/10 {
		t.Errorf("mean %d, want %d", mean, meanSize)
	}
	if share := float64(small) / n; share < 0.49 || share > 0.51 {
		t.Errorf("%.3f are up to the median's size", share)
	}
}
