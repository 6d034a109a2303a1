package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// items are what the servers are filled with: so many keys of one width, each with a
// value of one size. A value follows from its key, so that every answer can be
// compared byte by byte with nothing remembered.
type items struct {
	count int
	size  int
	pad   []byte // every value is a window of it
}

const (
	keyPrefix     = "page:item:" // of keys that are there
	missingPrefix = "page:none:" // of keys that are not
	keyLen        = len(keyPrefix) + 8

	// offsets is how many windows there are: few enough that comparing costs no
	// misses of the client's processor caches.
	offsets = 4096
)

func newItems(count, size int) *items {
	t := &items{count: count, size: size, pad: make([]byte, size+offsets+8)}
	random := rand.New(rand.NewPCG(1, uint64(size)))
	for i := 0; i+8 <= len(t.pad); i += 8 {
		binary.LittleEndian.PutUint64(t.pad[i:], random.Uint64())
	}
	return t
}

// value is the value of a key.
func (t *items) value(key uint32) []byte {
	// The upper bits of a multiplicative hash.
	at := key * 0x9e3779b1 >> 20
	return t.pad[at : int(at)+t.size]
}

var hexPairs = func() (table [256][2]byte) {
	const digits = "0123456789abcdef"
	for i := range table {
		table[i] = [2]byte{digits[i>>4], digits[i&15]}
	}
	return table
}()

// putKey writes the number of a key, eight digits.
func putKey(b []byte, key uint32) {
	_ = b[7]
	for i := range 4 {
		p := hexPairs[byte(key>>(24-8*i))]
		b[2*i], b[2*i+1] = p[0], p[1]
	}
}

// A picker says which key is next. Each connection loop has its own.
type picker interface {
	// next is false when there is none left.
	next() (key uint32, ok bool)
}

// uniform picks any key with the same chance.
type uniform struct {
	state uint64
	count uint64
}

func (u *uniform) next() (uint32, bool) {
	// xorshift64*; the upper half times the count, which needs no division.
	x := u.state
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	u.state = x
	return uint32((x * 0x2545f4914f6cdd1d >> 32) * u.count >> 32), true
}

// sequence picks from a list, for ever.
type sequence struct {
	keys []uint32
	at   int
}

func (s *sequence) next() (uint32, bool) {
	key := s.keys[s.at]
	if s.at++; s.at == len(s.keys) {
		s.at = 0
	}
	return key, true
}

// limited picks only so many keys.
type limited struct {
	picker
	left int
}

func (m *limited) next() (uint32, bool) {
	if m.left == 0 {
		return 0, false
	}
	m.left--
	return m.picker.next()
}

// stretch picks every key of a stretch of a walk over all of them once, far apart.
type stretch struct {
	at, end uint64 // steps of the walk
	step    uint64 // has no divisor in common with count
	count   uint64
}

func (s *stretch) next() (uint32, bool) {
	if s.at >= s.end {
		return 0, false
	}
	key := s.at * s.step % s.count
	s.at++
	return uint32(key), true
}

// strideOf is a step that visits every one of count keys once and none near the one
// before it.
func strideOf(count int) uint64 {
	step := uint64(float64(count)*0.6180339887) | 1
	for gcd(step, uint64(count)) != 1 {
		step += 2
	}
	return step
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
