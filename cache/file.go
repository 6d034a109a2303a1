package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A file that keeps the items over a restart is the store's memory itself, mapped:
//
//	page 0       the head: what is below
//	pages 1…     the items
//	after those  four bytes a page: class, in use, chunks used so far
//
// The head is written when the store is closed, and taken back when it is opened again:
// of a store that was not closed nothing is believed. The index is not kept; it is made
// anew from the items.
type keepFile struct {
	file *os.File
	// Cold says why nothing was taken over; empty if something was.
	cold string
}

const (
	fileMagic = "mcsqueal cache 2"
	headClean = len(fileMagic) // one byte: 1 if closed
	headBegin = headClean + 8
	tableSize = 4 // of a page
)

// openFile maps the file, all of it allocated, so that a full file system shows now and
// not as a fault later.
func (s *Store) openFile(size int, now time.Time) (err error) {
	name := s.config.File
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the memory file: %w", err)
	}
	s.file = &keepFile{file: file}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
			s.file = nil
		}
	}()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w; is another server using it?", name, err)
	}
	total := int64(size + len(s.pages.all)*tableSize)
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at the memory file: %w", err)
	}
	if info.Size() != total {
		if info.Size() > 0 {
			s.file.cold = fmt.Sprintf("%s has %d bytes and not %d: it is of a cache of another size", name, info.Size(), total)
		} else {
			s.file.cold = name + " is new"
		}
		if err := errors.Join(file.Truncate(0), file.Truncate(total)); err != nil {
			return fmt.Errorf("size %s: %w", name, err)
		}
	}
	if err := allocate(file, total); err != nil {
		return fmt.Errorf("allocate %d MiB for %s: %w; give it a file system with that much space, or the cache less memory", total>>20, name, err)
	}
	if s.memory, err = mapFile(file, size); err != nil {
		return err
	}
	s.base = s.memory.base()
	if err = s.lockMemory(); err != nil { // before anything of the file is changed
		return err
	}
	if s.file.cold == "" {
		s.file.cold = s.load(now)
	}
	if s.file.cold != "" {
		// Only what has been carved into chunks is ever looked at: the old bytes may stay.
		clear(s.memory.bytes[:pageSize])
	}
	s.memory.bytes[headClean] = 0
	return unix.Msync(s.memory.bytes[:pageSize], unix.MS_SYNC)
}

// Cold says why nothing of the file was taken over at the start; empty if it was, or if
// there is no file.
func (s *Store) Cold() string {
	if s.file == nil {
		return ""
	}
	return s.file.cold
}

// closeFile writes what load reads.
func (s *Store) closeFile(now time.Time) error {
	file := s.file.file
	table := make([]byte, len(s.pages.all)*tableSize)
	for i, p := range s.pages.all {
		if p.state == pageUnused {
			continue
		}
		table[i*tableSize], table[i*tableSize+1] = p.class, 1
		binary.LittleEndian.PutUint16(table[i*tableSize+2:], p.fresh)
	}
	if _, err := file.WriteAt(table, int64(len(s.memory.bytes))); err != nil {
		return errors.Join(fmt.Errorf("write the memory file: %w", err), file.Close())
	}
	s.clock.advance(s, now)
	head := s.appendSettings([]byte(fileMagic + "\x00\x00\x00\x00\x00\x00\x00\x00"))
	head = binary.LittleEndian.AppendUint64(head, uint64(s.clock.epoch))
	head = binary.LittleEndian.AppendUint32(head, s.tick.Load())
	head = binary.LittleEndian.AppendUint64(head, s.cas.Load())
	head = binary.LittleEndian.AppendUint32(head, s.gen.Load())
	head = binary.LittleEndian.AppendUint32(head, s.flushes.at)
	head = binary.LittleEndian.AppendUint32(head, s.lastHoldoff())
	for _, c := range s.classes[:s.valueClasses] {
		head = binary.LittleEndian.AppendUint32(head, c.queue.newest)
		head = binary.LittleEndian.AppendUint32(head, c.queue.oldest)
		head = binary.LittleEndian.AppendUint32(head, c.hand)
		head = binary.LittleEndian.AppendUint32(head, uint32(c.queue.len))
	}
	copy(s.memory.bytes[:pageSize], head)
	err := unix.Msync(s.memory.bytes, unix.MS_SYNC)
	if err == nil {
		s.memory.bytes[headClean] = 1
		err = unix.Msync(s.memory.bytes[:pageSize], unix.MS_SYNC)
	}
	if err != nil {
		err = fmt.Errorf("write the memory file: %w", err)
	}
	return errors.Join(err, file.Close())
}

// appendSettings appends what a file must agree in.
func (s *Store) appendSettings(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, s.shift)
	b = binary.LittleEndian.AppendUint32(b, uint32(s.valueClasses))
	for _, c := range s.classes {
		b = binary.LittleEndian.AppendUint32(b, uint32(c.size))
	}
	return b
}

// lastHoldoff is the tick at which the last hold-off ends.
func (s *Store) lastHoldoff() uint32 {
	last := s.refuseUntil.Load()
	for i := range s.shards {
		for _, held := range s.shards[i].holdoffs {
			last = max(last, held.until)
		}
	}
	return last
}

// load takes the items of a closed store over. It returns why it did not.
func (s *Store) load(now time.Time) (cold string) {
	head := s.memory.bytes[:pageSize]
	switch {
	case string(head[:len(fileMagic)]) != fileMagic:
		return s.config.File + " was never closed by this server"
	case head[headClean] != 1:
		return s.config.File + " was not closed: the last server was killed"
	}
	settings := s.appendSettings(nil)
	if string(head[headBegin:headBegin+len(settings)]) != string(settings) {
		return s.config.File + " was written with other size classes"
	}
	table := make([]byte, len(s.pages.all)*tableSize)
	if _, err := s.file.file.ReadAt(table, int64(len(s.memory.bytes))); err != nil {
		return fmt.Sprintf("read %s: %v", s.config.File, err)
	}
	rest := head[headBegin+len(settings):]
	u32 := func() uint32 { v := binary.LittleEndian.Uint32(rest); rest = rest[4:]; return v }
	u64 := func() uint64 { v := binary.LittleEndian.Uint64(rest); rest = rest[8:]; return v }
	epoch, tick, cas, gen, flushAt, heldUntil := int64(u64()), u32(), u64(), u32(), u32(), u32()
	queues, hands := make([]list, s.valueClasses), make([]uint32, s.valueClasses)
	for i := range queues {
		queues[i].newest, queues[i].oldest, hands[i], queues[i].len = u32(), u32(), u32(), int(u32())
	}
	v := verifier{s: s, table: table}
	if wrong := v.verify(queues, hands); wrong != "" {
		return s.config.File + " is damaged: " + wrong
	}
	epoch = min(max(epoch, -maxEpoch), maxEpoch)
	stopped := time.Duration(tick) * time.Second / ticksPerSecond
	if now.Before(time.Unix(epoch, 0).Add(stopped)) {
		// A clock that was set back while nobody ran: the store's goes on from where it
		// stood.
		epoch = now.Add(-stopped).Unix()
	}
	if now.Unix()-epoch >= maxUptime {
		return s.config.File + " is of a time too long ago, or the clock is wrong"
	}
	s.cas.Store(max(s.cas.Load(), cas+1))
	s.gen.Store(gen)
	s.flushes.swept = gen
	s.tick.Store(0)
	s.clock.set(s, now, epoch)
	if s.flushes.at = flushAt; flushAt != 0 && flushAt <= s.now.Load() {
		// It came due while nobody ran.
		s.flushes.at = 0
		s.gen.Add(1)
	}
	// The keys' hashes are others now: until the last hold-off ends, nobody adds anything.
	s.refuseUntil.Store(min(heldUntil, s.tick.Load()+uint32(maxHoldoff/time.Second)*ticksPerSecond))
	for i, c := range s.classes[:s.valueClasses] {
		c.queue, c.hand = queues[i], hands[i]
	}
	s.loadPages(table)
	return ""
}

// maxEpoch bounds what is believed of a store's beginning: some thirty thousand years.
const maxEpoch = 1 << 40

// maxUptime is how many seconds after its beginning a store's ticks have no more room in
// 32 bits, with a year to spare.
const maxUptime = 1<<32/ticksPerSecond - 365*24*60*60

// loadPages makes the index anew, and the lists of free chunks.
func (s *Store) loadPages(table []byte) {
	for number := range s.pages.all {
		row := table[number*tableSize:][:tableSize]
		if row[1] == 0 || int(row[0]) >= s.valueClasses {
			continue // unused, or of stubs, whose tokens are void
		}
		p := &s.pages.all[number]
		p.class, p.fresh = row[0], binary.LittleEndian.Uint16(row[2:])
		p.state = pageFull
		c := s.classes[p.class]
		for i := range uint32(p.fresh) {
			s.loadChunk(s.pageStart(uint32(number)) + i*c.units)
		}
	}
	for number := 1; number < len(s.pages.all); number++ {
		p := &s.pages.all[number]
		if p.state == pageUnused {
			s.pages.unused = append(s.pages.unused, uint32(number))
			continue
		}
		s.pages.inUse++
		s.loadFree(uint32(number), p)
	}
	s.pages.next = uint32(len(s.pages.all))
}

// loadChunk puts an item that is still good into the index, and frees one that is not.
func (s *Store) loadChunk(ref uint32) {
	h := s.at(ref)
	switch h.kind {
	case kindLinked:
	case kindData:
		return
	default:
		h.kind = kindFree
		return
	}
	c := s.classes[h.class]
	h.refs = 0
	if h.has(bitStub|bitStale|bitInvisible) || s.gone(h) {
		if c.hand == ref {
			c.hand = h.prev
		}
		c.queue.remove(s, h)
		h.kind = kindFree
		return
	}
	h.bits &^= bitToken
	hash := s.hash(h.key())
	sh := &s.shards[hash&shardMask]
	sh.insert(s, hash, ref)
	if h.ringed() {
		sh.ring.add(s, ref, h)
	}
	c.bytes.Add(h.memory())
	s.itemBytes.Add(h.memory())
	s.itemCount.Add(1)
}

// loadFree links the chunks of a page that hold nothing.
func (s *Store) loadFree(number uint32, p *page) {
	c := s.classes[p.class]
	c.pages++
	for i := range uint32(p.fresh) {
		ref := s.pageStart(number) + i*c.units
		h := s.at(ref)
		if h.kind == kindLinked || h.kind == kindData && s.at(h.prev).kind == kindLinked && s.at(h.prev).large() {
			p.live++
			c.live++
			continue
		}
		h.kind, h.next = kindFree, p.free
		p.free = ref
	}
	switch {
	case p.live == 0:
		c.pages--
		s.pages.inUse--
		p.state = pageUnused
		s.pages.unused = append(s.pages.unused, number)
	case p.free != 0 || int(p.fresh) < c.perPage:
		s.addPartial(c, number)
	}
}
