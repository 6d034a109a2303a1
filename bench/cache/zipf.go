package main

import (
	"math"
	"math/rand/v2"
	"sort"
)

// zipfExponent is what cache traces and their benchmarks commonly have.
const zipfExponent = 0.99

// zipf draws keys by Zipf's law: the r-th most popular of count keys comes with a
// chance in proportion to r to the power of -zipfExponent. Popularity is scattered over the keys.
type zipf struct {
	upTo   []float64 // the chance of a rank up to this one
	step   uint64
	random *rand.Rand
}

func newZipf(count int, seed uint64) *zipf {
	z := &zipf{upTo: make([]float64, count), step: strideOf(count), random: rand.New(rand.NewPCG(seed, 2))}
	sum := 0.0
	for r := range z.upTo {
		sum += math.Pow(float64(r+1), -zipfExponent)
		z.upTo[r] = sum
	}
	for r := range z.upTo {
		z.upTo[r] /= sum
	}
	return z
}

func (z *zipf) draw() uint32 {
	rank := sort.SearchFloat64s(z.upTo, z.random.Float64())
	return uint32(uint64(min(rank, len(z.upTo)-1)) * z.step % uint64(len(z.upTo)))
}

// list draws n keys.
func (z *zipf) list(n int) []uint32 {
	keys := make([]uint32, n)
	for i := range keys {
		keys[i] = z.draw()
	}
	return keys
}
