package pipeline

import (
	"bytes"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// writers remembers which tables a transaction has changed, and counts for them those
// that had no key: somebody may have forgotten a tag. In steady state it neither
// allocates nor looks anything up: the tables met last are found by their ids.
type writers struct {
	metrics *tableCounter
	recent  [writerSlots]writer
	// touched are the slots of the transaction's tables, the first few of them.
	touched [8]uint8
	n       int
	counted bool // there is something for the metrics
}

const writerSlots = 64

// writer is a table.
type writer struct {
	id           uint64
	schema, name []byte
	used         bool
	untagged     int                // since the last count
	counter      prometheus.Counter // once there was something to count
}

// begin begins a transaction.
func (w *writers) begin() { w.n = 0 }

// table takes note of a table whose rows may come: a statement announces those that
// its triggers and foreign keys may change, too.
func (w *writers) table(t *binlog.Table) {
	slot := uint8(t.ID % writerSlots)
	e := &w.recent[slot]
	if !e.used || e.id != t.ID || !bytes.Equal(e.name, t.Name) || !bytes.Equal(e.schema, t.Schema) {
		e.count(w.metrics)
		*e = writer{id: t.ID, used: true, schema: append(e.schema[:0], t.Schema...), name: append(e.name[:0], t.Name...)}
	}
}

// rows says that rows of a table have come.
func (w *writers) rows(id uint64) {
	slot := uint8(id % writerSlots)
	if e := &w.recent[slot]; !e.used || e.id != id {
		return // another has its slot
	}
	for _, s := range w.touched[:w.n] {
		if s == slot {
			return
		}
	}
	if w.n < len(w.touched) {
		w.touched[w.n] = slot
		w.n++
	}
}

// statement takes note of a table that a statement changes of which there are no rows.
func (w *writers) statement(schema, table []byte) {
	const (
		offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
		named         = 1 << 63                             // no id of the log's has it
	)
	id := uint64(offset)
	for _, name := range [][]byte{schema, table} {
		for _, c := range name {
			id = (id ^ uint64(c)) * prime
		}
		id *= prime
	}
	t := binlog.Table{ID: id | named, Schema: schema, Name: table}
	w.table(&t)
	w.rows(t.ID)
}

// untagged says that the transaction has ended without a key.
func (w *writers) untagged() {
	for _, s := range w.touched[:w.n] {
		w.recent[s].untagged++
		w.counted = true
	}
}

// count tells the metrics.
func (w *writers) count() {
	if !w.counted {
		return
	}
	w.counted = false
	for i := range w.recent {
		w.recent[i].count(w.metrics)
	}
}

func (e *writer) count(m *tableCounter) {
	if e.untagged > 0 {
		if e.counter == nil {
			e.counter = m.of(e.schema, e.name)
		}
		e.counter.Add(float64(e.untagged))
		e.untagged = 0
	}
}

// forget forgets the tables: ids are others in another file.
func (w *writers) forget() {
	w.count()
	w.n = 0
}
