package mcconn

import (
	"fmt"
	"time"

	"github.com/mcsqueal/mcsqueal/mcproto"
)

// Batch is delete commands that go out in one write, and what was answered to
// them. Its owner fills in Wire and N and gives it to Send; from then until
// Receive or Unanswered hands it back it is the connection's, and nobody else may
// touch it. A batch may be sent again, on this or any other connection: Send
// forgets the results of the last time and keeps their memory.
type Batch struct {
	// Wire is the commands as mcproto appends them, and nothing else. Not altered.
	Wire []byte
	// N is how many commands Wire holds, and so how many answers are owed. At
	// least 1.
	N int
	// Owner is whatever the owner wants to find again when the batch comes back.
	Owner any

	// Sent is when Send began to write the batch.
	Sent time.Time
	// Deleted and NotFound are how many commands were answered so. With Refused
	// they make N in a batch that Receive has returned, and fewer in one from
	// Unanswered.
	Deleted, NotFound int
	// Refused is the commands the peer did not carry out, in the order they stand
	// in Wire.
	Refused []Refusal
}

// Refusal is a command that the peer understood and did not carry out.
type Refusal struct {
	// Index is the command's place in the batch, from 0.
	Index int
	// Kind is mcproto.ServerError (not now: try again later) or
	// mcproto.ClientError (not ever).
	Kind mcproto.Kind
	// Message is the peer's reason, its first 256 bytes at most. It may be empty,
	// and may hold any byte but a newline.
	Message string
}

// maxMessage bounds what is kept of a refusal's reason, so that a peer cannot make
// a batch's memory many times its wire's.
const maxMessage = 256

// answered is how many commands have their answer.
func (b *Batch) answered() int {
	return b.Deleted + b.NotFound + len(b.Refused)
}

// begin makes the batch one that was sent now and has no answers.
func (b *Batch) begin(now time.Time) {
	b.Sent = now
	b.Deleted, b.NotFound, b.Refused = 0, 0, b.Refused[:0]
}

// take takes answers off the front of p until the batch has all of its own or p
// holds no further one in full, and says how many bytes they took.
// BenchmarkReceive guards it.
func (b *Batch) take(p []byte) (n int, err error) {
	for b.answered() < b.N {
		deleted, notFound, k := mcproto.CountDeletes(p[n:], b.N-b.answered())
		b.Deleted += deleted
		b.NotFound += notFound
		n += k
		if b.answered() == b.N {
			break
		}
		answer, k, err := mcproto.ParseAnswer(p[n:])
		if err != nil {
			return n, fmt.Errorf("%s: %w", b.place(), err)
		}
		if k == 0 {
			break
		}
		if answer.Kind != mcproto.ServerError && answer.Kind != mcproto.ClientError {
			err := unexpected(b.place(), "deleted or not found", p[n:])
			if answer.Kind == mcproto.Error {
				err.hint = "the peer does not know the command: is it a cache, and is protocol what it speaks?"
			}
			return n, err
		}
		b.refuse(answer)
		n += k
	}
	return n, nil
}

// refuse notes that the next command was refused. A reason that only repeats the
// one before, as a router's do when a server behind it is gone, costs no memory.
func (b *Batch) refuse(a mcproto.Answer) {
	text := a.Text[:min(len(a.Text), maxMessage)]
	var message string
	if last := len(b.Refused) - 1; last >= 0 && b.Refused[last].Message == string(text) {
		message = b.Refused[last].Message
	} else {
		message = string(text)
	}
	b.Refused = append(b.Refused, Refusal{Index: b.answered(), Kind: a.Kind, Message: message})
}

// place says for people which answer is awaited.
func (b *Batch) place() string {
	return fmt.Sprintf("answer %d of %d", b.answered()+1, b.N)
}
