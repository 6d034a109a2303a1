package extract_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/extract"
)

// statementOf gives an INSERT of about size bytes: rows of words and numbers, or
// one long literal, escaped as binary values are.
func statementOf(size int, long bool) string {
	var b strings.Builder
	b.WriteString("INSERT INTO shop.orders (id, customer, note, price) VALUES ")
	if long {
		b.WriteString("(1, 'Ann', '")
		for i := 0; b.Len() < size; i++ {
			b.WriteString("some bytes of a document, ")
			if i%8 == 0 {
				b.WriteString(`\'\n\0`)
			}
		}
		b.WriteString("', 10.50)")
		return b.String()
	}
	for i := 0; b.Len() < size-40; i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, 'Customer %d', 'it\\'s a note', %d.50)", i, i, i)
	}
	return b.String()
}

var sizes = []int{200, 2 << 10, 1 << 20}

// BenchmarkMentioned is the common case: a statement without a tag.
func BenchmarkMentioned(b *testing.B) {
	for _, names := range [][]string{{"mc"}, {"mc", "cache", "invalidate"}} {
		tags, err := extract.NewTags(names)
		if err != nil {
			b.Fatal(err)
		}
		for _, size := range sizes {
			b.Run(fmt.Sprintf("names=%d/bytes=%d", len(names), size), func(b *testing.B) {
				text := []byte(statementOf(size, false))
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if tags.Mentioned(text) {
						b.Fatal("a mention")
					}
				}
			})
		}
	}
}

// BenchmarkKeys is a statement with a tag of two keys, at its end and so behind
// everything that has to be lexed.
func BenchmarkKeys(b *testing.B) {
	for _, lex := range []extract.Lexing{{}, {NoBackslashEscapes: true}, {Charset: extract.GBK}} {
		for _, long := range []bool{false, true} {
			for _, size := range sizes {
				b.Run(fmt.Sprintf("lexing=%+v/long=%v/bytes=%d", lex, long, size), func(b *testing.B) {
					text := statementOf(size, long)
					if lex.NoBackslashEscapes {
						text = strings.ReplaceAll(text, `\'`, "''")
					}
					benchmarkKeys(b, []byte(text+" /* mc: user:1 user:1%3Afriends */"), lex, 2)
				})
			}
		}
	}
}

// BenchmarkForms is a short statement with twenty keys in each form.
func BenchmarkForms(b *testing.B) {
	for name, form := range map[string][3]string{
		"native":       {"/* mc: ", " ", " */"},
		"pair":         {"/*application:Shop,mc:", ",mc:", "*/"},
		"sqlcommenter": {"/*mc='", "%20", "',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/"},
	} {
		b.Run(name, func(b *testing.B) {
			keys := strings.Repeat("user:12345:friends"+form[1], 20)
			text := "UPDATE users SET name = 'Ann' WHERE id = 12345 " + form[0] + strings.TrimSuffix(keys, form[1]) + form[2]
			benchmarkKeys(b, []byte(text), extract.Lexing{}, 20)
		})
	}
}

// BenchmarkSmall is what most tagged statements are.
func BenchmarkSmall(b *testing.B) {
	for _, text := range []string{
		"INSERT /* mc: user:1234567 */ INTO t VALUES (1234567, 'some text')",
		"UPDATE /* mc: user:12345 user:12345:friends */ shop.users SET name = 'Ann', note = 'it\\'s a note', price = 10.50, changed = NOW() WHERE id = 12345 AND version = 17",
	} {
		b.Run(fmt.Sprintf("bytes=%d", len(text)), func(b *testing.B) {
			benchmarkKeys(b, []byte(text), extract.Lexing{}, strings.Count(text, "user:1"))
		})
	}
}

func benchmarkKeys(b *testing.B, text []byte, lex extract.Lexing, want int) {
	tags, err := extract.NewTags([]string{"mc"})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	key := func([]byte) { n++ }
	refused := func(r extract.Refusal) { b.Errorf("%v: %q", r.Reason, r.Text) }
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tags.Keys(text, lex, key, refused)
	}
	if n != want*b.N {
		b.Errorf("%d keys in %d statements, want %d each", n, b.N, want)
	}
}
