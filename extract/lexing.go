package extract

import "strings"

// Lexing says how a session's statements are to be read. The zero value is the
// servers' default: backslashes escape, double quotes hold strings, and the
// character set is utf8mb4 or any other in which no character hides a quote.
//
// With the wrong Lexing a value in a statement can look like a comment, so take
// it from the session where the log has it (LexingFor), else from the server
// (LexingNamed).
type Lexing struct {
	// AnsiQuotes: "…" is a quoted name, in which a backslash is a backslash.
	AnsiQuotes bool
	// NoBackslashEscapes: a backslash in a string is a backslash.
	NoBackslashEscapes bool
	// Charset is the client's character set: statements are lexed in it,
	// whatever introducers (_latin1'…') stand before their literals.
	Charset Charset
}

// Charset is a family of character sets that are lexed alike.
type Charset uint8

// The families. A character set matters to a lexer only if a backslash or a backquote
// may be a letter, or the second byte of a character; no server has one in which that
// may be another quote.
const (
	// Plain: utf8mb4, utf8mb3, latin1, and all others not named below.
	Plain Charset = iota
	Big5
	// SJIS: sjis and cp932.
	SJIS
	// GBK: gbk and gb18030. The latter's characters of four bytes have digits for
	// their second and fourth byte, so that pairs serve it as well.
	GBK
	// SWE7: swe7, of seven bits, in which @, \ and ` are letters. Servers differ in
	// where those may stand in a name, so that nothing is certain behind one of them
	// that stands outside literals and comments.
	SWE7
)

// Bits of sql_mode, the same in MySQL (sql/system_variables.h) and MariaDB
// (sql/sql_class.h).
const (
	modeAnsiQuotes         = 1 << 2
	modeNoBackslashEscapes = 1 << 20
)

// LexingFor gives the Lexing for what the status variables of a Query event say
// of its session: sql_mode's bits, and the id of the client's collation (0 where
// the log does not say).
func LexingFor(sqlMode uint64, collation uint16) Lexing {
	return Lexing{
		AnsiQuotes:         sqlMode&modeAnsiQuotes != 0,
		NoBackslashEscapes: sqlMode&modeNoBackslashEscapes != 0,
		Charset:            charsetOf(collation),
	}
}

// LexingNamed gives the Lexing for settings as a server shows them: @@sql_mode,
// and @@character_set_client.
func LexingNamed(sqlMode, charset string) Lexing {
	var l Lexing
	for mode := range strings.SplitSeq(sqlMode, ",") {
		switch strings.ToUpper(strings.TrimSpace(mode)) {
		case "ANSI_QUOTES":
			l.AnsiQuotes = true
		case "NO_BACKSLASH_ESCAPES":
			l.NoBackslashEscapes = true
		}
	}
	switch strings.ToLower(charset) {
	case "big5":
		l.Charset = Big5
	case "sjis", "cp932":
		l.Charset = SJIS
	case "gbk", "gb18030":
		l.Charset = GBK
	case "swe7":
		l.Charset = SWE7
	}
	return l
}

// charsetOf knows the ids of information_schema.COLLATIONS. MariaDB's
// collations without padding have ids of their own, from 1025 on.
func charsetOf(collation uint16) Charset {
	switch collation {
	case 1, 84, 1025, 1108: // big5
		return Big5
	case 13, 88, 1037, 1112, // sjis
		95, 96, 1119, 1120: // cp932
		return SJIS
	case 28, 87, 1052, 1111, // gbk
		248, 249, 250: // gb18030
		return GBK
	case 10, 82, 1034, 1106: // swe7
		return SWE7
	}
	return Plain
}

// pairs says which bytes begin a character of two and which may end one, as
// my_ismbchar does in strings/ctype-big5.cc, ctype-sjis.cc, ctype-cp932.cc,
// ctype-gbk.cc and ctype-gb18030.cc.
type pairs struct {
	first, second [256]bool
}

// pairsOf is indexed by Charset; Plain and SWE7 have none.
var pairsOf = [...]*pairs{
	Plain: nil,
	Big5:  newPairs([]byte{0xa1, 0xf9}, []byte{0x40, 0x7e, 0xa1, 0xfe}),
	SJIS:  newPairs([]byte{0x81, 0x9f, 0xe0, 0xfc}, []byte{0x40, 0x7e, 0x80, 0xfc}),
	GBK:   newPairs([]byte{0x81, 0xfe}, []byte{0x40, 0x7e, 0x80, 0xfe}),
	SWE7:  nil,
}

// newPairs takes ranges: first, last, first, last, …
func newPairs(first, second []byte) *pairs {
	fill := func(set *[256]bool, ranges []byte) {
		for ; len(ranges) > 0; ranges = ranges[2:] {
			for c := int(ranges[0]); c <= int(ranges[1]); c++ {
				set[c] = true
			}
		}
	}
	p := new(pairs)
	fill(&p.first, first)
	fill(&p.second, second)
	return p
}

// at tells whether a character of two bytes stands at text[i:]. It may be asked
// where the text ends, and of no pairs at all.
func (p *pairs) at(text []byte, i int) bool {
	return p != nil && i+1 < len(text) && p.first[text[i]] && p.second[text[i+1]]
}
