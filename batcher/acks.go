package batcher

import "github.com/mcsqueal/mcsqueal/binlog"

// Acks remembers when a cursor acknowledged what, for who asks long after: of what is
// long ago as later by a thirtieth of its age at most, in a fixed amount of memory. It
// outlives the cursor, and goes on with the next one. The zero value is ready; any
// goroutine may use it.
type Acks struct{ marks marks[ending] }

// ending is where a transaction ends.
type ending struct {
	file *binlog.File
	end  uint64
}

// Remember has the cursor note its acknowledgements there. It is called before the
// first.
func (c *Cursor) Remember(a *Acks) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.acks = a
}

// Since is when the transaction that begins at start in file was acknowledged whole, in
// microseconds since 1970; 0 where that is not remembered, or has not happened.
func (a *Acks) Since(file binlog.File, start uint64) int64 {
	return a.marks.first(func(e *ending) bool {
		order, ok := file.Compare(*e.file)
		return ok && (order < 0 || order == 0 && start < e.end)
	})
}

// remembering is what a cursor keeps of its last note.
type remembering struct {
	acks  *Acks // nil: nobody wants to remember
	last  ending
	files int // place.files then
}

// note takes down where the last transaction before p ended, unless that has been. It
// allocates where the file changes, and nowhere else.
func (r *remembering) note(p *place) {
	if r.acks == nil || p.end == 0 {
		return // or none has ended yet
	}
	switch {
	case r.last.file != nil && r.files == p.endFiles:
		if r.last.end == p.end {
			return
		}
	case p.files == p.endFiles:
		file := p.inv.File
		r.last.file, r.files = &file, p.files
	default:
		return // the file it ended in is not known any more; the next one's is
	}
	r.last.end = p.end
	r.acks.marks.note(r.last)
}
