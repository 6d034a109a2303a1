package binlogtest

import (
	"bytes"
	"compress/zlib"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// packer compresses, as servers do that are told to. The zero value is ready.
type packer struct {
	zlib *zlib.Writer
	zstd *zstd.Encoder
}

// maria appends MariaDB's form of compressed text or rows (binlog_buf_compress in
// sql/log_event.cc): a byte with the algorithm and the size of the length, the
// length in big-endian order, and a zlib stream.
func (p *packer) maria(dst, data []byte) []byte {
	n := max(1, (bits.Len(uint(len(data)))+7)/8)
	dst = append(dst, 0x80|byte(n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(len(data)>>(8*i)))
	}
	buf := bytes.NewBuffer(dst)
	if p.zlib == nil {
		p.zlib = zlib.NewWriter(buf)
	} else {
		p.zlib.Reset(buf)
	}
	// Into memory neither can fail.
	_, _ = p.zlib.Write(data)
	_ = p.zlib.Close()
	return buf.Bytes()
}

// payload replaces the gathered events by one event that holds them compressed
// (Transaction_payload_event in control_events.h): fields of type, length and
// value, an end mark, and a zstd stream.
func (l *Writer) payload() {
	if l.pack.zstd == nil {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			l.fail(err)
			return
		}
		l.pack.zstd = z
	}
	packed := l.pack.zstd.EncodeAll(l.buf, nil)
	const (
		end          = 0
		size         = 1
		algorithm    = 2
		uncompressed = 3
	)
	field := func(b []byte, kind byte, value int) []byte {
		v := lenenc(nil, value)
		b = append(b, kind)
		return append(lenenc(b, len(v)), v...)
	}
	length := len(l.buf)
	l.buf = l.buf[:0]
	start := l.open(typeTransactionPayload, 0)
	l.buf = field(l.buf, algorithm, 0) // zstd
	l.buf = field(l.buf, uncompressed, length)
	l.buf = field(l.buf, size, len(packed))
	l.buf = append(l.buf, end)
	l.buf = append(l.buf, packed...)
	l.close(start)
}
