package server

import "github.com/mcsqueal/mcsqueal/cache"

// Output gathers answers in the order of their commands, for a transport to send. Small
// values are copied into Bytes; large ones stay where they lie in the store, pinned, and
// stand in pins with the place in Bytes before which they are to be sent.
//
// An Output belongs to one goroutine at a time. Whoever sends it calls Release when
// everything has been sent, or when the connection is given up: pinned values are memory
// the store cannot use.
type Output struct {
	Bytes  []byte
	pins   []pin
	pinned int
}

// pin is a piece of a value that is sent from the store's own memory.
type pin struct {
	at   int // it is sent before Bytes[at:]
	data []byte
	held cache.Pin // zero except for a value's last piece
}

// outputBound is how many bytes of answers are gathered before a transport must send
// them: Consume stops there, so that a client which never reads costs this much, and the
// largest answer.
const outputBound = 256 << 10

// Full reports whether no further command is to be answered before what is here is sent.
func (o *Output) Full() bool { return len(o.Bytes)+o.pinned >= outputBound }

// Len is how many bytes there are to send.
func (o *Output) Len() int { return len(o.Bytes) + o.pinned }

// Release forgets everything and gives pinned values back to the store.
func (o *Output) Release(store *cache.Store) {
	for i := range o.pins {
		store.Unpin(o.pins[i].held)
		o.pins[i] = pin{}
	}
	o.pins, o.pinned, o.Bytes = o.pins[:0], 0, o.Bytes[:0]
}

// pinFrom is the size of the values, with "\r\n", that are sent from where they lie: below
// it, copying costs less than a further piece of a write does.
const pinFrom = 6 << 10

// value appends an item's value and "\r\n". The item's entry is locked.
func (o *Output) value(it cache.Item) {
	if it.Size() >= pinFrom && o.pin(it) {
		return
	}
	o.Bytes = it.AppendBody(o.Bytes)
}

func (o *Output) pin(it cache.Item) bool {
	var room [20][]byte
	pieces, held, ok := it.AppendPieces(room[:0])
	if !ok {
		return false
	}
	for i, piece := range pieces {
		p := pin{at: len(o.Bytes), data: piece}
		if i == len(pieces)-1 {
			p.held = held
		}
		o.pins = append(o.pins, p)
		o.pinned += len(piece)
	}
	return true
}

// mark is a place in the output to which it can be taken back.
type mark struct{ bytes, pins int }

func (o *Output) mark() mark { return mark{bytes: len(o.Bytes), pins: len(o.pins)} }

// takeBack forgets what was appended since a mark. No entry is locked.
func (o *Output) takeBack(m mark, store *cache.Store) {
	for i := m.pins; i < len(o.pins); i++ {
		o.pinned -= len(o.pins[i].data)
		store.Unpin(o.pins[i].held)
		o.pins[i] = pin{}
	}
	o.pins, o.Bytes = o.pins[:m.pins], o.Bytes[:m.bytes]
}

func (o *Output) text(s string) { o.Bytes = append(o.Bytes, s...) }
