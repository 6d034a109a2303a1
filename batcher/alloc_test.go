package batcher

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// TestAKeyOnItsWayAllocatesNothing: neither a key, nor a transaction, nor a batch
// does, once the Log's chunks have been made.
func TestAKeyOnItsWayAllocatesNothing(t *testing.T) {
	for _, test := range []struct {
		name string
		gtid func(n uint64) binlog.GTID
		keys int
	}{
		{"one key", gtid, 1},
		{"twenty keys", gtid, 20},
		{"no keys", gtid, 0},
		{"two sources and a tag", func(n uint64) binlog.GTID {
			g := binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{byte(1 + n%2)}}
			if n%3 == 0 {
				g.Tag = "blue"
			}
			g.Seq = 1 + n/6
			return g
		}, 1},
		{"MariaDB's domains", func(n uint64) binlog.GTID {
			return binlog.GTID{Flavor: binlog.MariaDB, Domain: uint32(n % 3), Server: 1, Seq: 1 + n/3}
		}, 1},
		{"no GTIDs", func(uint64) binlog.GTID { return binlog.GTID{} }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := binlog.Position{File: testFile, Offset: 4}
			if g := test.gtid(1); !g.IsZero() {
				from.GTIDs = binlog.NewGTIDSet(g.Flavor)
			}
			l := NewLog(Config{Bytes: 8 * minChunk, ChunkBytes: minChunk, From: from})
			w := l.Writer()
			must(t, w.File(testFile))
			l.SetVisible(AllVisible)
			c := newCursor(t, l)
			var b Batch
			var key [20]byte
			n := uint64(0)
			once := func() {
				n++
				_, err := w.Begin(Transaction{GTID: test.gtid(n), Start: n * 100, Time: 1, Read: 1})
				must(t, err)
				w.Statement(Cause(1+n%2), []byte("schema"), []byte("table"))
				for i := range test.keys {
					binary.LittleEndian.PutUint64(key[:], n<<10+uint64(i))
					must(t, w.Key(key[:]))
				}
				must(t, w.End(n*100+100))
				w.Publish()
				must(t, c.Next(context.Background(), &b, Limits{}, appendDelete))
				_, err = c.Ack(&b, 0)
				must(t, err)
			}
			for range 2000 { // until every chunk has been used
				once()
			}
			if allocs := testing.AllocsPerRun(2000, once); allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}
