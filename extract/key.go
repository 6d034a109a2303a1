package extract

import (
	"fmt"
	"unicode/utf8"
)

// maxKey is the longest key, in bytes: memcached's KEY_MAX_LENGTH (protocol.txt,
// "Keys").
const maxKey = 250

// writing says how a list of keys is written in a tag's value.
type writing uint8

const (
	// raw: keys are separated by white space, then decoded.
	raw writing = iota
	// quotedValue: the whole value is decoded, backslashes and percent signs, and
	// then separated at white space.
	quotedValue
)

// list hands over the keys of one tag. Each is percent-decoded once.
func (t *Tags) list(b []byte, w writing, key func([]byte), refused func(Refusal)) {
	for i := 0; i < len(b); {
		if isSpace(b[i]) {
			i++
			continue
		}
		start := i
		for i < len(b) && plain[b[i]] {
			i++
		}
		end, next := i, i
		if i < len(b) && !isSpace(b[i]) {
			if c, ok := escape(b[i:]); ok && w == quotedValue && isSpace(c) {
				next = i + 3
			} else {
				i = t.decode(b, start, i, w, key, refused)
				continue
			}
		}
		switch {
		case end-start > maxKey:
			refuse(refused, TooLong, b[start:end])
		case end > start: // an encoded space may stand before a key
			key(b[start:end])
		}
		i = next
	}
}

// decode hands over the key that begins at start and is plain up to i, and gives
// the place where the list goes on.
func (t *Tags) decode(b []byte, start, i int, w writing, key func([]byte), refused func(Refusal)) int {
	why := none
	t.key = append(t.key[:0], b[start:min(i, start+maxKey+1)]...)
	end := len(b) // of the key as written
	for i < len(b) {
		c := b[i]
		if isSpace(c) {
			end = i
			break
		}
		n := 1
		switch {
		case c == '%':
			if d, ok := escape(b[i:]); ok {
				c, n = d, 3
			} else if why == none {
				why = BadEscape
			}
		case c == '\\' && w == quotedValue && i+1 < len(b) && (b[i+1] == '\'' || b[i+1] == '\\'):
			c = b[i+1]
			n = 2
		}
		if w == quotedValue && isSpace(c) {
			end = i
			i += n
			break
		}
		if (c <= ' ' || c == 0x7f) && why == none {
			why = ControlByte
		}
		if len(t.key) <= maxKey {
			t.key = append(t.key, c)
		}
		i += n
	}
	if why == none && len(t.key) > maxKey {
		why = TooLong
	}
	if why != none {
		refuse(refused, why, b[start:end])
	} else {
		key(t.key)
	}
	return i
}

// escape decodes the percent sign and two hexadecimal digits that b begins with.
func escape(b []byte) (c byte, ok bool) {
	if len(b) < 3 || b[0] != '%' || !isHex(b[1]) || !isHex(b[2]) {
		return 0, false
	}
	return unhex(b[1])<<4 | unhex(b[2]), true
}

// AppendEscaped appends a key as a tag may write it, percent-encoded only where
// it must be: bytes up to 0x20, 0x7f, the percent sign, and what is not UTF-8.
// Decoding gives the key back, byte for byte.
func AppendEscaped(dst, key []byte) []byte {
	const hex = "0123456789ABCDEF"
	for len(key) > 0 {
		c := key[0]
		if c >= utf8.RuneSelf {
			if _, n := utf8.DecodeRune(key); n > 1 {
				dst = append(dst, key[:n]...)
				key = key[n:]
				continue
			}
		}
		if c <= ' ' || c == 0x7f || c == '%' || c >= utf8.RuneSelf {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
		key = key[1:]
	}
	return dst
}

// Unescape is the key that a tag would write so: AppendEscaped's inverse.
func Unescape(text string) ([]byte, error) {
	key := make([]byte, 0, len(text))
	for b := []byte(text); len(b) > 0; {
		if b[0] != '%' {
			key, b = append(key, b[0]), b[1:]
			continue
		}
		c, ok := escape(b)
		if !ok {
			return nil, fmt.Errorf("%q: a percent sign has two hexadecimal digits behind it; itself it is %%25", text)
		}
		key, b = append(key, c), b[3:]
	}
	return key, nil
}

// plain has the bytes that stand for themselves in every writing of a key.
var plain = func() (set [256]bool) {
	for c := range set {
		set[c] = c > ' ' && c != 0x7f && c != '%' && c != '\\'
	}
	return set
}()

// isSpace tells white space as the servers know it in ASCII (my_isspace).
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
