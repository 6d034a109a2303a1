package batcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// TestNothingIsLostWhateverHappens runs random sequences of everything that can
// happen to a Log and its cursors against a model that keeps everything: what each
// batch holds, what each position covers, who falls out and who may join are known
// exactly. Above all, a position never has a transaction of which this cursor's
// target has not acknowledged every key.
func TestNothingIsLostWhateverHappens(t *testing.T) {
	for _, flavor := range []binlog.Flavor{binlog.MySQL, binlog.MariaDB, binlog.FlavorUnknown} {
		t.Run(flavor.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newModel(t, flavor)
				actions := map[string]func(*rapid.T){
					"write":    m.write,
					"write2":   m.write,
					"break":    m.breakOff,
					"publish":  m.publish,
					"visible":  m.setVisible,
					"truncate": m.truncate,
					"idle":     m.idle,
					"open":     m.open,
					"take":     m.take,
					"take2":    m.take,
					"ack":      m.ack,
					"ack2":     m.ack,
					"rewind":   m.rewind,
					"resolve":  m.resolve,
					"close":    m.close,
					"":         m.check,
				}
				for range 4 { // a Log must fill, and more than once
					t.Repeat(actions)
				}
				m.drain(t)
			})
		})
	}
}

// model is a source, what has been appended of it, and what every cursor must
// therefore see.
type model struct {
	flavor binlog.Flavor
	log    *Log
	w      *Writer

	// The source: order is what it sends, from sent on.
	txs    []*modelTx
	order  []*modelTx
	sent   int
	file   binlog.File
	offset uint64
	files  int
	seqs   map[string]uint64 // next number of each source

	// The writer.
	cur  *modelTx // open
	step int      // of its keys, how many have been handed over
	pass int      // how many of those to come are in the Log already
	seq  uint64   // its seq
	last uint64   // the last seq given out
	// broken is a transaction that was broken off with keys in the Log.
	broken     *modelTx
	brokenSeq  uint64
	brokenKeys int

	run     []*modelTx // transactions without keys that are not in the Log yet
	runSeq  uint64
	runFile binlog.File
	runEnd  uint64
	runOver bool // another file was named since
	idleEnd uint64
	idleIn  binlog.File

	items   []item
	visible uint64
	cursors []*modelCursor
}

type modelTx struct {
	id         int
	gtid       binlog.GTID
	file       binlog.File
	start, end uint64
	keys       []string
}

// item is a key, an end, an advance or an abort in the Log.
type item struct {
	kind  kind
	seq   uint64
	tx    *modelTx // key, end, abort
	n     int      // key: which
	run   []*modelTx
	file  binlog.File
	start uint64 // of the transaction; of a run its end - 1
	mark  mark   // the first byte behind it, or one inside
}

type modelCursor struct {
	c         *Cursor
	filter    int
	start     binlog.Position
	startDone map[int]bool
	next      int // index into items
	acked     int
	done      map[int]bool
	delivered map[string]bool // tx id and key
	groups    [2]*modelGroup
	taken     []*taken
	void      []*Batch // taken before a Rewind
	dead      bool
}

type taken struct {
	b        *Batch
	from, to int
	commands []string
}

type modelGroup struct {
	r       *Refused
	before  map[int]bool
	refused []refusal
}

// refusal is a command that is refused, and the keys that stand behind it.
type refusal struct{ keys []string }

func newModel(t *rapid.T, flavor binlog.Flavor) *model {
	m := &model{flavor: flavor, seqs: map[string]uint64{}}
	m.rotate("one")
	from := binlog.Position{File: m.file, Offset: m.offset}
	if flavor != binlog.FlavorUnknown {
		from.GTIDs = binlog.NewGTIDSet(flavor)
	}
	m.log = NewLog(Config{Bytes: int64(rapid.IntRange(4, 7).Draw(t, "chunks")) * minChunk, ChunkBytes: minChunk, From: from})
	m.w = m.log.Writer()
	m.open(t)
	return m
}

func (m *model) rotate(server string) {
	m.files++
	m.file = binlog.File{Name: fmt.Sprintf("bin.%06d", m.files), Server: server, Created: time.Unix(int64(1000+m.files), 0).UTC()}
	m.offset = 4
}

// more makes a transaction that the source will send.
func (m *model) more(t *rapid.T) {
	if rapid.IntRange(0, 30).Draw(t, "rotate") == 0 {
		m.rotate(m.file.Server)
	}
	tx := &modelTx{id: len(m.txs)}
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	n := 0
	switch r.IntN(10) {
	case 0, 1, 2, 3:
	case 4:
		n = r.IntN(300)
	default:
		n = 1 + r.IntN(5)
	}
	for range n {
		// Few enough that they come again in one batch, of lengths that fill chunks
		// in different ways.
		k := fmt.Sprintf("k%d", r.IntN(40))
		tx.keys = append(tx.keys, k+strings.Repeat("x", len(k)*r.IntN(70)))
	}
	switch m.flavor {
	case binlog.MySQL:
		g := binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{byte(1 + r.IntN(2))}, Tag: []string{"", "", "blue"}[r.IntN(3)]}
		g.Seq = m.number(fmt.Sprint(g.SID[0], g.Tag))
		tx.gtid = g
	case binlog.MariaDB:
		g := binlog.GTID{Flavor: binlog.MariaDB, Domain: uint32(r.IntN(2)), Server: uint32(1 + r.IntN(2))}
		g.Seq = m.number(fmt.Sprint(g.Domain))
		tx.gtid = g
	}
	m.txs = append(m.txs, tx)
	m.order = append(m.order, tx)
	m.put(tx)
}

func (m *model) number(source string) uint64 {
	m.seqs[source]++
	return m.seqs[source]
}

// put gives tx a place in the source's log.
func (m *model) put(tx *modelTx) {
	tx.file, tx.start = m.file, m.offset
	m.offset += 100
	tx.end = m.offset
}

// write lets the writer go on reading, as far as there is room.
func (m *model) write(t *rapid.T) {
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		if !m.writeStep(t) {
			return
		}
	}
}

func (m *model) writeStep(t *rapid.T) bool {
	if m.cur == nil {
		if m.sent == len(m.order) {
			m.more(t)
		}
		m.begin(t, m.order[m.sent])
		return true
	}
	tx := m.cur
	if m.step == len(tx.keys) {
		return m.end(t)
	}
	m.w.Statement(Tag, []byte("shop"), []byte(table(m.step)))
	at := m.nextRunMark()
	err := m.w.Key([]byte(tx.keys[m.step]))
	if !m.w.advance.pending {
		m.flushRun(at)
	}
	if err != nil {
		m.full(t, err)
		return false
	}
	if m.pass > 0 {
		m.pass--
	} else {
		m.append(item{kind: kindKey, seq: m.seq, tx: tx, n: m.step, file: tx.file, start: tx.start})
	}
	m.step++
	return true
}

func (m *model) begin(t *rapid.T, tx *modelTx) {
	must(t, m.w.File(tx.file))
	seq, err := m.w.Begin(Transaction{GTID: tx.gtid, Start: tx.start, Time: int64(1000 + tx.id), Read: int64(2000 + tx.id)})
	must(t, err)
	m.cur, m.step, m.pass = tx, 0, 0
	if m.broken == tx {
		m.seq, m.pass, m.broken = m.brokenSeq, m.brokenKeys, nil
	} else {
		m.abandon()
		m.last++
		m.seq = m.last
	}
	if seq != m.seq {
		t.Fatalf("Begin gave seq %d, want %d", seq, m.seq)
	}
}

func (m *model) abandon() {
	if m.broken != nil {
		m.append(item{kind: kindAbort, seq: m.brokenSeq, tx: m.broken, file: m.broken.file, start: m.broken.start})
		m.broken = nil
	}
}

func (m *model) end(t *rapid.T) bool {
	tx := m.cur
	if len(tx.keys) == 0 {
		joins := m.joinsRun(tx)
		at := m.nextRunMark()
		err := m.w.End(tx.end)
		if err != nil {
			if joins {
				t.Fatalf("End of a transaction without keys that joins the run: %v", err)
			}
			m.full(t, err)
			return false
		}
		if !joins {
			m.flushRun(at)
		}
		m.run, m.runSeq, m.runFile, m.runEnd = append(m.run, tx), m.seq, tx.file, tx.end
	} else {
		must(t, m.w.End(tx.end))
		m.append(item{kind: kindEnd, seq: m.seq, tx: tx, file: tx.file, start: tx.start})
	}
	m.idleEnd, m.idleIn = tx.end, tx.file
	m.cur = nil
	m.sent++
	return true
}

// joinsRun: neighbours in one file without keys are put down as one.
func (m *model) joinsRun(tx *modelTx) bool {
	if m.runSeq == 0 || m.runFile != tx.file || m.runOver {
		return false
	}
	if len(m.run) == 0 {
		return true // nothing but an Idle
	}
	last := m.run[len(m.run)-1].gtid
	switch m.flavor {
	case binlog.MySQL:
		next := last
		next.Seq++
		return tx.gtid == next
	case binlog.MariaDB:
		return tx.gtid.Domain == last.Domain
	default:
		return true
	}
}

func (m *model) flushRun(at mark) {
	if m.runSeq == 0 {
		return
	}
	m.items = append(m.items, item{kind: kindAdvance, seq: m.runSeq, run: m.run, file: m.runFile, start: m.runEnd - 1, mark: at})
	m.run, m.runSeq, m.runOver = nil, 0, false
}

// nextRunMark is where a run that is put down next will begin.
func (m *model) nextRunMark() mark {
	if m.w.fits(advanceSize + maxFile) {
		return mark{m.w.chunk.number, len(m.w.buf) + 1}
	}
	return mark{m.w.chunk.number + 1, 1}
}

func (m *model) append(i item) {
	i.mark = mark{m.w.chunk.number, len(m.w.buf)}
	m.items = append(m.items, i)
}

// full checks that the Log said so with reason.
func (m *model) full(t *rapid.T, err error) {
	if !errors.Is(err, ErrFull) {
		t.Fatalf("append: %v", err)
	}
	if m.log.chunks < m.log.maxChunks {
		t.Fatalf("full with %d of %d chunks", m.log.chunks, m.log.maxChunks)
	}
	for _, c := range m.log.cursors {
		if c.held > m.log.oldest.number {
			t.Fatal("full although a cursor has acknowledged the oldest chunk")
		}
	}
	if m.log.Free() != 0 {
		t.Fatalf("full with %d bytes free", m.log.Free())
	}
}

func (m *model) breakOff(t *rapid.T) {
	m.w.Abort()
	if m.cur != nil {
		in := 0
		for _, i := range m.items {
			if i.kind == kindKey && i.seq == m.seq {
				in++
			}
		}
		if in > 0 {
			m.broken, m.brokenSeq, m.brokenKeys = m.cur, m.seq, in
		}
		m.cur = nil
	}
	if rapid.Bool().Draw(t, "idle between") {
		// Must not give the broken transaction up.
		must(t, m.w.File(binlog.File{Name: "bin.000000"}))
		m.runOver = m.runSeq != 0
		if m.broken != nil {
			must(t, m.w.Idle(4))
		}
	}
	if m.flavor == binlog.MySQL && rapid.IntRange(0, 2).Draw(t, "other order") == 0 {
		// Another server has what is to come in another order, if in other places.
		m.shuffle(t)
	}
}

func (m *model) shuffle(t *rapid.T) {
	rest := m.order[m.sent:]
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	r.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
}

func (m *model) publish(t *rapid.T) {
	full := m.log.chunks == m.log.maxChunks
	at := m.nextRunMark()
	m.w.Publish()
	if !m.w.advance.pending {
		m.flushRun(at)
	} else if !full {
		t.Fatal("published, and yet something waits")
	}
	if got := m.w.chunk.readable(); got != len(m.w.buf) {
		t.Fatalf("published %d of %d bytes", got, len(m.w.buf))
	}
}

func (m *model) setVisible(t *rapid.T) {
	seq := m.visible
	if m.last > seq {
		seq = rapid.Uint64Range(seq, m.last+1).Draw(t, "seq")
	}
	m.log.SetVisible(seq)
	m.visible = min(seq, m.last)
	if got := m.log.Visible(); got != m.visible {
		t.Fatalf("watermark %d, want %d", got, m.visible)
	}
	if got := m.log.Appended(); got != m.last {
		t.Fatalf("appended %d, want %d", got, m.last)
	}
}

func (m *model) idle(t *rapid.T) {
	if m.cur != nil || m.broken != nil || m.runSeq == 0 && m.log.Free() == 0 {
		return
	}
	// Between the last transaction read and the next one.
	at, end := m.file, m.offset
	if m.sent < len(m.order) {
		at, end = m.order[m.sent].file, m.order[m.sent].start
	}
	must(t, m.w.File(at))
	if end == 4 && m.idleEnd == 0 || end == m.idleEnd && at == m.idleIn {
		return
	}
	before := m.nextRunMark()
	err := m.w.Idle(end)
	m.last++
	if err != nil {
		m.full(t, err)
		return
	}
	if m.runSeq != 0 && (m.runFile != at || m.runOver) {
		m.flushRun(before)
	}
	m.runSeq, m.runFile, m.runEnd = m.last, at, end
	m.idleEnd, m.idleIn = end, at
}

// truncate is a failover: what is above the watermark is dropped, and the new
// source sends all that is not executed at the position that remains.
func (m *model) truncate(t *rapid.T) {
	pos, err := m.w.Truncate()
	must(t, err)
	m.cur = nil
	m.run, m.runSeq, m.runOver = nil, 0, false
	m.idleEnd = 0
	kept := m.items[:0]
	for _, i := range m.items {
		if i.seq <= m.visible {
			kept = append(kept, i)
		}
	}
	m.items = kept
	// An open transaction that is left is given up.
	if n := len(kept); n > 0 && kept[n-1].kind == kindKey {
		m.broken, m.brokenSeq = kept[n-1].tx, kept[n-1].seq
		m.abandon()
	}
	m.broken = nil
	m.visible = m.last
	ended := map[int]bool{}
	for _, i := range m.items {
		i.ended(ended)
	}
	m.covers(t, "truncated log", pos, ended)

	var rest []*modelTx
	for _, tx := range m.txs[:len(m.order)] {
		if !ended[tx.id] {
			rest = append(rest, tx)
		}
	}
	if m.flavor == binlog.FlavorUnknown {
		m.order = append(m.order[:len(m.order)-len(rest)], rest...)
		m.sent = len(m.order) - len(rest)
		return
	}
	m.rotate(fmt.Sprint("server", m.files))
	m.order = append(slices.DeleteFunc(m.order, func(tx *modelTx) bool { return !ended[tx.id] }), rest...)
	m.sent = len(m.order) - len(rest)
	if m.flavor == binlog.MySQL {
		m.shuffle(t)
	}
	for i, tx := range m.order[m.sent:] {
		moved := *tx // what is in the Log keeps its place
		m.put(&moved)
		m.order[m.sent+i], m.txs[tx.id] = &moved, &moved
	}
}

// ended adds what ends at i.
func (i *item) ended(done map[int]bool) {
	switch i.kind {
	case kindEnd:
		done[i.tx.id] = true
	case kindAdvance:
		for _, tx := range i.run {
			done[tx.id] = true
		}
	}
}

// covers checks that of all transactions pos has executed exactly done.
func (m *model) covers(t *rapid.T, what string, pos binlog.Position, done map[int]bool) {
	for _, tx := range m.txs {
		if got := pos.Executed(tx.gtid, tx.file, tx.start); got != done[tx.id] {
			t.Fatalf("%s: position %v: executed transaction %d (%v, %s:%d): %v, want %v", what, pos, tx.id, tx.gtid, tx.file.Name, tx.start, got, done[tx.id])
		}
	}
}

// open makes a cursor, at the position of another, or at one of its own reading
// that is ahead of the Log.
func (m *model) open(t *rapid.T) {
	if len(m.cursors) == 6 {
		return
	}
	mc := &modelCursor{filter: rapid.IntRange(0, 3).Draw(t, "filter"), delivered: map[string]bool{}}
	var pos binlog.Position
	done := map[int]bool{}
	if len(m.cursors) > 0 {
		of := rapid.SampledFrom(m.cursors).Draw(t, "from")
		pos = of.c.Position()
		for id := range of.position() {
			done[id] = true
		}
		if rapid.Bool().Draw(t, "ahead") && m.flavor != binlog.FlavorUnknown && !m.moved(pos) {
			m.ahead(t, &pos, done)
		}
	}
	if len(m.cursors) == 0 {
		// The zero position is where the Log begins.
		for _, i := range m.items {
			if i.mark.number < m.log.oldest.number {
				i.ended(done)
			}
		}
	}
	can := m.canJoin(done)
	if got := m.log.CanJoin(pos); len(m.cursors) > 0 && got != can {
		t.Fatalf("CanJoin at %v is %v, want %v", pos, got, can)
	}
	c, err := m.log.NewCursor(pos)
	if !can {
		if !errors.Is(err, ErrTooOld) {
			t.Fatalf("NewCursor at a position that the Log does not reach: %v", err)
		}
		return
	}
	must(t, err)
	mc.c, mc.start, mc.startDone, mc.done = c, pos, done, clone(done)
	for mc.next < len(m.items) && m.items[mc.next].mark.number < m.log.oldest.number {
		mc.next++
	}
	mc.acked = mc.next
	m.cursors = append(m.cursors, mc)
}

// moved: pos was taken in another server's log, with which places do not compare.
func (m *model) moved(pos binlog.Position) bool { return pos.File.Server != m.file.Server }

// ahead takes pos further, as a reading of one's own would.
func (m *model) ahead(t *rapid.T, pos *binlog.Position, done map[int]bool) {
	for _, tx := range m.order[:rapid.IntRange(0, len(m.order)).Draw(t, "to")] {
		if !done[tx.id] {
			must(t, pos.Fold(tx.gtid, tx.file, tx.end))
			done[tx.id] = true
		}
	}
}

// canJoin: everything that has been dropped is done.
func (m *model) canJoin(done map[int]bool) bool {
	var open *modelTx
	for _, i := range m.items {
		if i.mark.number >= m.log.oldest.number {
			break
		}
		ended := map[int]bool{}
		i.ended(ended)
		for id := range ended {
			if !done[id] {
				return false
			}
		}
		open = nil
		if i.kind == kindKey {
			open = i.tx
		}
	}
	return open == nil || done[open.id]
}

// take takes a batch without waiting, and checks that it is what it must be.
func (m *model) take(t *rapid.T) {
	mc := m.cursor(t)
	if mc == nil {
		return
	}
	lim := Limits{Keys: rapid.IntRange(1, 60).Draw(t, "keys"), Bytes: rapid.IntRange(1, 3000).Draw(t, "bytes")}
	m.takeFrom(t, mc, lim)
}

func (m *model) takeFrom(t *rapid.T, mc *modelCursor, lim Limits) bool {
	b := new(Batch)
	var calls []string
	err := mc.c.Next(&noWait{Context: context.Background()}, b, lim, func(dst []byte, inv *Invalidation) []byte {
		calls = append(calls, describe(string(inv.Key), inv.GTID, inv.File, inv.Start, inv.Time, inv.Read, inv.Cause, string(inv.Schema), string(inv.Table)))
		return mc.encode(dst, string(inv.Key))
	})
	if errors.Is(err, ErrFellOut) {
		m.fellOut(t, mc)
		return false
	}
	upTo := never
	if err == nil && mc.c.crossed == maxCrossed {
		upTo = mc.c.next.chunk.number
	}
	want, wantCalls, to, ended := m.expect(mc, lim, upTo)
	if err != nil {
		if !errors.Is(err, context.Canceled) || b.Len() != 0 {
			t.Fatalf("Next: %v, and %d commands", err, b.Len())
		}
		if len(want) > 0 || ended {
			t.Fatalf("Next would wait, although there are %d commands", len(want))
		}
		return false
	}
	if len(want) == 0 && !ended && mc.c.crossed == 0 {
		t.Fatal("Next returned what is nothing")
	}
	var got []string
	for n := range b.Len() {
		got = append(got, string(b.Command(n)))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("batch of %q, want %q", got, want)
	}
	if string(b.Wire) != strings.Join(want, "") {
		t.Fatalf("wire %q, want %q", b.Wire, want)
	}
	if !slices.Equal(calls, wantCalls) {
		t.Fatalf("keys taken:\n%s\nwant:\n%s", strings.Join(calls, "\n"), strings.Join(wantCalls, "\n"))
	}
	mc.taken = append(mc.taken, &taken{b, mc.next, to, got})
	mc.next = to
	return true
}

// table is what the nth key of a transaction is about.
func table(n int) string { return fmt.Sprint("t", n/10) }

func describe(args ...any) string { return fmt.Sprint(args...) }

// encode leaves some keys to others.
func (mc *modelCursor) encode(dst []byte, key string) []byte {
	if mc.filter > 0 && len(key)%4 == mc.filter {
		return dst
	}
	return append(append(append(dst, "md "...), key...), '\n')
}

// expect is what a batch holds that begins at mc.next.
func (m *model) expect(mc *modelCursor, lim Limits, upTo uint64) (commands, calls []string, to int, ended bool) {
	lim.setDefaults()
	bytes := 0
	for to = mc.next; to < len(m.items); to++ {
		i := &m.items[to]
		if i.seq > m.visible || i.mark.number >= upTo || !m.published(i.mark) {
			break
		}
		if i.kind != kindKey {
			if i.kind != kindAbort {
				ended = true
			}
			continue
		}
		if mc.skips(i) {
			continue
		}
		if len(commands) >= lim.Keys {
			break
		}
		tx, key := i.tx, i.tx.keys[i.n]
		calls = append(calls, describe(key, tx.gtid, i.file, i.start, int64(1000+tx.id), int64(2000+tx.id), Tag, "shop", table(i.n)))
		command := string(mc.encode(nil, key))
		if command == "" {
			continue
		}
		if bytes > 0 && bytes+len(command) > lim.Bytes {
			break
		}
		if !slices.Contains(commands, command) {
			commands = append(commands, command)
			bytes += len(command)
		}
	}
	return commands, calls, to, ended
}

func (mc *modelCursor) skips(i *item) bool {
	return mc.start.Executed(i.tx.gtid, i.file, i.start)
}

func (m *model) published(at mark) bool {
	return at.number < m.w.chunk.number || at.off <= m.w.chunk.readable()
}

func (m *model) cursor(t *rapid.T) *modelCursor {
	var live []*modelCursor
	for _, mc := range m.cursors {
		if !mc.dead {
			live = append(live, mc)
		}
	}
	if len(live) == 0 {
		return nil
	}
	return rapid.SampledFrom(live).Draw(t, "cursor")
}

// fellOut checks that it did with reason: its chunk is gone, for another cursor is
// past it, as full checks.
func (m *model) fellOut(t *rapid.T, mc *modelCursor) {
	if mc.c.held >= m.log.oldest.number {
		t.Fatal("fell out although its chunk is there")
	}
	mc.dead = true
}

func (m *model) ack(t *rapid.T) {
	mc := m.cursor(t)
	if mc == nil || len(mc.taken) == 0 {
		return
	}
	if len(mc.taken) > 1 {
		// Out of turn.
		if _, err := mc.c.Ack(mc.taken[len(mc.taken)-1].b, 0); !errors.Is(err, ErrOrder) && !errors.Is(err, ErrFellOut) && mc.taken[len(mc.taken)-1].from != mc.taken[0].from {
			t.Fatalf("Ack out of turn: %v", err)
		}
	}
	for _, b := range mc.void {
		if _, err := mc.c.Ack(b, 0); !errors.Is(err, ErrOrder) && !errors.Is(err, ErrFellOut) {
			t.Fatalf("Ack of what was taken before a Rewind: %v", err)
		}
	}
	refused := 0
	if rapid.IntRange(0, 3).Draw(t, "refuses") == 0 {
		refused = rapid.IntRange(0, mc.taken[0].b.Len()).Draw(t, "refused")
	}
	m.ackFirst(t, mc, refused)
}

func (m *model) ackFirst(t *rapid.T, mc *modelCursor, refused int) {
	k := mc.taken[0]
	mc.taken = mc.taken[1:]
	r, err := mc.c.Ack(k.b, refused)
	if errors.Is(err, ErrFellOut) {
		m.fellOut(t, mc)
		return
	}
	must(t, err)
	if (r != nil) != (refused > 0) {
		t.Fatalf("%d refused, and Ack returned %v", refused, r)
	}
	var group *modelGroup
	if refused > 0 {
		g := &mc.groups[0]
		if *g != nil {
			g = &mc.groups[1]
		}
		if *g == nil {
			*g = &modelGroup{r: r, before: clone(mc.done)}
		}
		group = *g
		if group.r != r {
			t.Fatal("refused in another group")
		}
	}
	keys := map[string][]string{}
	for _, i := range m.items[k.from:k.to] {
		if i.kind == kindKey && !mc.skips(&i) {
			key := i.tx.keys[i.n]
			keys[string(mc.encode(nil, key))] = append(keys[string(mc.encode(nil, key))], deliveredKey(i.tx, key))
		}
		i.ended(mc.done)
	}
	for n, command := range k.commands {
		if n < refused {
			group.refused = append(group.refused, refusal{keys[command]})
			continue
		}
		for _, key := range keys[command] {
			mc.delivered[key] = true
		}
	}
	mc.acked = k.to
}

func deliveredKey(tx *modelTx, key string) string { return fmt.Sprint(tx.id, " ", key) }

func (m *model) rewind(t *rapid.T) {
	mc := m.cursor(t)
	if mc == nil {
		return
	}
	mc.c.Rewind()
	for _, k := range mc.taken {
		mc.void = append(mc.void, k.b)
	}
	mc.taken, mc.next = nil, mc.acked
}

func (m *model) resolve(t *rapid.T) {
	if len(m.cursors) == 0 {
		return
	}
	mc := rapid.SampledFrom(m.cursors).Draw(t, "cursor")
	n := rapid.IntRange(0, 1).Draw(t, "group")
	if mc.groups[n] == nil {
		return
	}
	m.resolveFrom(mc, n, rapid.IntRange(1, len(mc.groups[n].refused)).Draw(t, "n"))
}

func (m *model) resolveFrom(mc *modelCursor, n, count int) {
	g := mc.groups[n]
	g.r.Resolve(count)
	for _, r := range g.refused[:count] {
		for _, key := range r.keys {
			mc.delivered[key] = true
		}
	}
	g.refused = g.refused[count:]
	if len(g.refused) > 0 {
		return
	}
	if n == 0 {
		mc.groups[0] = mc.groups[1]
	}
	mc.groups[1] = nil
}

func (m *model) close(t *rapid.T) {
	mc := m.cursor(t)
	if mc == nil || rapid.IntRange(0, 5).Draw(t, "really") > 0 {
		return
	}
	mc.c.Close()
	if err := mc.c.Next(context.Background(), new(Batch), Limits{}, nil); !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFellOut) {
		t.Fatalf("Next of a closed cursor: %v", err)
	}
	mc.dead = true
	m.check(t)
	m.cursors = slices.DeleteFunc(m.cursors, func(o *modelCursor) bool { return o == mc })
}

// position is what the cursor's position covers.
func (mc *modelCursor) position() map[int]bool {
	if mc.groups[0] != nil {
		return mc.groups[0].before
	}
	return mc.done
}

// check is what must hold at any time.
func (m *model) check(t *rapid.T) {
	for n, mc := range m.cursors {
		what := fmt.Sprint("cursor ", n)
		pos, done := mc.c.Position(), mc.position()
		m.covers(t, what, pos, done)
		for id := range done {
			if mc.startDone[id] {
				continue
			}
			for _, key := range m.txs[id].keys {
				if len(mc.encode(nil, key)) > 0 && !mc.delivered[deliveredKey(m.txs[id], key)] {
					t.Fatalf("%s: position %v has transaction %d, of which key %q has not been delivered", what, pos, id, key)
				}
			}
		}
		refused := 0
		for _, g := range mc.groups {
			if g != nil {
				refused += len(g.refused)
			}
		}
		lag := mc.c.Lag()
		if lag.Refused != refused {
			t.Fatalf("%s: %d refused, want %d", what, lag.Refused, refused)
		}
		if !mc.dead && mc.c.err == nil {
			m.checkLag(t, what, mc, lag)
		}
	}
	size := m.log.chunks + len(m.log.free)
	if size > m.log.maxChunks {
		t.Fatalf("%d chunks, of which there may be %d", size, m.log.maxChunks)
	}
	for c := m.log.oldest; c != nil; c = c.next.Load() {
		if c.pins != 0 {
			t.Fatalf("chunk %d is pinned, and nobody reads", c.number)
		}
	}
}

// checkLag: as old as the first transaction that is not acknowledged whole.
func (m *model) checkLag(t *rapid.T, what string, mc *modelCursor, lag Lag) {
	var oldest int64
	for _, i := range m.items[mc.acked:] {
		if !m.published(i.mark) || i.kind == kindAbort {
			continue
		}
		if i.kind == kindAdvance {
			if len(i.run) == 0 {
				continue
			}
			i.tx = i.run[len(i.run)-1]
		}
		oldest = int64(1000 + i.tx.id)
		break
	}
	if mc.c.acked.open {
		oldest = mc.c.acked.inv.Time
	}
	if lag.Refused > 0 {
		return
	}
	// A begin may be published without its first key.
	if lag.Oldest != oldest && oldest != 0 {
		t.Fatalf("%s: oldest %d, want %d", what, lag.Oldest, oldest)
	}
	if lag.Bytes < 0 || lag.Bytes == 0 && oldest != 0 && !mc.c.acked.open {
		t.Fatalf("%s: %d bytes behind, and %d waits", what, lag.Bytes, oldest)
	}
}

// drain lets every cursor that lives come to the end: then all that has been
// appended is covered by its position.
func (m *model) drain(t *rapid.T) {
	for {
		m.publish(t)
		m.log.SetVisible(m.last)
		m.visible = m.last
		for _, mc := range m.cursors {
			if mc.dead {
				continue
			}
			mc.c.Rewind()
			mc.taken, mc.next = nil, mc.acked
			for m.takeFrom(t, mc, Limits{}) {
				m.ackFirst(t, mc, 0)
			}
			for n := 1; n >= 0; n-- {
				if g := mc.groups[n]; g != nil {
					m.resolveFrom(mc, n, len(g.refused))
				}
			}
		}
		m.check(t)
		if m.runSeq == 0 || len(m.log.cursors) == 0 {
			break
		}
	}
	all := map[int]bool{}
	for _, i := range m.items {
		i.ended(all)
	}
	for n, mc := range m.cursors {
		if mc.dead || mc.c.err != nil {
			continue
		}
		for _, i := range m.items[mc.acked:] {
			if i.kind == kindEnd || i.kind == kindAdvance {
				t.Fatalf("cursor %d has come to %d of %d", n, mc.acked, len(m.items))
			}
		}
		for id := range all {
			if !mc.done[id] {
				t.Fatalf("cursor %d: the position does not have transaction %d", n, id)
			}
		}
	}
}

func clone(m map[int]bool) map[int]bool {
	c := make(map[int]bool, len(m))
	for k := range m {
		c[k] = true
	}
	return c
}

func must(t interface {
	Helper()
	Fatal(args ...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noWait is a context that ends when it is waited for.
type noWait struct {
	context.Context
	asked bool
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (n *noWait) Done() <-chan struct{} { return closedChannel }

func (n *noWait) Err() error {
	if !n.asked {
		n.asked = true
		return nil
	}
	return context.Canceled
}
