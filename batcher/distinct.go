package batcher

import "hash/maphash"

// distinct finds the commands that a batch has already. It is a hash table of
// indexes into the batch; forgetting everything is one more generation.
// BenchmarkLog guards it.
type distinct struct {
	slots []slot // a power of two of them, at least half of them free
	gen   uint32
	seed  maphash.Seed
}

type slot struct {
	gen  uint32 // of another generation: free
	hash uint32
	n    int // the command
}

const minSlots = 256

// reset forgets all commands.
func (d *distinct) reset() {
	if d.slots == nil {
		d.slots = make([]slot, minSlots)
		d.seed = maphash.MakeSeed()
	}
	if d.gen++; d.gen == 0 {
		clear(d.slots)
		d.gen = 1
	}
}

// add says whether command is new to b, and remembers it as the next that b gets.
func (d *distinct) add(b *Batch, command []byte) (isNew bool) {
	n := b.Len()
	if 2*n >= len(d.slots) {
		d.grow()
	}
	hash := uint32(maphash.Bytes(d.seed, command))
	i := int(hash) & (len(d.slots) - 1)
	for d.slots[i].gen == d.gen {
		if s := &d.slots[i]; s.hash == hash && string(b.Command(s.n)) == string(command) {
			return false
		}
		i = (i + 1) & (len(d.slots) - 1)
	}
	d.slots[i] = slot{d.gen, hash, n}
	return true
}

func (d *distinct) grow() {
	old := d.slots
	d.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.gen != d.gen {
			continue
		}
		i := int(s.hash) & (len(d.slots) - 1)
		for d.slots[i].gen == d.gen {
			i = (i + 1) & (len(d.slots) - 1)
		}
		d.slots[i] = s
	}
}
