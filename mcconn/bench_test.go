package mcconn_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

// BenchmarkDelivery pipelines deletes of missing keys into a real memcached, in
// turns with a bare blaster: a goroutine that writes the same bytes in pieces of
// 64 KiB and one that counts newlines. It reports both rates and the ratio of the
// two, in one run, for several sizes of batch.
func BenchmarkDelivery(b *testing.B) {
	m := servers.Memcache(b, servers.MemcachedConfig{})
	const deletes = 200_000
	wire := make([]byte, 0, deletes*32)
	var ends []int // ends[i] is where command i ends in wire
	for i := range deletes {
		var err error
		if wire, err = mcproto.AppendMetaDelete(wire, fmt.Appendf(nil, "user:%08d:friends", i)); err != nil {
			b.Fatal(err)
		}
		ends = append(ends, len(wire))
	}
	for _, size := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			c := dial(b, mcconn.Config{Address: m.Addr()})
			bare, err := net.Dial("tcp", m.Addr())
			if err != nil {
				b.Fatal(err)
			}
			defer bare.Close()
			var batches []*mcconn.Batch
			for from, i := 0, size; i <= deletes; i += size {
				batches = append(batches, &mcconn.Batch{Wire: wire[from:ends[i-1]], N: size})
				from = ends[i-1]
			}
			var ours, blaster time.Duration
			for b.Loop() {
				blaster += blast(b, bare, wire, deletes)
				ours += deliver(b, c, batches)
			}
			rounds := float64(b.N) * deletes / 1e6
			b.ReportMetric(rounds/ours.Seconds(), "Mdeletes/s")
			b.ReportMetric(rounds/blaster.Seconds(), "blaster-Mdeletes/s")
			b.ReportMetric(blaster.Seconds()/ours.Seconds(), "of-blaster")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// blast writes wire and waits for that many lines.
func blast(b *testing.B, conn net.Conn, wire []byte, lines int) time.Duration {
	b.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := wire; len(p) > 0; {
			n, err := conn.Write(p[:min(len(p), 64<<10)])
			if err != nil {
				b.Error(err)
				return
			}
			p = p[n:]
		}
	})
	for p := make([]byte, 64<<10); lines > 0; {
		n, err := conn.Read(p)
		if err != nil {
			b.Fatal(err)
		}
		lines -= bytes.Count(p[:n], []byte{'\n'})
	}
	wg.Wait()
	return time.Since(start)
}

// deliver sends the batches and waits until all have come back.
func deliver(b *testing.B, c *mcconn.Conn, batches []*mcconn.Batch) time.Duration {
	b.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, batch := range batches {
			if err := c.Send(b.Context(), batch); err != nil {
				b.Error(err)
				return
			}
		}
	})
	for range batches {
		if batch, err := c.Receive(); err != nil || batch.NotFound != batch.N {
			b.Fatal(batch, err)
		}
	}
	wg.Wait()
	return time.Since(start)
}

// BenchmarkRoundTrip deletes one key at a time, sent and received by two
// goroutines as in a daemon, in turns with a bare write and read by one.
func BenchmarkRoundTrip(b *testing.B) {
	m := servers.Memcache(b, servers.MemcachedConfig{})
	c := dial(b, mcconn.Config{Address: m.Addr()})
	bare, err := net.Dial("tcp", m.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	back := make(chan *mcconn.Batch)
	go func() {
		defer close(back)
		for {
			batch, err := c.Receive()
			if err != nil {
				return
			}
			back <- batch
		}
	}()
	batch := deletes(1)
	answer := make([]byte, len("NF\r\n"))
	var ours, plain time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if err := c.Send(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		if <-back == nil {
			b.Fatal("the connection ended")
		}
		middle := time.Now()
		if _, err := bare.Write(batch.Wire); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(bare, answer); err != nil {
			b.Fatal(err)
		}
		ours += middle.Sub(start)
		plain += time.Since(middle)
	}
	c.Close()
	<-back
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/delete")
	b.ReportMetric(float64(plain.Nanoseconds())/float64(b.N), "bare-ns/delete")
	b.ReportMetric(float64(ours)/float64(plain), "of-bare")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReceive is what Send and Receive cost by themselves, for batches of
// 1,000: the peer is a function call away.
func BenchmarkReceive(b *testing.B) {
	c := dial(b, mcconn.Config{Address: "instant", Dial: func(context.Context, string, string) (net.Conn, error) {
		return &instant{answers: bytes.Repeat([]byte("NF\r\n"), 1000)}, nil
	}})
	batch := deletes(1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Receive(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds()/1e6, "Mdeletes/s")
}

// instant is a connection to a cache that has answered whatever was written by the
// time it is read from. It has no deadlines.
type instant struct {
	net.Conn
	answers, next []byte
}

func (i *instant) Write(p []byte) (int, error) {
	switch string(p) {
	case mcproto.CommandVersion:
		i.next = []byte("VERSION 1\r\n")
	case mcproto.CommandNoOp:
		i.next = []byte("MN\r\n")
	default:
		i.next = i.answers
	}
	return len(p), nil
}

func (i *instant) Read(p []byte) (int, error)       { return copy(p, i.next), nil }
func (i *instant) Close() error                     { return nil }
func (i *instant) SetDeadline(time.Time) error      { return nil }
func (i *instant) SetReadDeadline(time.Time) error  { return nil }
func (i *instant) SetWriteDeadline(time.Time) error { return nil }
