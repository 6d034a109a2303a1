package server

import "math"

// words takes a line apart: only spaces separate (memcached's protocol.txt).
type words struct {
	line []byte
	at   int
}

// next returns the next word, empty when there is none.
func (w *words) next() []byte {
	line, at := w.line, w.at
	for at < len(line) && line[at] == ' ' {
		at++
	}
	from := at
	for at < len(line) && line[at] != ' ' {
		at++
	}
	w.at = at
	return line[from:at]
}

// maxWords is how many words of a line are looked at.
const maxWords = 23

// noreply reports whether the last word of a line is noreply.
func noreply(line []byte) bool {
	end := len(line)
	for end > 0 && line[end-1] == ' ' {
		end--
	}
	const word = "noreply"
	from := end - len(word)
	return from >= 0 && string(line[from:end]) == word && (from == 0 || line[from-1] == ' ')
}

// decimal reads digits only, at most places of them.
func decimal(b []byte, places int) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > places {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// unsigned64 reads a delta, a CAS id: as many digits as memcached reads.
func unsigned64(b []byte) (uint64, bool) { return decimal(b, 22) }

// unsigned32 reads digits of a number of 32 bits.
func unsigned32(b []byte) (uint32, bool) {
	n, ok := decimal(b, 11)
	return uint32(n), ok && n <= math.MaxUint32
}

// signed32 reads an expiry or a length as meta commands take it: a minus at most before
// the digits, and at most eleven characters. A minus alone is 0, as for memcached.
func signed32(b []byte) (int32, bool) {
	if len(b) > 11 {
		return 0, false
	}
	digits, negative := b, false
	if len(b) > 0 && b[0] == '-' {
		digits, negative = b[1:], true
		if len(digits) == 0 {
			return 0, true
		}
	}
	n, ok := decimal(digits, 11)
	switch {
	case !ok:
		return 0, false
	case negative:
		return int32(-int64(n)), n <= 1<<31
	}
	return int32(n), n <= math.MaxInt32
}

// cUnsigned reads a number as C's strtoull does, up to the end of the word: a sign, and a
// minus wraps around. memcached refuses what is negative then.
func cUnsigned(b []byte) (uint64, bool) {
	b, negative := cSign(b)
	n, ok := decimal(b, len(b))
	if !ok {
		return 0, false
	}
	if negative {
		n = -n
		return n, int64(n) >= 0
	}
	return n, true
}

// cSigned reads a number as C's strtol does, up to the end of the word.
func cSigned(b []byte) (int64, bool) {
	b, negative := cSign(b)
	n, ok := decimal(b, len(b))
	if !ok {
		return 0, false
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

func cSign(b []byte) (rest []byte, negative bool) {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		return b[1:], b[0] == '-'
	}
	return b, false
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// numeric reads the number an item's value begins with, as memcached's strtoull does: it
// must be followed by white space, a zero byte, or the end.
func numeric(value []byte) (uint64, bool) {
	end := 0
	for end < len(value) && isSpace(value[end]) {
		end++
	}
	if end < len(value) && (value[end] == '-' || value[end] == '+') {
		end++
	}
	for end < len(value) && value[end] >= '0' && value[end] <= '9' {
		end++
	}
	if end < len(value) && value[end] != 0 && !isSpace(value[end]) {
		return 0, false
	}
	return cUnsigned(value[:end])
}
