package extract

import (
	"bytes"
	"hash/maphash"
)

// Distinct remembers the first 65,536 distinct keys of a transaction, so that
// none of them need go out twice. Keys are compared byte for byte; the hash that
// finds them has a random seed, so that nobody can choose keys that collide. The
// zero value is ready. One goroutine at a time.
//
// Its memory is bounded by the keys it remembers: with keys of 250 bytes some
// 20 MiB, which Reset gives back.
type Distinct struct {
	bytes []byte   // the keys, one behind the other
	ends  []uint32 // where each ends in bytes
	// table holds indexes into ends, plus one, by hash and linear probing; at
	// most half of it is in use, and its size is a power of two. Not in use while
	// a few keys are all there is.
	table []uint32
	seed  maphash.Seed // set when table is
}

const (
	maxDistinct = 1 << 16
	// fewKeys are compared one after the other, without a hash: what most
	// transactions need.
	fewKeys = 8
)

// Add remembers a key and tells whether it is new. Behind the first 65,536
// distinct keys one that is not known always counts as new. The key may have any
// length and is copied.
//
// Benchmark: BenchmarkDistinct.
func (d *Distinct) Add(key []byte) (fresh bool) {
	n := len(d.ends)
	if n <= fewKeys {
		for i := range n {
			if bytes.Equal(d.key(i), key) {
				return false
			}
		}
		if n < fewKeys {
			d.remember(key)
			return true
		}
		d.index()
	}
	slot, known := d.find(key)
	if known {
		return false
	}
	if n == maxDistinct || len(d.bytes)+len(key) > maxDistinct*maxKey {
		return true
	}
	d.remember(key)
	d.table[slot] = uint32(n + 1)
	if 2*(n+1) > len(d.table) {
		d.index()
	}
	return true
}

// Reset forgets every key: what follows is another transaction. It costs nothing
// worth counting after a few keys; what a large transaction took is given back.
func (d *Distinct) Reset() {
	const (
		keepBytes = 1 << 16
		keepKeys  = 1 << 11
	)
	if cap(d.bytes) > keepBytes || cap(d.ends) > keepKeys {
		*d = Distinct{seed: d.seed}
		return
	}
	d.bytes, d.ends, d.table = d.bytes[:0], d.ends[:0], d.table[:0]
}

// key gives the key that was remembered as number i.
func (d *Distinct) key(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.bytes[start:d.ends[i]]
}

func (d *Distinct) remember(key []byte) {
	d.bytes = append(d.bytes, key...)
	d.ends = append(d.ends, uint32(len(d.bytes)))
}

// find gives the slot of table in which key is, or would be put.
func (d *Distinct) find(key []byte) (slot uint64, known bool) {
	mask := uint64(len(d.table) - 1)
	for slot = maphash.Bytes(d.seed, key) & mask; ; slot = (slot + 1) & mask {
		i := d.table[slot]
		if i == 0 {
			return slot, false
		}
		if bytes.Equal(d.key(int(i-1)), key) {
			return slot, true
		}
	}
}

// index makes the table anew, with room for four times the keys.
func (d *Distinct) index() {
	if d.seed == (maphash.Seed{}) {
		d.seed = maphash.MakeSeed()
	}
	size := 4 * fewKeys
	for size < 4*len(d.ends) {
		size *= 2
	}
	if cap(d.table) < size {
		d.table = make([]uint32, size)
	} else {
		d.table = d.table[:size]
		clear(d.table)
	}
	for i := range d.ends {
		slot, _ := d.find(d.key(i))
		d.table[slot] = uint32(i + 1)
	}
}
