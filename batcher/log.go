package batcher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Errors that are asked for with errors.Is.
var (
	// ErrFull: the Log holds nothing that the fastest cursor has acknowledged, or
	// has no cursor yet. Nothing was appended; the call may be made again, after
	// [Log.WaitRoom].
	ErrFull = errors.New("the log is full of what no cursor has acknowledged")
	// ErrFellOut: the cursor was a whole Log behind the fastest one. Its position
	// stands; reading goes on from there with another Log.
	ErrFellOut = errors.New("the cursor has fallen out of the log")
	// ErrTooOld: a cursor cannot begin at that position, for the Log no longer
	// holds, or never held, all that was to come there.
	ErrTooOld = errors.New("the log does not reach back to the position")
	// ErrClosed: the cursor was closed.
	ErrClosed = errors.New("the cursor is closed")
	// ErrOrder: the batch is not the oldest of its cursor's unacknowledged ones.
	ErrOrder = errors.New("the batch is not the cursor's oldest unacknowledged one")
)

// AllVisible is the watermark where visibility is not waited for: cursors read
// whatever has been published.
const AllVisible = math.MaxUint64

// Config is what a Log is made with.
type Config struct {
	// Bytes is the most that the Log's chunks take together; 0 is 64 MiB. At least
	// four chunks are taken.
	Bytes int64
	// ChunkBytes is the size of a chunk, the grain in which the Log fills, drops
	// and counts its room; 0 is 256 KiB, or an eighth of Bytes if that is less. At
	// least 4 KiB is taken.
	ChunkBytes int
	// KeepSlowest: the writer waits for the slowest cursor instead of the fastest, and
	// none falls out. It is for sources that cannot be read again.
	KeepSlowest bool
	// From is where the reading begins: all that is executed there, and nothing
	// else, lies before the Log's first transaction. Where the server has GTIDs it
	// must have a set, if only an empty one. The Log makes a copy.
	From binlog.Position
}

const (
	defaultBytes      = 64 << 20
	defaultChunkBytes = 256 << 10
	minChunks         = 4
)

// Log holds what has been read and not yet been acknowledged by the fastest
// cursor, and as much of what came before as there is room for. Chunks are
// allocated as they are first needed, then used again.
//
//	oldest chunk                                  last chunk
//	┌──────────┐   ┌──────────┐   ┌──────────┐   ┌──────────┐
//	│ c        │ → │        a │ → │     w    │ → │     p    │
//	└──────────┘   └──────────┘   └──────────┘   └──────────┘
//	  slowest        fastest       watermark      published
//
// When the writer needs a chunk and all are taken, the oldest goes, if the fastest
// cursor's acknowledged place is past it (cursors still in it fall out); otherwise
// the Log is full. A Log without cursors is full once its chunks are: nothing may
// be lost.
//
// A cursor counts here with those that trail it, as one that has acknowledged what
// all of them have, for the position is where all of them have come. That nobody waits
// for a delay, those that trail go on before it is over where the Log is too short.
//
// Methods may be called by any goroutine.
type Log struct {
	chunkBytes  int
	maxChunks   int
	keepSlowest bool

	// visible is the watermark. Held while it moves, or while it must not:
	// visibleMu, which is taken before mu.
	visible   atomic.Uint64
	visibleMu sync.Mutex
	risen     marks[uint64] // the watermark
	// appended is the last seq given to a transaction.
	appended atomic.Uint64
	// sources are the GTIDs, without Seq, of every source, tag and domain seen:
	// records name them by index. It grows as the server's own GTID set does.
	sources atomic.Pointer[[]binlog.GTID]
	// waiting counts the cursors that wait, so that Publish need not look.
	waiting atomic.Int32
	// closed: the writer will append nothing more. Set when all is published.
	closed atomic.Bool

	// baseMu guards base, tail and folded. It is taken before mu.
	baseMu sync.Mutex
	// base is the position before the oldest chunk, tail the place there: if tail is
	// open, the chunk begins inside that transaction. base may be ahead of the
	// oldest chunk by that one chunk, never behind.
	base binlog.Position
	tail place
	// folded is the number of the first chunk that has not been folded into base.
	folded uint64

	mu           sync.Mutex
	oldest, last *chunk
	chunks       int      // from oldest to last
	free         []*chunk // were in the Log and are ready to be used again
	cursors      []*Cursor
	hurries      uint64
	roomWanted   bool // somebody is in WaitRoom
	room         chan struct{}

	writer Writer
}

// NewLog makes an empty Log. Its watermark is 0: nothing can be read before
// [Log.SetVisible].
func NewLog(cfg Config) *Log {
	if cfg.Bytes <= 0 {
		cfg.Bytes = defaultBytes
	}
	if cfg.ChunkBytes <= 0 {
		cfg.ChunkBytes = int(min(defaultChunkBytes, cfg.Bytes/8))
	}
	cfg.ChunkBytes = max(cfg.ChunkBytes, minChunk)
	l := &Log{
		chunkBytes:  cfg.ChunkBytes,
		keepSlowest: cfg.KeepSlowest,
		maxChunks:   int(max(minChunks, cfg.Bytes/int64(cfg.ChunkBytes))),
		base:        cfg.From.Clone(),
		room:        make(chan struct{}, 1),
	}
	l.sources.Store(&[]binlog.GTID{{}}) // 0 is no GTID
	first := newChunk(l.chunkBytes)
	l.oldest, l.last, l.chunks = first, first, 1
	l.writer.init(l)
	return l
}

// Writer is the Log's one writer. It is always the same, and one goroutine's at a
// time.
func (l *Log) Writer() *Writer { return &l.writer }

// SetVisible moves the watermark up to seq: transactions up to that one can be read
// on the source by everybody. It never moves down, nor past the last transaction
// begun, whatever seq says, save that [AllVisible] lifts it for good.
func (l *Log) SetVisible(seq uint64) {
	l.visibleMu.Lock()
	defer l.visibleMu.Unlock()
	if seq != AllVisible {
		seq = min(seq, l.appended.Load())
	}
	if seq > l.visible.Load() {
		if seq != AllVisible {
			l.risen.note(seq)
		}
		l.raise(seq)
	}
}

// raise moves the watermark up and wakes who waited for it. visibleMu is held.
func (l *Log) raise(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visible.Store(seq)
	l.wake()
}

// Visible is the watermark: the seq of the last transaction that cursors may read.
func (l *Log) Visible() uint64 { return l.visible.Load() }

// Appended is the seq of the last transaction begun, 0 before the first. One wait
// until that transaction can be read covers all that has gathered. What has a
// higher seq than [Log.Visible] waits to become visible.
func (l *Log) Appended() uint64 { return l.appended.Load() }

// Capacity is the most bytes the Log's chunks take together.
func (l *Log) Capacity() int64 { return int64(l.maxChunks) * int64(l.chunkBytes) }

// Free is how many bytes can be appended, in whole chunks, before the Log is full.
func (l *Log) Free() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freeBytes()
}

func (l *Log) freeBytes() int64 {
	used := uint64(l.chunks)
	if f, ok := l.pace(); ok {
		used = l.last.number - f + 1
	}
	return int64(l.maxChunks-int(used)) * int64(l.chunkBytes)
}

// WaitRoom waits until free bytes can be appended before the Log is full, at most
// all but two of its chunks, or until ctx ends. The writer calls it after [ErrFull];
// a reading that has been closed because the Log stayed full resumes when half of
// it is free. Only one goroutine may wait.
func (l *Log) WaitRoom(ctx context.Context, free int64) error {
	free = min(free, int64(l.maxChunks-2)*int64(l.chunkBytes))
	for {
		l.mu.Lock()
		l.roomWanted = l.freeBytes() < free
		wait := l.roomWanted
		l.mu.Unlock()
		if !wait {
			return nil
		}
		select {
		case <-l.room:
		case <-ctx.Done():
			return fmt.Errorf("wait for room in the log: %w", ctx.Err())
		}
	}
}

// CanJoin tells whether a cursor may begin at pos: all that lies before the Log's
// oldest record has been executed there. A reading of somebody's own that has come
// so far can end, and its cursor go on here ([Log.NewCursor]).
func (l *Log) CanJoin(pos binlog.Position) bool {
	l.baseMu.Lock()
	defer l.baseMu.Unlock()
	return l.canJoin(pos)
}

func (l *Log) canJoin(pos binlog.Position) bool {
	if l.tail.open && !pos.Executed(l.tail.inv.GTID, l.tail.inv.File, l.tail.inv.Start) {
		return false
	}
	return l.base.IsZero() || pos.Equal(l.base) || pos.Covers(l.base)
}

// pace is how far the cursor has acknowledged that the writer keeps pace with: the
// number of the chunk it is in. Not ok if there is no cursor. mu is held.
func (l *Log) pace() (number uint64, ok bool) {
	for _, c := range l.cursors {
		if c.leader != nil {
			continue // it counts with the one it trails
		}
		held := c.held
		for _, t := range l.cursors {
			if t.leader == c {
				held = min(held, t.held)
			}
		}
		switch {
		case !ok:
			number, ok = held, true
		case l.keepSlowest:
			number = min(number, held)
		default:
			number = max(number, held)
		}
	}
	return number, ok
}

// grow makes room for one more chunk behind the last one, which is full, and
// returns it; or it returns ErrFull. The writer calls it.
func (l *Log) grow() (*chunk, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.cursors {
		l.hurry(c)
	}
	if l.chunks == l.maxChunks {
		if f, ok := l.pace(); !ok || f <= l.oldest.number {
			return nil, ErrFull
		}
		if err := l.dropOldest(); err != nil {
			return nil, err
		}
	}
	var c *chunk
	if n := len(l.free); n > 0 {
		c, l.free = l.free[n-1], l.free[:n-1]
		c.reset()
	} else {
		c = newChunk(l.chunkBytes)
	}
	c.number = l.last.number + 1
	c.start = l.last.start + l.last.published.Load()
	l.last.next.Store(c)
	l.last = c
	l.chunks++
	return c, nil
}

// hurry has a trailing cursor that will be in the writer's way, a quarter of the Log
// before it is, go on before its delay is over; one that is not any more waits again.
// mu is held.
func (l *Log) hurry(c *Cursor) {
	if c.leader == nil {
		return
	}
	late := l.last.number-c.held+1 >= uint64(l.maxChunks-l.maxChunks/4)
	if was := c.trail.hurried.Swap(late); late && !was {
		l.hurries++
	}
	if late {
		l.rouse(c)
	}
}

// Hurries counts how often trailing cursors had to go on before their delay was over,
// because the Log holds less than what came in the meantime.
func (l *Log) Hurries() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hurries
}

// dropOldest folds the oldest chunk into the base and takes it out of the Log. mu
// is held, but not while folding: that takes a fraction of a millisecond, and only
// the writer, whose goroutine this is, changes the list of chunks.
func (l *Log) dropOldest() error {
	l.mu.Unlock()
	l.baseMu.Lock()
	err := l.foldOldest()
	l.mu.Lock()
	// The lock is taken before the other is let go: who holds both, as NewCursor
	// does, must not see a base that is behind the oldest chunk.
	defer l.baseMu.Unlock()
	if err != nil {
		return err
	}
	// The fastest cursor may have been closed meanwhile.
	if f, ok := l.pace(); !ok || f <= l.oldest.number {
		return ErrFull
	}
	c := l.oldest
	l.oldest = c.next.Load()
	l.chunks--
	live := l.cursors[:0]
	for _, cur := range l.cursors {
		if cur.held > c.number {
			live = append(live, cur)
			continue
		}
		cur.err = ErrFellOut
		l.rouse(cur)
	}
	clear(l.cursors[len(live):])
	l.cursors = live
	l.release(c)
	return nil
}

// foldOldest moves base and tail past the oldest chunk, unless they are. baseMu is
// held, and the chunk stays where it is.
func (l *Log) foldOldest() error {
	c := l.oldest
	if c.number < l.folded {
		return nil
	}
	at := &l.tail
	at.enter(c)
	if err := at.foldTo(c.readable(), *l.sources.Load(), &l.base, nil); err != nil {
		return fmt.Errorf("drop the log's oldest chunk: %w", err)
	}
	// What aliases the chunk does not outlive it.
	at.chunk, at.inv.Schema, at.inv.Table = nil, nil, nil
	l.folded = c.number + 1
	return nil
}

// release gives a chunk that is no longer in the Log back, now or when the last of
// its readers leaves. mu is held.
func (l *Log) release(c *chunk) {
	c.dropped = true
	if c.pins == 0 && l.chunks+len(l.free) < l.maxChunks {
		l.free = append(l.free, c)
	}
}

// pin and unpin mark c as being read. mu is held.

func (l *Log) pin(c *chunk) { c.pins++ }

func (l *Log) unpin(c *chunk) {
	if c.pins--; c.pins == 0 && c.dropped {
		l.release(c)
	}
}

// wake rouses the cursors that wait, if what they wait for may have come. mu is
// held.
func (l *Log) wake() {
	vis := l.visible.Load()
	for _, c := range l.cursors {
		if !c.limited && c.want <= vis {
			l.rouse(c)
		}
	}
}

// rouse wakes c if it waits. mu is held.
func (l *Log) rouse(c *Cursor) {
	if !c.waiting {
		return
	}
	c.waiting = false
	l.waiting.Add(-1)
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// signalRoom tells the one in WaitRoom to look again. mu is held.
func (l *Log) signalRoom() {
	if !l.roomWanted {
		return
	}
	l.roomWanted = false
	select {
	case l.room <- struct{}{}:
	default:
	}
}
