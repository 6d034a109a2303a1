package batcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// TestEveryClusterGetsEveryKeyOnceItIsVisible plays a small source to several
// targets of different speed, each with goroutines of its own, as the daemon does:
// the dump breaks off, closes when the Log is full, fails over; targets lose
// connections and refuse keys; the slow ones fall out of the Log, read the source
// on their own, and join again. At the end each has got every key, none before its
// transaction was visible, and its position covers everything. It is worth most
// under the race detector.
func TestEveryClusterGetsEveryKeyOnceItIsVisible(t *testing.T) {
	defer goleak.VerifyNone(t)
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := newSource(seed, 3000)
			var wg sync.WaitGroup
			shared := s.reading(binlog.Position{GTIDs: binlog.NewGTIDSet(binlog.MySQL)}, 8)
			targets := make([]*target, 4)
			for i := range targets {
				targets[i] = s.target(t, shared.log, uint64(i))
			}
			ctx := t.Context()
			wg.Go(func() { shared.write(ctx, t, rand.New(rand.NewPCG(seed, 1)), true) })
			wg.Go(func() { shared.watch() })
			for _, g := range targets {
				wg.Go(func() { g.run(ctx, t) })
			}
			wg.Wait()
			fell := 0
			for _, g := range targets {
				g.check(t)
				fell += g.fell
			}
			if fell == 0 {
				t.Error("no target has fallen out: the test shows nothing")
			}
			t.Logf("%d truncations, %d times out of the log", shared.truncations, fell)
		})
	}
}

// source is what a server holds.
type source struct {
	txs  []*sourceTx
	byID map[binlog.GTID]*sourceTx
}

type sourceTx struct {
	gtid    binlog.GTID
	start   uint64
	keys    []string
	visible atomic.Bool // can be read on the source
}

func newSource(seed uint64, n int) *source {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &source{byID: map[binlog.GTID]*sourceTx{}}
	var gno [2]uint64
	for i := range n {
		sid := r.IntN(2)
		gno[sid]++
		tx := &sourceTx{gtid: binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{byte(sid)}, Seq: gno[sid]}, start: uint64(4 + 10*i)}
		keys := r.IntN(6)
		if r.IntN(100) == 0 {
			keys = 2000 // more than the Log holds
		}
		for k := range keys {
			tx.keys = append(tx.keys, fmt.Sprintf("key:%d:%d", i%50, k))
		}
		s.txs = append(s.txs, tx)
		s.byID[tx.gtid] = tx
	}
	return s
}

// reading is a Log, what writes it, and what moves its watermark.
type reading struct {
	source *source
	log    *Log
	from   binlog.Position

	mu          sync.Mutex
	seqs        []*sourceTx // by seq; index 0 is not used
	done        chan struct{}
	truncations int
}

func (s *source) reading(from binlog.Position, chunks int64) *reading {
	return &reading{
		source: s,
		log:    NewLog(Config{Bytes: chunks * minChunk, ChunkBytes: minChunk, From: from}),
		from:   from.Clone(),
		seqs:   make([]*sourceTx, 1),
		done:   make(chan struct{}),
	}
}

var sourceFile = binlog.File{Name: "bin.000001", Server: "a"}

// write reads the source, with all that can happen to a dump, until ctx ends or all
// is read; then it closes the Log.
func (rd *reading) write(ctx context.Context, t *testing.T, r *rand.Rand, faults bool) {
	defer close(rd.done)
	w := rd.log.Writer()
	must(t, w.File(sourceFile))
	pos := rd.from
again:
	for {
		for _, tx := range rd.source.txs {
			if pos.Executed(tx.gtid, sourceFile, tx.start) {
				continue
			}
			for !rd.transaction(ctx, t, w, r, tx) {
				if ctx.Err() != nil {
					return
				}
				w.Abort() // and once more
			}
			if faults && r.IntN(300) == 0 {
				var err error
				pos, err = w.Truncate()
				must(t, err)
				rd.truncations++
				continue again
			}
		}
		break
	}
	for retry(ctx, rd.log, w.Close()) {
	}
}

// transaction appends tx, or breaks off.
func (rd *reading) transaction(ctx context.Context, t *testing.T, w *Writer, r *rand.Rand, tx *sourceTx) bool {
	seq, err := w.Begin(Transaction{GTID: tx.gtid, Start: tx.start, Time: 1, Read: 1})
	must(t, err)
	rd.mu.Lock()
	if seq == uint64(len(rd.seqs)) {
		rd.seqs = append(rd.seqs, tx)
	}
	if rd.seqs[seq] != tx {
		t.Errorf("seq %d was given to two transactions", seq)
	}
	rd.mu.Unlock()
	w.Statement(Tag, []byte("s"), []byte("t"))
	for n, key := range tx.keys {
		if n > 0 && r.IntN(1000) == 0 {
			return false
		}
		for {
			err := w.Key([]byte(key))
			if err == nil {
				break
			}
			if !retry(ctx, rd.log, err) || r.IntN(2) == 0 {
				return false
			}
		}
		if r.IntN(10) == 0 {
			w.Publish()
		}
	}
	for {
		err := w.End(tx.start + 10)
		if err == nil {
			break
		}
		if !retry(ctx, rd.log, err) {
			return false
		}
	}
	if r.IntN(3) == 0 {
		w.Publish()
	}
	return true
}

// retry tells whether what returned err is to be called again.
func retry(ctx context.Context, l *Log, err error) bool {
	return errors.Is(err, ErrFull) && l.WaitRoom(ctx, l.Capacity()/2) == nil
}

// watch moves the watermark behind the writer's back, until it has finished.
func (rd *reading) watch() {
	for {
		var finished bool
		select {
		case <-rd.done:
			finished = true
		default:
		}
		seq := rd.log.Appended()
		rd.mu.Lock()
		seq = min(seq, uint64(len(rd.seqs))-1)
		for n := rd.log.Visible() + 1; n <= seq; n++ {
			rd.seqs[n].visible.Store(true)
		}
		rd.mu.Unlock()
		rd.log.SetVisible(seq)
		if finished {
			return
		}
		runtime.Gosched()
	}
}

// follow moves the watermark of a reading of one's own: up to what the source says
// is visible.
func (rd *reading) follow(ctx context.Context) {
	visible := uint64(0)
	for ctx.Err() == nil {
		rd.mu.Lock()
		n := uint64(len(rd.seqs))
		for visible+1 < n && rd.seqs[visible+1].visible.Load() {
			visible++
		}
		rd.mu.Unlock()
		rd.log.SetVisible(visible)
		runtime.Gosched()
	}
}

// target is a cache behind a cursor.
type target struct {
	source  *source
	shared  *Log
	cursor  *Cursor
	r       *rand.Rand
	pauses  bool
	got     map[binlog.GTID]map[string]bool
	refused []func()
	fell    int
}

func (s *source) target(t *testing.T, shared *Log, n uint64) *target {
	t.Helper()
	c, err := shared.NewCursor(binlog.Position{})
	must(t, err)
	return &target{source: s, shared: shared, cursor: c, r: rand.New(rand.NewPCG(n, 7)), pauses: n > 0, got: map[binlog.GTID]map[string]bool{}}
}

// delivery is a batch in flight.
type delivery struct {
	b    Batch
	keys []deliveredPair
}

type deliveredPair struct {
	gtid binlog.GTID
	key  string
}

// run takes and acknowledges until the shared Log has been read to its end.
func (g *target) run(ctx context.Context, t *testing.T) {
	for {
		err := g.consume(ctx, t, nil)
		switch {
		case err == io.EOF:
			return
		case !errors.Is(err, ErrFellOut):
			t.Errorf("take from the shared log: %v", err)
			return
		}
		g.fell++
		if !g.catchUp(ctx, t) {
			return
		}
	}
}

// catchUp reads the source from the cursor's position until the shared Log can be
// joined.
func (g *target) catchUp(ctx context.Context, t *testing.T) bool {
	pos := g.cursor.Position()
	g.resolve(len(g.refused)) // they come again
	own := g.source.reading(pos, 4)
	var err error
	if g.cursor, err = own.log.NewCursor(pos); err != nil {
		t.Errorf("cursor of one's own reading: %v", err)
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	r := rand.New(rand.NewPCG(g.r.Uint64(), 0))
	wg.Go(func() { own.write(ctx, t, r, false) })
	wg.Go(func() { own.follow(ctx) })
	for {
		err := g.consume(ctx, t, func() bool { return g.shared.CanJoin(g.cursor.Position()) })
		if err != nil && err != io.EOF {
			t.Errorf("take from one's own log: %v", err)
			return false
		}
		joined, err := g.shared.NewCursor(g.cursor.Position())
		if errors.Is(err, ErrTooOld) {
			continue // the shared Log was quicker
		}
		must(t, err)
		g.cursor.Close()
		g.cursor = joined
		return true
	}
}

// consume takes and acknowledges until until says so, or Next an error.
func (g *target) consume(ctx context.Context, t *testing.T, until func() bool) error {
	var flight []*delivery
	for {
		if until != nil && len(flight) == 0 && len(g.refused) == 0 && until() {
			return nil
		}
		if len(flight) < 3 && (until == nil || g.r.IntN(4) > 0) {
			d := &delivery{}
			next, cancel := ctx, context.CancelFunc(func() {})
			if len(flight) > 0 {
				// The writer may wait for the room that these take: they are acknowledged
				// whatever comes.
				next, cancel = context.WithTimeout(ctx, time.Millisecond)
			}
			err := g.cursor.Next(next, &d.b, Limits{Keys: 1 + g.r.IntN(100)}, func(dst []byte, inv *Invalidation) []byte {
				tx := g.source.byID[inv.GTID]
				if !tx.visible.Load() {
					t.Errorf("took a key of %v, which is not visible", inv.GTID)
				}
				d.keys = append(d.keys, deliveredPair{inv.GTID, string(inv.Key)})
				return append(append(dst, inv.Key...), '\n')
			})
			if err == io.EOF {
				cancel()
				for _, d := range flight {
					if err := g.ack(t, d); err != nil {
						return err
					}
				}
				g.resolve(len(g.refused))
				return io.EOF
			}
			waited := err != nil && next.Err() != nil && ctx.Err() == nil
			cancel()
			if err != nil && !waited {
				return err
			}
			if !waited {
				flight = append(flight, d)
			}
		}
		if g.pauses && g.r.IntN(100) == 0 {
			g.pause()
		}
		if g.r.IntN(50) == 0 {
			g.cursor.Rewind()
			flight = flight[:0]
		}
		if len(flight) > 0 && (len(flight) == 3 || g.r.IntN(2) == 0) {
			if err := g.ack(t, flight[0]); err != nil {
				return err
			}
			flight = flight[1:]
		}
		if g.r.IntN(5) == 0 {
			g.resolve(g.r.IntN(len(g.refused) + 1))
		}
		if g.r.IntN(100) == 0 {
			g.cursor.Lag()
		}
	}
}

func (g *target) ack(t *testing.T, d *delivery) error {
	refused := map[string]bool{}
	for n := range d.b.Len() {
		if g.r.IntN(500) == 0 {
			refused[string(d.b.Command(n))] = true
		}
	}
	// An answer counts whatever Ack says: it may move the position past a part of the
	// batch, and then find that the cursor has fallen out.
	var held []func()
	for _, p := range d.keys {
		if command := p.key + "\n"; refused[command] {
			held = append(held, func() { g.deliver(p) })
		} else {
			g.deliver(p)
		}
	}
	group, err := g.cursor.Ack(&d.b, len(refused))
	if err != nil {
		g.checkPosition(t) // and what was refused comes again
		return err
	}
	g.refused = append(g.refused, held...)
	if len(refused) > 0 {
		g.refused = append(g.refused, func() { group.Resolve(len(refused)) })
	}
	g.checkPosition(t)
	return nil
}

// pause lets the shared Log run away, if it does.
func (g *target) pause() {
	far := g.shared.Appended() + 500
	for spins := 0; spins < 5000 && g.shared.Appended() < far; spins++ {
		runtime.Gosched()
	}
}

// resolve delivers the oldest of what is refused.
func (g *target) resolve(n int) {
	for _, f := range g.refused[:n] {
		f()
	}
	g.refused = g.refused[n:]
}

func (g *target) deliver(p deliveredPair) {
	keys := g.got[p.gtid]
	if keys == nil {
		keys = map[string]bool{}
		g.got[p.gtid] = keys
	}
	keys[p.key] = true
}

// checkPosition: what it covers has been delivered, looked at in a few places.
func (g *target) checkPosition(t *testing.T) {
	pos := g.cursor.Position()
	for range 5 {
		tx := g.source.txs[g.r.IntN(len(g.source.txs))]
		if pos.GTIDs.Contains(tx.gtid) && !g.has(tx) {
			t.Errorf("the position has %v, of which not every key has been delivered", tx.gtid)
		}
	}
}

func (g *target) has(tx *sourceTx) bool {
	for _, key := range tx.keys {
		if !g.got[tx.gtid][key] {
			return false
		}
	}
	return true
}

func (g *target) check(t *testing.T) {
	t.Helper()
	pos := g.cursor.Position()
	for _, tx := range g.source.txs {
		if !g.has(tx) {
			t.Fatalf("%v: not every key has been delivered", tx.gtid)
		}
		if !pos.GTIDs.Contains(tx.gtid) {
			t.Fatalf("the position does not cover %v", tx.gtid)
		}
	}
}
