//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"syscall"

	"github.com/mcsqueal/mcsqueal/cache"
)

// pieces appends to v what there is to send behind the first skip bytes, in order, as
// far as one call takes it.
func (o *Output) pieces(v []syscall.Iovec, skip int) []syscall.Iovec {
	add := func(p []byte) {
		if skip >= len(p) {
			skip -= len(p)
			return
		}
		v = append(v, piece(p[skip:]))
		skip = 0
	}
	at := 0
	for i := range o.pins {
		if len(v) > maxPieces-3 {
			return v
		}
		add(o.Bytes[at:o.pins[i].at])
		at = o.pins[i].at
		add(o.pins[i].data)
	}
	add(o.Bytes[at:])
	return v
}

// moveTo gives to other, which is empty, what is behind the first sent bytes, and
// releases the rest. Bytes are copied into other's, as far as it has room.
func (o *Output) moveTo(other *Output, sent int, store *cache.Store) {
	at := 0 // of Bytes: what is before is sent or moved
	take := func(to int) {
		n := to - at
		gone := min(sent, n)
		sent -= gone
		other.Bytes = append(other.Bytes, o.Bytes[at+gone:to]...)
		at = to
	}
	for i := range o.pins {
		p := &o.pins[i]
		take(p.at)
		if sent >= len(p.data) {
			sent -= len(p.data)
			store.Unpin(p.held)
		} else {
			rest := p.data[sent:]
			sent = 0
			other.pins = append(other.pins, pin{at: len(other.Bytes), data: rest, held: p.held})
			other.pinned += len(rest)
		}
		*p = pin{}
	}
	take(len(o.Bytes))
	o.pins, o.pinned, o.Bytes = o.pins[:0], 0, o.Bytes[:0]
}
