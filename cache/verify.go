package cache

import (
	"encoding/binary"
	"fmt"
)

// verifier looks at what a file says before anything of it is followed: every reference
// must lead to a chunk of the kind it should, whatever happened to the file meanwhile.
type verifier struct {
	s     *Store
	table []byte
	// linked and data count, by class, the items in its queue, and the data chunks that
	// belong to such.
	linked      []int
	data, owned int
}

// pageRow is what the table says of a page; used is false of one without values, too.
func (v *verifier) pageRow(number int) (class, fresh int, used bool) {
	row := v.table[number*tableSize:][:tableSize]
	class = int(row[0])
	return class, int(binary.LittleEndian.Uint16(row[2:])), row[1] == 1 && class < v.s.valueClasses
}

// chunk is the class in whose page a chunk lies; nil where no chunk begins.
func (v *verifier) chunk(ref uint32) *class {
	number := v.s.pageOf(ref)
	if number == 0 || int(number) >= len(v.s.pages.all) {
		return nil
	}
	class, fresh, used := v.pageRow(int(number))
	if !used {
		return nil
	}
	c := v.s.classes[class]
	if at := ref - v.s.pageStart(number); at%c.units != 0 || int(at/c.units) >= fresh {
		return nil
	}
	return c
}

// verify returns what is wrong; empty if nothing is.
func (v *verifier) verify(queues []list, hands []uint32) (wrong string) {
	v.linked = make([]int, v.s.valueClasses)
	for number := range v.s.pages.all {
		class, fresh, used := v.pageRow(number)
		if !used {
			continue
		}
		c := v.s.classes[class]
		if number == 0 || fresh > c.perPage {
			return fmt.Sprintf("page %d cannot have %d chunks", number, fresh)
		}
		for i := range uint32(fresh) {
			if ref := v.s.pageStart(uint32(number)) + i*c.units; !v.content(ref, c) {
				return fmt.Sprintf("chunk %d of page %d is damaged", i, number)
			}
		}
	}
	if v.data != v.owned {
		return fmt.Sprintf("%d chunks of large values belong to %d", v.data, v.owned)
	}
	for i, c := range v.s.classes[:v.s.valueClasses] {
		if !v.queue(c, queues[i], hands[i]) {
			return fmt.Sprintf("the queue of class %d is damaged", i+1)
		}
	}
	return ""
}

// content reports whether a chunk of class c can be what its header says.
func (v *verifier) content(ref uint32, c *class) bool {
	h := v.s.at(ref)
	switch h.kind {
	case kindFree, kindDraft, kindStale, kindOrphan:
		return true
	case kindData:
		if v.chunk(h.prev) == nil {
			return false
		}
		if owner := v.s.at(h.prev); owner.kind == kindLinked && owner.large() {
			v.data++
		}
		return true
	case kindLinked:
	default:
		return false
	}
	if h.nkey == 0 || int(h.nkey) > MaxKey || h.shape&^(shapeRing|shapeLarge) != 0 {
		return false
	}
	size := int(h.keyOffset()) + int(h.nkey)
	class := int(c.number)
	if h.large() {
		class = v.s.valueClasses - 1
	} else {
		size += int(h.vlen) + 2
	}
	if size > c.size || int(h.class) != class {
		return false
	}
	v.linked[class]++
	return !h.large() || v.value(ref, h)
}

// value reports whether the data chunks of a large item are there.
func (v *verifier) value(ref uint32, h *header) bool {
	at := *h.firstData()
	for left := int(h.vlen) + 2; left > 0; left -= dataSize {
		c := v.chunk(at)
		if c == nil || c.size < headerSize+min(left, dataSize) {
			return false
		}
		chunk := v.s.at(at)
		if chunk.kind != kindData || chunk.prev != ref {
			return false
		}
		v.owned++
		at = chunk.next
	}
	return at == 0
}

// queue reports whether the queue of a class has all its items, and nothing else.
func (v *verifier) queue(c *class, l list, hand uint32) bool {
	in := func(ref uint32) bool {
		if v.chunk(ref) == nil {
			return false
		}
		h := v.s.at(ref)
		return h.kind == kindLinked && h.class == c.number
	}
	if hand != 0 && !in(hand) || l.len != v.linked[c.number] {
		return false
	}
	newer, ref := uint32(0), l.newest
	for range l.len {
		if !in(ref) || v.s.at(ref).prev != newer {
			return false
		}
		newer, ref = ref, v.s.at(ref).next
	}
	return ref == 0 && l.oldest == newer
}
