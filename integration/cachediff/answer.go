package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A response is one line of an answer, with the data behind it if it announces some.
type response struct {
	line string // without its end
	data string
}

func (r response) String() string {
	if announces(r.line) < 0 {
		return shortened(r.line)
	}
	return shortened(r.line) + " " + shortened(r.data)
}

// parse takes an answer apart. What does not look like an answer comes out as lines.
func parse(answer []byte) (all []response) {
	for len(answer) > 0 {
		line, rest, whole := bytes.Cut(answer, []byte("\r\n"))
		r := response{line: string(line)}
		if !whole {
			// Not to be confused with a line that is whole.
			return append(all, response{line: r.line + "<cut>"})
		}
		if n := announces(r.line); n >= 0 {
			n = min(n+len("\r\n"), len(rest))
			r.data, rest = string(rest[:n]), rest[n:]
		}
		all, answer = append(all, r), rest
	}
	return all
}

// announces returns how many bytes of data a line says are behind it, or -1.
func announces(line string) int {
	fields := strings.Split(line, " ")
	at := -1
	switch {
	case fields[0] == "VALUE" && len(fields) >= 4:
		at = 3
	case fields[0] == "VA" && len(fields) >= 2:
		at = 1
	}
	if at < 0 {
		return -1
	}
	n, err := strconv.ParseUint(fields[at], 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}

// ids are pairs of CAS ids that stand for each other: two servers never give the same,
// but if one id comes up twice on one server, so it must on the other.
type ids struct {
	there, back map[uint64]uint64
	// age is how many seconds the last accesses may lie apart.
	age int64
}

func newIDs() *ids {
	return &ids{there: make(map[uint64]uint64), back: make(map[uint64]uint64), age: 1}
}

// same tells whether a is for one server what b is for the other.
func (m *ids) same(a, b uint64) bool {
	if (a == 0) != (b == 0) {
		return false
	}
	was, known := m.there[a]
	from, taken := m.back[b]
	if known || taken {
		return known && taken && was == b && from == a
	}
	m.there[a], m.back[b] = b, a
	return true
}

// differ compares two answers to the same commands, and says what is different first;
// empty if nothing is.
func differ(a, b []byte, m *ids) string {
	one, other := parse(a), parse(b)
	for i := range max(len(one), len(other)) {
		switch {
		case i >= len(one):
			return fmt.Sprintf("answer %d: nothing, and %v", i+1, other[i])
		case i >= len(other):
			return fmt.Sprintf("answer %d: %v, and nothing", i+1, one[i])
		case one[i].data != other[i].data || !sameLine(one[i].line, other[i].line, m):
			return fmt.Sprintf("answer %d: %v, and %v", i+1, one[i], other[i])
		}
	}
	return ""
}

// sameLine tells whether two lines say the same, apart from what may differ: ids, a
// second more or less, the numbers of size classes and the sizes of items with all
// that a server keeps of them.
func sameLine(a, b string, m *ids) bool {
	one, other := strings.Split(a, " "), strings.Split(b, " ")
	if one[0] == "VERSION" && other[0] == "VERSION" {
		return true
	}
	if len(one) != len(other) || one[0] != other[0] {
		return false
	}
	for i := 1; i < len(one); i++ {
		if !sameField(one[0], i, one[i], other[i], m) {
			return false
		}
	}
	return true
}

func sameField(status string, i int, a, b string, m *ids) bool {
	switch status {
	case "VALUE":
		if i == 4 {
			return sameID(a, b, m)
		}
	case "ME":
		name, va, _ := strings.Cut(a, "=")
		other, vb, _ := strings.Cut(b, "=")
		if name != other {
			return false
		}
		switch {
		case i == 1: // the key
		case name == "cas":
			return sameID(va, vb, m)
		case name == "exp":
			return near(va, vb, 1)
		case name == "la":
			return near(va, vb, m.age)
		case name == "cls", name == "size":
			return number(va) && number(vb)
		}
	case "HD", "VA", "NS", "EX":
		if a == "" || b == "" || a[0] != b[0] || (status == "VA" && i == 1) {
			break
		}
		switch a[0] {
		case 'c':
			return sameID(a[1:], b[1:], m)
		case 't':
			return near(a[1:], b[1:], 1)
		case 'l':
			return near(a[1:], b[1:], m.age)
		}
	}
	return a == b
}

// sameID compares the ids in two fields.
func sameID(a, b string, m *ids) bool {
	one, errA := strconv.ParseUint(a, 10, 64)
	other, errB := strconv.ParseUint(b, 10, 64)
	return errA == nil && errB == nil && m.same(one, other)
}

// near tells whether two numbers of seconds are at most so many apart. Beyond 31 bits is
// what memcached says of an item that has expired within the command: the second of
// its own start, minus the present, as an unsigned number.
func near(a, b string, apart int64) bool {
	one, errA := strconv.ParseInt(a, 10, 64)
	other, errB := strconv.ParseInt(b, 10, 64)
	switch {
	case errA != nil || errB != nil:
		return false
	case one > math.MaxInt32 && other > math.MaxInt32:
		return true
	case one < 0 || other < 0: // never
		return one == other
	case min(one, other) > absolute:
		apart++
	}
	return one-other <= apart && other-one <= apart
}

// absolute is what the seconds to a time that was given as such may be more than, and no
// others: they lie a second further apart, for memcached takes its own start and the
// present for whole seconds.
const absolute = 60 * 60 * 24 * 30

func number(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}
