package cache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"unsafe"
)

// The index is a linear hash table (Litwin, VLDB 1980) for each of shardCount shards:
// whenever it gets full one more bucket is split, so that it grows without a stall. A
// bucket is one cache line: twelve items, each with a byte of its hash, so that a key
// which is not there costs no look at any item. Bucket b of shard n lies at b*shardCount+n:
// all grow at one pace, and what is resident is what is used.
const (
	shardBits   = 8
	shardCount  = 1 << shardBits
	shardMask   = shardCount - 1
	bucketItems = 12
	bucketSize  = 64
	// bucketLoad is how many items a bucket holds on average before one is split.
	bucketLoad = 8
)

type bucket struct {
	tags [bucketItems]uint8
	refs [bucketItems]uint32
	// overflow is the bucket that holds what did not fit, by its number among the
	// overflow buckets; 0 is none.
	overflow uint32
}

// shard is a part of the keys: their index, their ring of expiry, their hold-offs. Its mu
// guards all of that and the items of its keys. Locks are taken in the order: one shard,
// then classes from the largest down; against the order only by TryLock.
type shard struct {
	mu     sync.Mutex
	number uint32
	mask   uint32 // of a bucket's number, before the present round of splits
	split  uint32 // the next bucket to be split in this round
	items  uint32
	spare  uint32 // first overflow bucket that was given back

	ring      ring
	holdoffs  []holdoff
	heldUntil uint32 // tick: no hold-off ends later

	expiredHits, flushedHits uint64 // lookups that met an item which is there no more

	_ [8]byte // no two shards' locks in a line
}

func (s *Store) hash(key []byte) uint64 { return maphash.Bytes(s.seed, key) }

// shardOf is the shard of a linked item, and the hash of its key.
func (s *Store) shardOf(h *header) (*shard, uint64) {
	hash := s.hash(h.key())
	return &s.shards[hash&shardMask], hash
}

func (s *Store) bucketAt(number, shard uint32) *bucket {
	return (*bucket)(unsafe.Add(s.buckets.base(), (uintptr(number)*shardCount+uintptr(shard))*bucketSize))
}

func (s *Store) overflowAt(number uint32) *bucket {
	return (*bucket)(unsafe.Add(s.overflow.base(), uintptr(number)*bucketSize))
}

func tagOf(hash uint64) uint8 { return uint8(hash >> 56) }

// bucketOf is the bucket of a hash.
func (sh *shard) bucketOf(hash uint64) uint32 {
	rest := uint32(hash >> shardBits)
	number := rest & sh.mask
	if number < sh.split {
		number = rest & (sh.mask<<1 | 1)
	}
	return number
}

// find returns the item with a key, and where the index has it; 0 if there is none.
func (sh *shard) find(s *Store, hash uint64, key []byte) (uint32, *uint32) {
	b := s.bucketAt(sh.bucketOf(hash), sh.number)
	tag := uint64(tagOf(hash)) * lowBits
	for {
		// A byte of matches has its high bit set where a tag is equal; now and then one
		// more is, which the look at the key sorts out.
		low := *(*uint64)(unsafe.Pointer(&b.tags[0])) ^ tag
		high := uint64(*(*uint32)(unsafe.Pointer(&b.tags[8]))) ^ tag&0xffffffff | 0xffffffff<<32
		matches := (low - lowBits) & ^low & highBits
		for base := 0; ; base = 8 {
			for ; matches != 0; matches &= matches - 1 {
				slot := &b.refs[base+bits.TrailingZeros64(matches)/8]
				if *slot == 0 {
					continue
				}
				h := s.at(*slot)
				if int(h.nkey) == len(key) && string(h.key()) == string(key) {
					return *slot, slot
				}
			}
			if base == 8 {
				break
			}
			matches = (high - lowBits) & ^high & highBits
		}
		if b.overflow == 0 {
			return 0, nil
		}
		b = s.overflowAt(b.overflow)
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// insert puts an item with a key that is not there into the index.
func (sh *shard) insert(s *Store, hash uint64, ref uint32) {
	sh.put(s, sh.bucketOf(hash), hash, ref)
	sh.items++
	if sh.items > (sh.mask+1+sh.split)*bucketLoad {
		sh.splitOne(s)
	}
}

// put puts an item into a bucket or its overflow.
func (sh *shard) put(s *Store, number uint32, hash uint64, ref uint32) {
	for b := s.bucketAt(number, sh.number); ; {
		for i, used := range b.refs {
			if used == 0 {
				b.refs[i], b.tags[i] = ref, tagOf(hash)
				return
			}
		}
		if b.overflow == 0 {
			b.overflow = sh.takeOverflow(s)
		}
		b = s.overflowAt(b.overflow)
	}
}

func (sh *shard) takeOverflow(s *Store) uint32 {
	if number := sh.spare; number != 0 {
		b := s.overflowAt(number)
		sh.spare = b.overflow
		*b = bucket{}
		return number
	}
	s.indexBytes.Add(bucketSize)
	return s.overflowUsed.Add(1)
}

// remove takes an item out of the index.
func (sh *shard) remove(s *Store, hash uint64, ref uint32) {
	var before *bucket
	for b := s.bucketAt(sh.bucketOf(hash), sh.number); ; {
		for i, used := range b.refs {
			if used == ref {
				b.refs[i], b.tags[i] = 0, 0
				sh.items--
				if before != nil && b.refs == [bucketItems]uint32{} {
					number := before.overflow
					before.overflow = b.overflow
					b.overflow = sh.spare
					sh.spare = number
				}
				return
			}
		}
		if b.overflow == 0 {
			return // cannot be: linked items are in the index
		}
		before, b = b, s.overflowAt(b.overflow)
	}
}

// splitOne moves about half of one bucket's items to a new one.
func (sh *shard) splitOne(s *Store) {
	from, to := sh.split, sh.split+sh.mask+1
	if int(to+1)*shardCount*bucketSize > len(s.buckets.bytes) {
		return // the reserve holds one for every item there can be
	}
	s.indexBytes.Add(bucketSize)
	chain := s.bucketAt(from, sh.number)
	wide := sh.mask<<1 | 1
	// The split is made first, so that put below finds the buckets' new places.
	if sh.split++; sh.split > sh.mask {
		sh.mask, sh.split = wide, 0
	}
	for b := chain; ; b = s.overflowAt(b.overflow) {
		for i, ref := range b.refs {
			if ref == 0 {
				continue
			}
			hash := s.hash(s.at(ref).key())
			if uint32(hash>>shardBits)&wide == to {
				b.refs[i], b.tags[i] = 0, 0
				sh.put(s, to, hash, ref)
			}
		}
		if b.overflow == 0 {
			break
		}
	}
	sh.pack(s, chain)
}

// pack moves the items of a chain to its front and gives emptied buckets back.
func (sh *shard) pack(s *Store, chain *bucket) {
	for chain.overflow != 0 {
		last, before := chain, (*bucket)(nil)
		for last.overflow != 0 {
			before, last = last, s.overflowAt(last.overflow)
		}
		for i, ref := range last.refs {
			if ref == 0 {
				continue
			}
			if !fillHole(s, chain, last, ref, last.tags[i]) {
				return
			}
			last.refs[i], last.tags[i] = 0, 0
		}
		number := before.overflow
		before.overflow = 0
		last.overflow = sh.spare
		sh.spare = number
	}
}

// fillHole puts an item into the first free place of a chain before its last bucket.
func fillHole(s *Store, chain, last *bucket, ref uint32, tag uint8) bool {
	for b := chain; b != last; b = s.overflowAt(b.overflow) {
		for i, used := range b.refs {
			if used == 0 {
				b.refs[i], b.tags[i] = ref, tag
				return true
			}
		}
	}
	return false
}

// bucketCount is how many buckets the shard has.
func (sh *shard) bucketCount() uint32 { return sh.mask + 1 + sh.split }
