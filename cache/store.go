// Package cache is a store of items in memory of a fixed size, outside the garbage
// collector's sight: what a memcached keeps, with leases, stale values and hold-offs (the
// paper, "Scaling Memcache at Facebook", NSDI 2013, §3.2.1 and §4.3).
//
// A key's state is seen and changed through an Entry, which locks it: whatever a command
// does to a key is one step for everybody else. Values are copied out, or sent from where
// they lie while a Pin holds them. Package cache/server speaks memcached's protocols over
// it.
package cache

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxKey is the length of the longest key, in bytes, as memcached's.
const MaxKey = 250

// Config says how a store is made. Its zero value is a store of 64 MiB.
type Config struct {
	// Memory bounds items and index, in bytes. 0: 64 MiB.
	Memory int64
	// MaxItem bounds an item, in bytes, key and value. 0: 1 MiB.
	MaxItem int
	// Growth is the factor from one size class to the next. 0: 1.08.
	Growth float64
	// SmallestChunk is the chunk size of the smallest class, in bytes, with the 40 bytes
	// that every item takes beside key and value. 0: 64.
	SmallestChunk int
	// NoEviction answers ErrNoMemory instead of evicting.
	NoEviction bool
	// LeaseInterval is for how long one token of the text dialect keeps others waiting.
	// 0: ten seconds, as the paper has it.
	LeaseInterval time.Duration
	// StaleTime is how long a deleted value can be had by those who ask for stale ones.
	// 0: not at all.
	StaleTime time.Duration
	// File keeps the items over a restart; empty: they are lost.
	File string
	// Lock keeps the memory from being paged out.
	Lock bool
}

// Errors of Draft.
var (
	ErrTooLarge = errors.New("object too large for cache")
	ErrNoMemory = errors.New("out of memory storing object")
)

// Store is a cache. Any number of goroutines may use it at once; no goroutine may lock a
// second Entry while it has one.
type Store struct {
	config Config
	seed   maphash.Seed

	memory   region
	base     unsafe.Pointer
	shift    uint32 // of a reference, to a byte
	buckets  region
	overflow region
	file     *keepFile

	shards       [shardCount]shard
	classes      []*class
	valueClasses int // the first of classes; the rest are for stubs
	classFor     []uint8
	pages        pages
	sidePages    int
	holdoffPages int
	staleBudget  int64
	staleBytes   atomic.Int64
	itemCount    atomic.Int64
	itemBytes    atomic.Int64
	itemTotal    atomic.Uint64

	limit        atomic.Int64 // of items and index, in bytes
	most         int64        // the most that limit can be
	indexBytes   atomic.Int64
	overflowUsed atomic.Uint32

	started uint32        // tick
	now     atomic.Uint32 // seconds of the store's clock
	tick    atomic.Uint32 // the same in ticks
	cas     atomic.Uint64
	gen     atomic.Uint32 // of the last flush; items of others are gone
	// refuseUntil is the tick until which every add is refused, since a hold-off had no
	// place.
	refuseUntil atomic.Uint32
	leases      leaseCounts
	onEvict     atomic.Pointer[func(Item)]

	clock    clock
	flushes  flushes
	balance  sync.Mutex // held by whoever moves pages between classes
	weighed  uint32     // tick of the last look at it; guarded by balance
	draining []uint32   // pages that could not be emptied at once; guarded by balance
	moved    atomic.Uint64

	stop chan struct{}
	done chan struct{}
}

// budgetShare is the part of the memory for stubs, stale values and hold-offs, which never
// evict values.
const budgetShare = 20

// New makes a store and starts its upkeep; Close ends it.
func New(config Config) (*Store, error) {
	s, err := newStore(config, growthReserve, time.Now())
	if errors.Is(err, unix.ENOMEM) {
		// A system that commits no more than it has: without room to grow, then.
		s, err = newStore(config, 1, time.Now())
	}
	if err != nil {
		return nil, err
	}
	go s.upkeep()
	return s, nil
}

// newStore makes a store for which reserve times its memory is reserved, without upkeep.
func newStore(config Config, reserve int64, now time.Time) (*Store, error) {
	if config.Memory == 0 {
		config.Memory = 64 << 20
	}
	if config.MaxItem == 0 {
		config.MaxItem = 1 << 20
	}
	if config.Growth == 0 {
		config.Growth = 1.08
	}
	if config.SmallestChunk == 0 {
		config.SmallestChunk = 64
	}
	if config.LeaseInterval == 0 {
		config.LeaseInterval = 10 * time.Second
	}
	if config.Growth <= 1 {
		return nil, fmt.Errorf("a growth factor of %g makes no size classes: it must be greater than 1", config.Growth)
	}
	if config.Memory > maxMemory {
		return nil, fmt.Errorf("%d MiB of memory are more than the %d that a cache can have", config.Memory>>20, maxMemory>>20)
	}
	config.Memory = max(config.Memory, minMemory)
	if config.File != "" {
		config.Memory &^= pageSize - 1
	}
	s := &Store{
		config: config, seed: maphash.MakeSeed(), shift: 3,
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.limit.Store(config.Memory)
	s.most = config.Memory
	if config.File == "" && !config.Lock {
		// Address space for cache_memlimit to grow into: as long as references to it
		// still tell apart chunks that differ little.
		s.most = max(config.Memory, min(config.Memory*reserve, maxRefs<<growthShift))
	}
	for s.most>>s.shift > maxRefs {
		s.shift++
	}
	pageCount := int(s.most>>pageShift) + 1
	s.pages.all = make([]page, pageCount)
	s.pages.next = 1
	budget := config.Memory / budgetShare
	s.sidePages = max(4, int(budget*3/8)>>pageShift)
	s.staleBudget = budget * 4 / 8
	s.makeHoldoffs(budget / 8)
	s.makeClasses()
	if err := s.makeIndex(); err != nil {
		return nil, err
	}
	s.clock.set(s, now, now.Unix()-firstSecond)
	s.cas.Store(firstCAS(now))
	if err := s.makeMemory(now); err != nil {
		return nil, errors.Join(err, s.unmap())
	}
	s.started = s.tick.Load()
	return s, nil
}

// maxRefs is how many references there are, without those behind the last page's begin.
const maxRefs = 1<<32 - pageSize

// growthShift bounds the unit of references where that is for memory which cache_memlimit
// may or may not ask for: chunk sizes are multiples of it.
const growthShift = 4

// maxMemory is the most a store can have. What is known of its pages takes a ten
// thousandth of that, at once.
const maxMemory = 1 << 44

// minMemory is the least a store can do with: the largest item there can be by default, of
// which header, chunks and rest lie in pages of three classes, fits beside others.
const minMemory = 32 * pageSize

func (s *Store) makeMemory(now time.Time) error {
	size := len(s.pages.all) << pageShift
	var err error
	if s.config.File == "" {
		s.memory, err = reserve(size, true)
		if err != nil {
			return err
		}
		s.base = s.memory.base()
		return s.lockMemory()
	}
	return s.openFile(size, now)
}

func (s *Store) lockMemory() error {
	if !s.config.Lock {
		return nil
	}
	if err := s.memory.lock(); err != nil {
		return fmt.Errorf("lock %d MiB of memory: %w; raise the limit (ulimit -l, LimitMEMLOCK=)", len(s.memory.bytes)>>20, err)
	}
	return nil
}

func (s *Store) makeIndex() error {
	// One bucket for bucketLoad of the smallest items there can be, and every second of
	// them overflowing, is more than there will ever be.
	most := int(s.most)/(headerSize+8)/bucketLoad + 2*shardCount
	var err error
	if s.buckets, err = reserve((most+shardCount)*bucketSize, true); err != nil {
		return err
	}
	if s.overflow, err = reserve((most/2+2*shardCount)*bucketSize, false); err != nil {
		return err
	}
	s.indexBytes.Store(shardCount * bucketSize)
	for i := range s.shards {
		s.shards[i].number = uint32(i)
	}
	return nil
}

// Close ends the upkeep and gives the memory back; with a file, what is stored is kept for
// the next start. Nobody may use the store any more.
func (s *Store) Close() error {
	close(s.stop)
	<-s.done
	var err error
	if s.file != nil {
		err = s.closeFile(time.Now())
	}
	return errors.Join(err, s.unmap())
}

func (s *Store) unmap() error {
	return errors.Join(s.memory.close(), s.buckets.close(), s.overflow.close())
}

// firstCAS is where CAS ids begin: they are never reused over restarts, since a second has
// fewer stores than its share of numbers, and nobody can tell where they stand. They stay
// below 2^63, for clients that take them for signed.
func firstCAS(now time.Time) uint64 {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return uint64(now.Unix())<<31&(1<<62-1) | binary.LittleEndian.Uint64(random[:])>>34
}

func (s *Store) nextCAS() uint64 { return s.cas.Add(1) }

// gone reports whether an item is there no more: flushed, or past its time. Of a stub of
// the text dialect that is much later than the time at which it stops rationing.
func (s *Store) gone(h *header) bool { return s.goneIn(h, uint8(s.gen.Load())) }

// goneIn is gone as of a flush generation.
func (s *Store) goneIn(h *header, gen uint8) bool {
	if h.gen != gen {
		return true
	}
	now := s.now.Load()
	if h.exptime == 0 || h.exptime > now {
		return false
	}
	return !h.has(bitText) || h.exptime+textStubSeconds <= now
}

// textStubSeconds is how long a token of the text dialect stays valid after its interval,
// if memory allows.
const textStubSeconds = 3600
