package extract_test

import (
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/extract"
)

// reader is Tags for tests: it keeps what Keys hands over.
type reader struct {
	t    testing.TB
	tags *extract.Tags
}

// newTags makes a reader for the names, or for mc alone.
func newTags(t testing.TB, names ...string) *reader {
	t.Helper()
	if names == nil {
		names = []string{"mc"}
	}
	tags, err := extract.NewTags(names)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, tags}
}

// reading is what came of one statement.
type reading struct {
	keys    []string
	refused []extract.Reason
}

func (r *reader) read(text string, lex extract.Lexing) (got reading) {
	r.t.Helper()
	r.tags.Keys([]byte(text), lex, func(key []byte) {
		if len(key) == 0 || len(key) > 250 || strings.ContainsFunc(string(key), func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			r.t.Errorf("%q gives the key %q", text, key)
		}
		got.keys = append(got.keys, string(key))
	}, func(refusal extract.Refusal) {
		if len(refusal.Text) > 100 || !strings.Contains(text, string(refusal.Text)) {
			r.t.Errorf("%q refuses %q", text, refusal.Text)
		}
		got.refused = append(got.refused, refusal.Reason)
	})
	return got
}

// quote writes a value as a literal, as a client would that knows how its session
// lexes (mysql_real_escape_string_quote): q is ' or ".
func quote(value string, lex extract.Lexing, q string) string {
	var b strings.Builder
	b.WriteString(q)
	name := lex.AnsiQuotes && q == `"`
	for i := 0; i < len(value); i++ {
		c := value[i]
		n := characterLen(lex.Charset, value[i:])
		switch {
		case n > 1:
			b.WriteString(value[i : i+n])
			i += n - 1
		case lex.NoBackslashEscapes || name:
			if string(c) == q {
				b.WriteString(q)
			}
			b.WriteByte(c)
		case c == '\'' || c == '"' || c == '\\' || c >= 0x80 && lex.Charset != extract.Plain:
			// A byte that begins no character would else make one with the escape
			// of the next.
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteString(q)
	return b.String()
}

// characterLen gives the length of the character at the beginning of s, told from
// the manuals' tables and not from the code under test.
func characterLen(charset extract.Charset, s string) int {
	in := func(c, first, last byte) bool { return c >= first && c <= last }
	if len(s) < 2 {
		return 1
	}
	a, b := s[0], s[1]
	pair := false
	switch charset {
	case extract.Big5:
		pair = in(a, 0xa1, 0xf9) && (in(b, 0x40, 0x7e) || in(b, 0xa1, 0xfe))
	case extract.SJIS:
		pair = (in(a, 0x81, 0x9f) || in(a, 0xe0, 0xfc)) && (in(b, 0x40, 0x7e) || in(b, 0x80, 0xfc))
	case extract.GBK:
		pair = in(a, 0x81, 0xfe) && (in(b, 0x40, 0x7e) || in(b, 0x80, 0xfe))
	}
	if pair {
		return 2
	}
	return 1
}
