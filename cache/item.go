package cache

import "unsafe"

// An item lies in one chunk of the store's memory:
//
//	header (40 bytes)
//	ring links (8 bytes, if shape has shapeRing)
//	first data chunk (4 bytes, if shape has shapeLarge)
//	key
//	value and "\r\n" (unless shape has shapeLarge)
//
// A large item's value lies in data chunks of their own, each with a header before it
// whose prev is the item and whose next is the following data chunk. Whatever a chunk
// holds, kind says so, in the same place; a free chunk's next is the next free chunk of
// its page.
//
// References (ref) count units of the store's memory; 0 is none.
type header struct {
	// prev and next are neighbours in the class's queue, the newer and the older one.
	// Guarded by the class's mu.
	prev, next uint32
	// exptime is the second (of the store's clock) at which the item is gone; 0: never.
	// A stub of a text lease only stops rationing then. Guarded, as all that follows
	// except kind, by the lock of the key's shard.
	exptime uint32
	// atime is the tick of the last access; of a deleted item with a token, that of the
	// grant.
	atime uint32
	// cas is the item's CAS id, and the token of whoever may fill it.
	cas uint64
	// flags are the client's; of a stub, the tick of the grant.
	flags uint32
	// vlen is the length of the value, without "\r\n".
	vlen uint32
	// nkey is the length of the key; immutable while linked, as the key is.
	nkey uint8
	// class is the class in whose queue the item is; immutable while linked.
	class uint8
	// kind changes with both the shard's and the class's lock held (of chunks that are
	// in no queue: by their owner), so that either suffices to read it.
	kind uint8
	// refs counts the pins.
	refs uint8
	bits uint16
	// gen is the flush generation in which the item was stored.
	gen uint8
	// shape says where key and value lie; immutable while linked.
	shape uint8
}

const (
	headerSize   = 40
	ringLinkSize = 8
	largeRefSize = 4
)

// What a chunk is.
const (
	kindFree   = iota
	kindDraft  // being filled by its owner
	kindLinked // an item in the index and in its class's queue
	kindStale  // a deleted item: in the index and in its class's list of stale values
	kindOrphan // an item that is in no index and no queue any more, but pinned
	kindData   // a data chunk
)

// What is to be known of an item.
const (
	bitVisited   = 1 << iota // accessed since the hand passed it
	bitFetched               // accessed since it was stored
	bitStale                 // marked stale by a meta command
	bitToken                 // somebody was told to fill it
	bitStub                  // stands for a value that somebody was told to fetch
	bitText                  // a stub of the text dialect
	bitInvisible             // deleted: only lease-get still sees its value
	bitBinary                // its key was given in base64
)

// What lies where in an item.
const (
	shapeRing  = 1 << iota // it has ring links
	shapeLarge             // its value lies in data chunks
)

func (s *Store) at(ref uint32) *header {
	return (*header)(unsafe.Add(s.base, uintptr(ref)<<(s.shift&31)))
}

func (h *header) has(bit uint16) bool { return h.bits&bit != 0 }

func (h *header) ringed() bool { return h.shape&shapeRing != 0 }

func (h *header) large() bool { return h.shape&shapeLarge != 0 }

// keyOffset is where the key begins.
func (h *header) keyOffset() uintptr {
	offset := uintptr(headerSize)
	if h.ringed() {
		offset += ringLinkSize
	}
	if h.large() {
		offset += largeRefSize
	}
	return offset
}

func (h *header) key() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(h), h.keyOffset())), int(h.nkey))
}

// body is the value and "\r\n" of an item that is not large.
func (h *header) body() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(h), h.keyOffset()+uintptr(h.nkey))), int(h.vlen)+2)
}

// ringLinks are the neighbours in the ring of expiry, of an item with shapeRing.
type ringLinks struct{ prev, next uint32 }

func (h *header) ring() *ringLinks {
	return (*ringLinks)(unsafe.Add(unsafe.Pointer(h), headerSize))
}

// firstData is the first data chunk of a large item.
func (h *header) firstData() *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(h), h.keyOffset()-largeRefSize))
}

// data is what a data chunk of n bytes holds.
func (h *header) data(n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(h), headerSize)), n)
}

// Item is an item as its Entry shows it: it is to be used only before the entry is
// unlocked.
type Item struct {
	store *Store
	h     *header
	ref   uint32
}

// Flags are the client's flags.
func (it Item) Flags() uint32 {
	if it.h.has(bitStub) {
		return 0
	}
	return it.h.flags
}

// CAS is the item's CAS id.
func (it Item) CAS() uint64 { return it.h.cas }

// Size is the length of the value in bytes.
func (it Item) Size() int { return int(it.h.vlen) }

// TTL is for how many seconds the item will stay, and -1 for one that stays for ever.
func (it Item) TTL() int64 {
	if it.h.exptime == 0 {
		return -1
	}
	return int64(it.h.exptime) - int64(it.store.now.Load())
}

// Idle is how many seconds ago the item was last accessed.
func (it Item) Idle() int64 {
	return int64(it.store.tick.Load()/ticksPerSecond) - int64(it.h.atime/ticksPerSecond)
}

// Fetched reports whether the item was accessed since it was stored.
func (it Item) Fetched() bool { return it.h.has(bitFetched) }

// Stale reports whether the item was marked stale.
func (it Item) Stale() bool { return it.h.has(bitStale) }

// TokenSent reports whether somebody was told to fill the item.
func (it Item) TokenSent() bool { return it.h.has(bitToken) }

// Stub reports whether the item stands for a value that somebody was told to fetch.
func (it Item) Stub() bool { return it.h.has(bitStub) }

// Plain reports whether the item is what the classic commands see: neither a stub nor
// stale.
func (it Item) Plain() bool { return !it.h.has(bitStub | bitStale | bitInvisible) }

// Binary reports whether the item's key was given in base64.
func (it Item) Binary() bool { return it.h.has(bitBinary) }

// Large reports whether the value is too long for one chunk.
func (it Item) Large() bool { return it.h.large() }

// Held reports whether somebody is sending the value from where it lies: it is not to be
// written to.
func (it Item) Held() bool { return it.h.refs > 0 }

// Exptime is the second of the store's clock at which the item is gone; 0: never.
func (it Item) Exptime() uint32 { return it.h.exptime }

// Class is the size class whose memory the item takes, from 1.
func (it Item) Class() int { return int(it.h.class) + 1 }

// Memory is how many bytes the item takes: header, key and value.
func (it Item) Memory() int {
	return int(it.h.keyOffset()) + int(it.h.nkey) + int(it.h.vlen) + 2
}

// AppendBody appends the value and "\r\n" to dst.
func (it Item) AppendBody(dst []byte) []byte {
	if !it.h.large() {
		return append(dst, it.h.body()...)
	}
	for piece := range it.pieces {
		dst = append(dst, piece...)
	}
	return dst
}

// WriteValue writes the value, without "\r\n", to a draft.
func (it Item) WriteValue(d *Draft) {
	left := it.Size()
	for piece := range it.pieces {
		n := min(left, len(piece))
		d.Write(piece[:n])
		left -= n
	}
}

// pieces yields the value and "\r\n" as the store holds it.
func (it Item) pieces(yield func([]byte) bool) {
	if !it.h.large() {
		yield(it.h.body())
		return
	}
	left := int(it.h.vlen) + 2
	for ref := *it.h.firstData(); left > 0; {
		chunk := it.store.at(ref)
		n := min(left, dataSize)
		if !yield(chunk.data(n)) {
			return
		}
		left -= n
		ref = chunk.next
	}
}

// Pin is a hold on an item: until Unpin its memory is not reused. The zero Pin holds
// nothing.
type Pin struct{ ref, shard uint32 }

// maxPins is how many holds one item can have.
const maxPins = 255

// AppendPieces appends to dst the value and "\r\n" as they lie in the store, and a hold
// on them; ok is false, and nothing is held, where the item has as many holds as it can.
func (it Item) AppendPieces(dst [][]byte) (pieces [][]byte, pin Pin, ok bool) {
	if it.h.refs == maxPins {
		return dst, Pin{}, false
	}
	it.h.refs++
	for piece := range it.pieces {
		dst = append(dst, piece)
	}
	return dst, Pin{ref: it.ref, shard: uint32(it.store.hash(it.h.key())) & shardMask}, true
}

// Unpin gives a hold back. Any goroutine may call it, holding no Entry.
func (s *Store) Unpin(p Pin) {
	if p.ref == 0 {
		return
	}
	shard := &s.shards[p.shard]
	shard.mu.Lock()
	h := s.at(p.ref)
	h.refs--
	free := h.refs == 0 && h.kind == kindOrphan
	shard.mu.Unlock()
	if free {
		s.release(p.ref)
	}
}
