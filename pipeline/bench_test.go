package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/sink/stdout"
)

// discard takes every batch and acknowledges it at once.
type discard struct{}

func (discard) Run(ctx context.Context, c *batcher.Cursor) error {
	var b batcher.Batch
	encode := func(dst []byte, inv *batcher.Invalidation) []byte {
		return append(append(append(dst, "md "...), inv.Key...), "\r\n"...)
	}
	for {
		err := c.Next(ctx, &b, batcher.Limits{}, encode)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := c.Ack(&b, 0); err != nil {
			return err
		}
	}
}

// BenchmarkFiles is the hot path from a log file to a batch, or to a dry run's line:
// a transaction of eight events of about 100 bytes that names one key.
func BenchmarkFiles(b *testing.B) {
	b.Run("batches", func(b *testing.B) { benchmarkFiles(b, func() Sink { return discard{} }) })
	b.Run("lines", func(b *testing.B) {
		benchmarkFiles(b, func() Sink { return stdout.New(stdout.Config{Out: io.Discard}) })
	})
}

func benchmarkFiles(b *testing.B, sink func() Sink) {
	path := filepath.Join(b.TempDir(), "bin.000001")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := binlogtest.NewWriter(file, binlogtest.Config{})
	for i := 0; w.Offset() < 64<<20; i++ {
		w.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{
			Text:   fmt.Sprintf("INSERT INTO shop.orders /* mc: user:%d:orders */ (id, v) VALUES (%[1]d, ?)", i),
			Schema: "shop", Table: "orders", Rows: 3, RowBytes: 60,
		}}})
	}
	w.Rotate("bin.000002")
	if err := errors.Join(w.Err(), file.Close()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(w.Offset()))
	spool := checkpoint.TemporarySpool(b.TempDir())
	for b.Loop() {
		files, err := binlog.NewFiles([]string{path}, nil)
		if err != nil {
			b.Fatal(err)
		}
		p, err := New(Config{
			Open:     func() (Source, *binlog.Visibility) { return Files(files), nil },
			Together: true, Tags: []string{"mc"}, Spool: spool,
			Clusters: []Cluster{{Name: "none", Connections: []Connection{{Sink: sink()}}}},
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
