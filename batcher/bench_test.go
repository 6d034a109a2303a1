package batcher

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// BenchmarkLog guards the way of a key through the Log: appended, taken, and
// acknowledged, by one goroutine after the other, so that it tells what a key costs
// and not how well two cores talk.
func BenchmarkLog(b *testing.B) {
	for _, perTransaction := range []int{1, 20, 1000} {
		b.Run(fmt.Sprintf("keys=%d", perTransaction), func(b *testing.B) {
			p := newPump(b, perTransaction)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N / perTransaction {
				p.transaction(b)
			}
			p.drain(b)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mkeys/s")
		})
	}
	b.Run("keyless", func(b *testing.B) {
		p := newPump(b, 0)
		b.ReportAllocs()
		for range b.N {
			p.transaction(b)
		}
		p.drain(b)
	})
}

// pump drives a Log the way the daemon does, on one goroutine.
type pump struct {
	log    *Log
	w      *Writer
	cursor *Cursor
	batch  Batch
	n      int
	gno    uint64
	key    [20]byte
	after  int // transactions that have not been taken
}

func newPump(tb testing.TB, keys int) *pump {
	tb.Helper()
	l := NewLog(Config{From: binlog.Position{GTIDs: binlog.NewGTIDSet(binlog.MySQL), File: binlog.File{Name: "bin.000001"}, Offset: 4}})
	l.SetVisible(AllVisible)
	c, err := l.NewCursor(binlog.Position{})
	if err != nil {
		tb.Fatal(err)
	}
	p := &pump{log: l, w: l.Writer(), cursor: c, n: keys}
	copy(p.key[:], "user:............")
	if err := p.w.File(binlog.File{Name: "bin.000001"}); err != nil {
		tb.Fatal(err)
	}
	return p
}

func (p *pump) transaction(tb testing.TB) {
	p.gno++
	if _, err := p.w.Begin(Transaction{GTID: binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{1}, Seq: p.gno}, Start: p.gno * 100, Time: 1, Read: 2}); err != nil {
		tb.Fatal(err)
	}
	p.w.Statement(Tag, []byte("shop"), []byte("users"))
	for i := range p.n {
		binary.LittleEndian.PutUint64(p.key[5:], p.gno<<20+uint64(i))
		if err := p.w.Key(p.key[:]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := p.w.End(p.gno*100 + 100); err != nil {
		tb.Fatal(err)
	}
	if p.after++; p.after*p.n >= 500 || p.after >= 500 {
		p.drain(tb)
	}
}

func (p *pump) drain(tb testing.TB) {
	p.after = 0
	p.w.Publish()
	for p.cursor.Lag().Bytes > 0 {
		if err := p.cursor.Next(context.Background(), &p.batch, Limits{}, appendDelete); err != nil {
			tb.Fatal(err)
		}
		if _, err := p.cursor.Ack(&p.batch, 0); err != nil {
			tb.Fatal(err)
		}
	}
}

func appendDelete(dst []byte, inv *Invalidation) []byte {
	dst = append(dst, "md "...)
	dst = append(dst, inv.Key...)
	return append(dst, "\r\n"...)
}
