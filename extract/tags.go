package extract

import (
	"bytes"
	"errors"
	"fmt"
)

// Tags finds the keys that comments name under a set of tag names. It has
// scratch space of its own: one goroutine at a time.
type Tags struct {
	names [][]byte
	found []span // comments of the statement at hand that mention a name
	key   []byte // a key whose escapes are being decoded
}

// NewTags makes Tags for the given names: one at least, each once, each a ValidName.
func NewTags(names []string) (*Tags, error) {
	if len(names) == 0 {
		return nil, errors.New("no tag name given")
	}
	t := &Tags{key: make([]byte, 0, maxKey+1)}
	for _, name := range names {
		if !ValidName(name) {
			return nil, fmt.Errorf("tag name %q: want 1 to 64 ASCII letters, digits, '_', '-', '.', a letter or '_' first", name)
		}
		if t.named([]byte(name)) {
			return nil, fmt.Errorf("tag name %q is given twice", name)
		}
		t.names = append(t.names, []byte(name))
	}
	return t, nil
}

// ValidName tells whether a tag can have that name: up to 64 ASCII letters, digits,
// '_', '-' and '.', with a letter or '_' first, so that every form can write it as it
// is.
func ValidName(name string) bool {
	const maxName = 64
	if name == "" || len(name) > maxName {
		return false
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return true
}

// named tells whether name is one of the tag names.
func (t *Tags) named(name []byte) bool {
	for _, n := range t.names {
		if bytes.Equal(n, name) {
			return true
		}
	}
	return false
}

// Mentioned tells whether a tag can be in a text. If not, there is none: one
// search for each name has dismissed it. If so, only lexing will tell.
//
// Benchmark: BenchmarkMentioned.
func (t *Tags) Mentioned(text []byte) bool { return t.mention(text) >= 0 }

// mention gives the place of the first mention, or −1. What counts as one is a
// name between bytes that every form has there.
func (t *Tags) mention(text []byte) int {
	first := -1
	for _, name := range t.names {
		for from := 0; ; {
			i := bytes.Index(text[from:], name)
			if i < 0 {
				break
			}
			i += from
			from = i + 1
			end := i + len(name)
			if end == len(text) {
				break
			}
			if i > 0 && !opens(text[i-1]) || text[end] != ':' && text[end] != '=' {
				continue
			}
			first = i
			text = text[:i] // another name's mention is the first only if it stands before this one
			break
		}
	}
	return first
}

// opens tells whether a tag's name may stand behind a byte.
func opens(c byte) bool {
	return c == '*' || c == '#' || c == ',' || isSpace(c)
}

// Keys hands the keys that a statement's tags name to key, in the order they are
// mentioned, repetitions included, and to refused what was meant as a key and
// cannot be one. The text is what the log says was executed, lex how its session
// reads it. What is handed over is good only during that call.
//
// A key has 1 to 250 bytes, none of them up to 0x20 or 0x7f. Nothing goes out
// before the whole statement has been lexed: one that turns out Misread gives no
// key at all. In steady state nothing is allocated.
//
// Benchmark: BenchmarkKeys.
func (t *Tags) Keys(text []byte, lex Lexing, key func([]byte), refused func(Refusal)) {
	mention := t.mention(text)
	if mention < 0 {
		return
	}
	var l lexer
	l.start(text, lex)
	t.found = t.found[:0]
	for {
		c, ok := l.next()
		if !ok {
			break
		}
		// The first mention need not be looked for twice.
		if c.end > mention && (c.start <= mention || t.Mentioned(text[c.start:c.end])) {
			t.found = append(t.found, c)
		}
	}
	if l.fault == Misread {
		refuse(refused, Misread, text[mention:])
		return
	}
	for _, c := range t.found {
		if l.fault == Ambiguous && c.start >= l.certain {
			break
		}
		t.comment(text[c.start:c.end], key, refused)
	}
	if l.fault == Ambiguous {
		if i := t.mention(text[l.certain:]); i >= 0 {
			refuse(refused, Ambiguous, text[l.certain+i:])
		}
	}
	const keep = 1 << 10
	if cap(t.found) > keep {
		t.found = nil
	}
}
