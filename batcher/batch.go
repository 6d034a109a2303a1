package batcher

import (
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Invalidation is a key, what caused it, and where.
type Invalidation struct {
	Key           []byte
	Cause         Cause
	Schema, Table []byte // empty where not known
	// GTID, File, Start, Time and Read are the transaction's, as in Transaction.
	GTID       binlog.GTID
	File       binlog.File
	Start      uint64
	Time, Read int64
}

// Encoder appends the command that carries an invalidation out to dst, or returns
// dst as it is if the key is not for this target. What inv holds is good during
// the call only. Two keys that become the same bytes are sent once in a batch.
type Encoder func(dst []byte, inv *Invalidation) []byte

// Limits is how large a batch may become.
type Limits struct {
	// Keys is the most commands in a batch; 0 is 1,000.
	Keys int
	// Bytes is the most bytes on the wire, of a batch of more than one command; 0
	// is 64 KiB.
	Bytes int
	// Linger is how long a batch that is not full waits, from its first key on, for
	// more. 0: it does not wait, and takes what is there.
	Linger time.Duration
}

func (lim *Limits) setDefaults() {
	if lim.Keys <= 0 {
		lim.Keys = 1000
	}
	if lim.Bytes <= 0 {
		lim.Bytes = 64 << 10
	}
}

// Batch is what goes out in one write. The caller makes it (the zero value is
// ready), hands it to [Cursor.Next] to be filled and, once every one of its
// commands has been answered, to [Cursor.Ack]; then it can be filled again. Its
// buffers are its own and are kept.
//
// A batch may be empty (Len is 0): there is nothing to send, and it is to be
// acknowledged in its turn all the same, for it carries the position past
// transactions without keys for this target.
type Batch struct {
	// Wire is the commands, one behind the other.
	Wire []byte
	// Repeated is how many keys were left out because the same command is in the
	// batch already.
	Repeated int
	// Time and Read are those of the transaction of the first command, in
	// microseconds since 1970; 0 if the batch is empty. Visible is when it became
	// visible: where that is not waited for, when it was read.
	Time, Read, Visible int64

	ends     []int  // of each command in Wire
	seq      uint64 // of the transaction of the first command
	cursor   *Cursor
	epoch    uint64
	from, to mark
}

// Len is how many commands are in the batch.
func (b *Batch) Len() int { return len(b.ends) }

// Command is the nth command (the first is 0): the one that the nth answer is
// about. It aliases Wire.
func (b *Batch) Command(n int) []byte {
	start := 0
	if n > 0 {
		start = b.ends[n-1]
	}
	return b.Wire[start:b.ends[n]:b.ends[n]]
}

// End is where the nth command ends in Wire.
func (b *Batch) End(n int) int { return b.ends[n] }

func (b *Batch) reset() {
	b.Wire, b.ends = b.Wire[:0], b.ends[:0]
	b.Repeated, b.Time, b.Read, b.Visible = 0, 0, 0, 0
	b.cursor = nil
}
