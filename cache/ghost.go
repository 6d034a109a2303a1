package cache

import (
	"math"
	"math/bits"
)

// ghosts are keys that a class evicted lately, about as many as a page more would hold
// items. One that is stored again would have been there still, had the class had that
// page: so many misses would it spare.
type ghosts struct {
	slots []uint32 // by hash, a part of the hash; 0: none
	page  float64  // the part of them that a page holds
	back  int      // how many were stored again since the last look
	// missed and looks are moving sums of back, and of the looks.
	missed, looks float64
}

// leastGhosts is how many a class of large chunks has, so that chance plays less.
const leastGhosts = 256

// makeGhosts makes those of a class with so many chunks in a page.
func makeGhosts(perPage int) ghosts {
	n := 1 << bits.Len(uint(max(perPage, leastGhosts)-1))
	return ghosts{slots: make([]uint32, n), page: float64(perPage) / float64(n)}
}

func (g *ghosts) slot(hash uint64) (slot *uint32, mark uint32) {
	return &g.slots[hash>>20&uint64(len(g.slots)-1)], uint32(hash>>32) | 1
}

// evicted notes that a key was evicted. The class's mu is held.
func (g *ghosts) evicted(hash uint64) {
	slot, mark := g.slot(hash)
	*slot = mark
}

// stored notes that a key that was not there was stored. The class's mu is held.
func (g *ghosts) stored(hash uint64) {
	if slot, mark := g.slot(hash); *slot == mark {
		*slot = 0
		g.back++
	}
}

// look ends a time of which the balance is told. The class's mu is held.
func (g *ghosts) look() {
	// Where much happens the past is soon forgotten; where little does it takes longer to
	// tell how little.
	keep := 1 - min(max(g.missed*0.2/64, 0.02), 0.2)
	g.missed = g.missed*keep + float64(g.back)
	g.looks = g.looks*keep + 1
	g.back = 0
}

// worth is how many misses a page of the class spares between two looks. The class's mu is
// held.
func (g *ghosts) worth() float64 { return g.missed * g.page / max(g.looks, 1) }

// deviations is how many standard deviations chance is allowed.
const deviations = 3

// bounds are what worth is at least and at most, as far as can be told: by chance, what
// happened so often could have happened less or more often, by so many deviations. The
// class's mu is held.
func (g *ghosts) bounds() (least, most float64) {
	spread := deviations * math.Sqrt(g.missed)
	each := g.page / max(g.looks, 1)
	return max(g.missed-spread, 0) * each, (g.missed + spread + deviations*deviations) * each
}

// quiet reports whether next to nothing came back. The class's mu is held.
func (g *ghosts) quiet() bool { return g.missed < deviations*deviations }
