package binlog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// payload opens MySQL's compressed transactions (Transaction_payload event,
// binlog_transaction_compression): fields of type, length and value, then one
// zstd stream with the transaction's events, without checksums.
type payload struct {
	zstd   *zstd.Decoder
	packed bytes.Reader
	events stream
}

func newPayload() *payload {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		// The server's highest level has a window of 128 MiB.
		zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		panic("binlog: zstd options: " + err.Error()) // they are constants
	}
	return &payload{zstd: z, events: stream{buffer: newBuffer(z), name: "compressed transaction", bare: true}}
}

// Types of the fields (Transaction_payload_event in control_events.h).
const (
	payloadEnd         = 0
	payloadCompression = 2
)

const (
	compressionZSTD = 0
	compressionNone = 255
)

// open gives the events of one compressed transaction. They are good until open
// is called again.
func (p *payload) open(b []byte) (*stream, error) {
	compression := uint64(compressionNone)
	for {
		kind, rest, ok := lenenc(b)
		if !ok {
			return nil, errShort
		}
		b = rest
		if kind == payloadEnd {
			break
		}
		n, rest, ok := lenenc(b)
		if !ok || n > uint64(len(rest)) {
			return nil, errShort
		}
		if kind == payloadCompression {
			if compression, _, ok = lenenc(rest[:n]); !ok {
				return nil, errShort
			}
		}
		b = rest[n:]
	}
	p.packed.Reset(b)
	p.events.r = &p.packed
	switch compression {
	case compressionNone:
	case compressionZSTD:
		if err := p.zstd.Reset(&p.packed); err != nil {
			return nil, fmt.Errorf("compressed transaction: %w", err)
		}
		p.events.r = p.zstd
	default:
		return nil, fmt.Errorf("compressed transaction: compression type %d, expected 0 (zstd) or 255 (none)", compression)
	}
	p.events.lo, p.events.hi, p.events.offset = 0, 0, 0
	return &p.events, nil
}

// lenenc reads MySQL's length-encoded integer (Client/Server Protocol, "Protocol::LengthEncodedInteger").
func lenenc(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	n := 0
	switch b[0] {
	case 0xfb, 0xff:
		return 0, nil, false
	case 0xfc:
		n = 2
	case 0xfd:
		n = 3
	case 0xfe:
		n = 8
	default:
		return uint64(b[0]), b[1:], true
	}
	if len(b) < 1+n {
		return 0, nil, false
	}
	var w [8]byte
	copy(w[:], b[1:1+n])
	return binary.LittleEndian.Uint64(w[:]), b[1+n:], true
}
