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

// BenchmarkWake guards how quickly a waiting cursor has what was published: one
// transaction at a time, there and back between two goroutines.
func BenchmarkWake(b *testing.B) {
	p := newPump(b, 1)
	taken := make(chan struct{})
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(b.Context())
	go func() {
		defer close(done)
		for p.cursor.Next(ctx, &p.batch, Limits{}, appendDelete) == nil {
			taken <- struct{}{}
			if _, err := p.cursor.Ack(&p.batch, 0); err != nil {
				b.Error(err)
			}
		}
	}()
	b.ReportAllocs()
	for range b.N {
		p.append(b)
		p.w.Publish()
		<-taken
	}
	cancel()
	<-done
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
	must(tb, err)
	p := &pump{log: l, w: l.Writer(), cursor: c, n: keys}
	copy(p.key[:], "user:............")
	must(tb, p.w.File(binlog.File{Name: "bin.000001"}))
	return p
}

// append appends the next transaction, and waits for room where it must. (must is
// not for here: T.Helper takes longer than the Log does.)
func (p *pump) append(tb testing.TB) {
	p.gno++
	if _, err := p.w.Begin(Transaction{GTID: gtid(p.gno), Start: p.gno * 100, Time: 1, Read: 2}); err != nil {
		tb.Fatal(err)
	}
	p.w.Statement(Tag, []byte("shop"), []byte("users"))
	for i := range p.n {
		binary.LittleEndian.PutUint64(p.key[5:], p.gno<<20+uint64(i))
		for p.w.Key(p.key[:]) != nil {
			must(tb, p.log.WaitRoom(tb.Context(), p.log.Capacity()/2))
		}
	}
	if err := p.w.End(p.gno*100 + 100); err != nil {
		tb.Fatal(err)
	}
}

// transaction appends one, and takes all from time to time.
func (p *pump) transaction(tb testing.TB) {
	p.append(tb)
	if p.after++; p.after*p.n >= 500 || p.after >= 500 {
		p.drain(tb)
	}
}

func (p *pump) drain(tb testing.TB) {
	p.after = 0
	p.w.Publish()
	for p.cursor.Lag().Bytes > 0 {
		must(tb, p.cursor.Next(context.Background(), &p.batch, Limits{}, appendDelete))
		_, err := p.cursor.Ack(&p.batch, 0)
		must(tb, err)
	}
}

func appendDelete(dst []byte, inv *Invalidation) []byte {
	dst = append(dst, "md "...)
	dst = append(dst, inv.Key...)
	return append(dst, "\r\n"...)
}
