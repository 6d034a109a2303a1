package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Whatever happens — clusters that are read for at their own pace, that fall back to
// what they have acknowledged, crashes, failovers, XIDs that are used again and again
// — a decision releases the keys of its own PREPARE, each time that it is read; and
// the spool keeps what may be needed, and no more.
func TestADecisionReleasesItsOwnKeysWhateverHappens(t *testing.T) {
	for name, flavor := range map[string]binlog.Flavor{"mysql": binlog.MySQL, "mariadb": binlog.MariaDB, "unknown": binlog.FlavorUnknown} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newModel(t, flavor)
				defer m.close()
				t.Repeat(map[string]func(*rapid.T){
					"":         m.check,
					"log":      m.append,
					"log ":     m.append,
					"read":     m.step,
					"read ":    m.step,
					"read  ":   m.step,
					"again":    m.again,
					"ack":      m.ack,
					"save":     m.save,
					"forget":   m.forget,
					"fall out": m.fallOut,
					"join":     m.join,
					"crash":    m.crash,
					"failover": m.failover,
				})
			})
		})
	}
}

// event is a transaction of the log. Its number in the log is its index plus one.
type event struct {
	gtid    binlog.GTID
	xid     binlog.XID
	outcome binlog.Outcome
	keys    []said // of a PREPARE
	prepare int    // of a decision: the index of its PREPARE
}

// cluster has executed so many transactions of the log.
type cluster struct {
	collector          *Collector
	saved, acked, read int
	savedPos, ackedPos binlog.Position // on the source of the time
}

// keeping is what the model says of a PREPARE that the spool keeps.
type keeping struct {
	xid      binlog.XID
	decided  bool
	decision int // its index
}

type model struct {
	flavor   binlog.Flavor
	dir      string
	spool    *Spool
	server   byte // the source
	log      []event
	made     int // PREPAREs ever, to name their keys
	clusters []*cluster
	kept     map[int]*keeping // by the PREPARE's index
}

func newModel(t *rapid.T, flavor binlog.Flavor) *model {
	dir, err := os.MkdirTemp("", "spool-model-")
	if err != nil {
		t.Fatal(err)
	}
	m := &model{flavor: flavor, dir: dir, server: 'A', kept: make(map[int]*keeping)}
	m.open(t)
	m.join(t)
	return m
}

func (m *model) close() { _ = os.RemoveAll(m.dir) }

func (m *model) open(t *rapid.T) {
	s, err := OpenSpool(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.temporary = true // what is not synced survives the crashes that are played here
	m.spool = s
	for _, c := range m.clusters {
		c.collector = s.NewCollector()
	}
}

func (m *model) file() binlog.File {
	return binlog.File{Name: string(m.server) + ".000001", Server: string(m.server)}
}

// position is where the first n transactions of the log have been executed.
func (m *model) position(t *rapid.T, n int) binlog.Position {
	p := binlog.Position{File: m.file(), Offset: uint64(100*n + 100)}
	if m.flavor != binlog.FlavorUnknown {
		p.GTIDs = binlog.NewGTIDSet(m.flavor)
		for _, e := range m.log[:n] {
			if err := p.GTIDs.Add(e.gtid); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

func (m *model) tx(i int) *binlog.Transaction {
	e := &m.log[i]
	return &binlog.Transaction{GTID: e.gtid, Start: uint64(100*i + 100), XID: e.xid, Outcome: e.outcome}
}

// append puts a transaction behind the log: a PREPARE of an XID that is not in use, or
// the decision on one that is.
func (m *model) append(t *rapid.T) {
	e := event{
		xid:     binlog.XID{Named: true, Format: 1, Data: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "XID")},
		outcome: binlog.Prepared,
	}
	for i, o := range m.log {
		if o.xid != e.xid {
			continue
		}
		if e.outcome = binlog.Prepared; o.outcome == binlog.Prepared {
			e.outcome = binlog.XACommitted
			e.prepare = i
		}
	}
	seq := uint64(len(m.log) + 1)
	switch m.flavor {
	case binlog.MySQL:
		e.gtid = binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{m.server}, Seq: seq}
	case binlog.MariaDB:
		e.gtid = binlog.GTID{Flavor: binlog.MariaDB, Server: uint32(m.server), Seq: seq}
	default:
	}
	if e.outcome == binlog.Prepared {
		m.made++
		for i := range rapid.IntRange(0, 3).Draw(t, "keys") {
			e.keys = append(e.keys, said{"tag", "s", "t", fmt.Sprintf("%d:%d", m.made, i)})
		}
	} else if rapid.Bool().Draw(t, "rolled back") {
		e.outcome = binlog.XARolledBack
	}
	m.log = append(m.log, e)
}

func (m *model) any(t *rapid.T) *cluster {
	return rapid.SampledFrom(m.clusters).Draw(t, "cluster")
}

// step reads the next transaction of the log for a cluster.
func (m *model) step(t *rapid.T) {
	if c := m.any(t); c.read < len(m.log) {
		m.readOne(t, c)
		c.read++
	}
}

// again reads it, and is cut off before it counts.
func (m *model) again(t *rapid.T) {
	if c := m.any(t); c.read < len(m.log) {
		m.readOne(t, c)
	}
}

func (m *model) readOne(t *rapid.T, c *cluster) {
	i := c.read
	e, tx := m.log[i], m.tx(i)
	if e.outcome == binlog.Prepared {
		begin := func(keys []said) {
			if err := c.collector.Begin(tx, m.file()); err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				c.collector.Statement(1, []byte(k.schema), []byte(k.table))
				if err := c.collector.Key([]byte(k.key)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if rapid.Bool().Draw(t, "cut off") {
			begin(e.keys[:len(e.keys)/2])
		}
		begin(e.keys)
		if err := c.collector.Prepared(tx); err != nil {
			t.Fatal(err)
		}
		if m.kept[i] == nil {
			m.kept[i] = &keeping{xid: e.xid}
		}
		return
	}
	entry, err := m.spool.Decide(tx, m.file())
	if err != nil {
		t.Fatal(err)
	}
	if entry == nil {
		t.Fatalf("the decision number %d is about nothing, expected the PREPARE number %d", i+1, e.prepare+1)
	}
	want := m.log[e.prepare].keys
	if e.outcome == binlog.XARolledBack {
		want = nil
	}
	var got []said
	err = entry.Each(func(s Statement, key []byte) error {
		got = append(got, said{s.Cause.String(), string(s.Schema), string(s.Table), string(key)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if entry.Prepare.Start != uint64(100*e.prepare+100) || entry.Prepare.GTID != m.log[e.prepare].gtid || !slices.Equal(got, want) {
		t.Fatalf("the decision number %d is about %v with %v, expected the PREPARE number %d with %v", i+1, entry.Prepare, got, e.prepare+1, want)
	}
	k := m.kept[e.prepare]
	k.decided, k.decision = true, i
}

func (m *model) ack(t *rapid.T) {
	c := m.any(t)
	c.acked = rapid.IntRange(c.acked, c.read).Draw(t, "acknowledged")
	c.ackedPos = m.position(t, c.acked)
}

func (m *model) save(*rapid.T) {
	for _, c := range m.clusters {
		c.saved, c.savedPos = c.acked, c.ackedPos
	}
}

func (m *model) forget(t *rapid.T) {
	known := rapid.Bool().Draw(t, "how far was read is known")
	var reaches []Reach
	for _, c := range m.clusters {
		r := Reach{Saved: c.savedPos}
		if known {
			r.Read = m.position(t, c.read)
		}
		reaches = append(reaches, r)
	}
	if err := m.spool.Forget(reaches); err != nil {
		t.Fatal(err)
	}
	for i, k := range m.kept {
		needed := func(c *cluster) bool { return c.saved <= k.decision && (!known || c.read > i) }
		if k.decided && !slices.ContainsFunc(m.clusters, needed) {
			delete(m.kept, i)
		}
	}
}

// fallOut: a cluster is read for again from what it has acknowledged.
func (m *model) fallOut(t *rapid.T) {
	c := m.any(t)
	c.read = c.acked
}

// join: a cluster is new, and begins where the log does or where it ends.
func (m *model) join(t *rapid.T) {
	if len(m.clusters) == 4 {
		return
	}
	c := &cluster{collector: m.spool.NewCollector()}
	if len(m.clusters) > 0 && rapid.Bool().Draw(t, "now") {
		// What is prepared there has been read by somebody.
		for _, o := range m.clusters {
			c.read = max(c.read, o.read)
		}
	}
	c.saved, c.acked = c.read, c.read
	c.ackedPos = m.position(t, c.acked)
	c.savedPos = c.ackedPos
	m.clusters = append(m.clusters, c)
}

func (m *model) crash(t *rapid.T) {
	if c := m.any(t); rapid.Bool().Draw(t, "while keys are collected") {
		tx := &binlog.Transaction{XID: binlog.XID{Named: true, Data: "z"}}
		if err := c.collector.Begin(tx, m.file()); err != nil {
			t.Fatal(err)
		}
		long := []byte(strings.Repeat("k", 250))
		for range 300 {
			if err := c.collector.Key(long); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.open(t)
	for _, c := range m.clusters {
		c.read, c.acked, c.ackedPos = c.saved, c.saved, c.savedPos
	}
	if rapid.Bool().Draw(t, "rewound") {
		m.rewind(t)
	}
}

// failover: what nobody has acknowledged may be lost, and another server goes on.
func (m *model) failover(t *rapid.T) {
	if m.flavor == binlog.FlavorUnknown || m.server == 'Z' {
		return
	}
	least := 0
	for _, c := range m.clusters {
		least = max(least, c.acked)
	}
	m.log = m.log[:rapid.IntRange(least, len(m.log)).Draw(t, "log")]
	m.server++
	for _, c := range m.clusters {
		c.read = c.acked
	}
	m.rewind(t)
}

func (m *model) rewind(t *rapid.T) {
	var starts []binlog.Position
	most := 0
	for _, c := range m.clusters {
		starts = append(starts, c.ackedPos)
		most = max(most, c.acked)
	}
	if err := m.spool.Rewind(starts); err != nil {
		t.Fatal(err)
	}
	for i, k := range m.kept {
		if i >= most {
			delete(m.kept, i)
		} else if k.decision >= most {
			k.decided, k.decision = false, 0
		}
	}
}

// check compares what is kept with what should be.
func (m *model) check(t *rapid.T) {
	files, err := filepath.Glob(filepath.Join(m.dir, "*"+keptSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(m.kept) {
		t.Fatalf("%d are kept, expected %d", len(files), len(m.kept))
	}
	var undecided []binlog.XID
	for _, k := range m.kept {
		if !k.decided && !slices.Contains(undecided, k.xid) {
			undecided = append(undecided, k.xid)
		}
	}
	slices.SortFunc(undecided, func(a, b binlog.XID) int { return strings.Compare(a.Data, b.Data) })
	if got := m.spool.XIDs(); !slices.Equal(got, undecided) {
		t.Fatalf("undecided are %v, expected %v", got, undecided)
	}
}
