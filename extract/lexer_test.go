package extract

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// comments gives what the lexer finds, as far as it is certain of it.
func comments(text string, lex Lexing) (found []string, fault Reason) {
	var l lexer
	l.start([]byte(text), lex)
	var at []int
	for {
		c, ok := l.next()
		if !ok {
			break
		}
		found = append(found, text[c.start:c.end])
		at = append(at, c.start)
	}
	if l.fault == Ambiguous {
		for i := range at {
			if at[i] >= l.certain {
				found = found[:i]
				break
			}
		}
	}
	return found, l.fault
}

// TestLexer is a table of the rules. What is in it was asked of MySQL 9.7 and
// MariaDB 10.11; server_test.go asks again, at random.
func TestLexer(t *testing.T) {
	ansi := Lexing{AnsiQuotes: true}
	noEscapes := Lexing{NoBackslashEscapes: true}
	swe7 := Lexing{Charset: SWE7}
	gbk, sjis, big5 := Lexing{Charset: GBK}, Lexing{Charset: SJIS}, Lexing{Charset: Big5}
	for _, test := range []struct {
		name  string
		lex   Lexing
		text  string
		want  []string
		fault Reason
	}{
		{"no text", Lexing{}, "", nil, none},
		{"no comment", Lexing{}, "UPDATE t SET a = 1", nil, none},

		{"block", Lexing{}, "SELECT /* a */ 1", []string{" a "}, none},
		{"blocks", Lexing{}, "/*a*//*b*/SELECT/*c*/1/*d*/", []string{"a", "b", "c", "d"}, none},
		{"block empty", Lexing{}, "/**/1", []string{""}, none},
		{"block of stars", Lexing{}, "/***/1", []string{"*"}, none},
		{"block not closed by its own star", Lexing{}, "/*/ */", []string{"/ "}, none},
		{"block not nested", Lexing{}, "/* /* a */ 1", []string{" /* a "}, none},
		{"block with quotes", Lexing{}, "/* ' */ 1 /* \" */", []string{" ' ", ` " `}, none},
		{"block with a NUL", Lexing{}, "/* \x00 */", []string{" \x00 "}, none},
		{"block unclosed", Lexing{}, "/* a */ 1 /* b", []string{" a "}, Misread},
		{"block after a factor", Lexing{}, "SELECT 2*/* a */3", []string{" a "}, none},
		{"block after a division", Lexing{}, "SELECT 2//* a */3", []string{" a "}, none},
		{"stars and slashes", Lexing{}, "SELECT 2*3/4*/5", nil, none},

		{"hash", Lexing{}, "1 # a\n2 #b", []string{" a", "b"}, none},
		{"hash with a quote", Lexing{}, "1 # don't\n /* a */", []string{" don't", " a "}, none},
		{"hash with a block", Lexing{}, "1 # /* a\n2 /* b */", []string{" /* a", " b "}, none},
		{"hash after a name", Lexing{}, "a#b", []string{"b"}, none},
		{"dashes", Lexing{}, "1 -- a\n2 --\tb\r\n--\n--", []string{" a", "\tb\r", "", ""}, none},
		{"dashes with a control byte", Lexing{}, "1 --\x01a\n --\x7fb", []string{"\x01a", "\x7fb"}, none},
		{"dashes without white space", Lexing{}, "1--2 --a --/* b */", []string{" b "}, none},
		{"three dashes", Lexing{}, "1 --- a", []string{" a"}, none},
		{"one dash", Lexing{}, "1 - - a -", nil, none},
		{"line with a NUL at the end", Lexing{}, "1 -- a\x00", []string{" a"}, none},
		{"line with a NUL within", Lexing{}, "1 -- a\x00b", nil, Misread},
		{"NUL at the end", Lexing{}, "1 /*a*/\x00", []string{"a"}, none},
		{"NUL between tokens", Lexing{}, "1 \x00 2", nil, Misread},
		{"dashes before a byte that may be white space", Lexing{}, "1 /*a*/ --\xa0 /*b*/", []string{"a"}, Ambiguous},

		{"string", Lexing{}, "'/* a */' /* b */", []string{" b "}, none},
		{"string with line marks", Lexing{}, "'-- a # b' /* c */", []string{" c "}, none},
		{"string with a newline", Lexing{}, "'\n-- a\n' /* c */", []string{" c "}, none},
		{"string doubled", Lexing{}, "'it''s /* a */' /* b */", []string{" b "}, none},
		{"string doubled at once", Lexing{}, "'''/* a */' /* b */", []string{" b "}, none},
		{"string empty", Lexing{}, "'' /* b */ ''", []string{" b "}, none},
		{"string escaped", Lexing{}, `'it\'s /* a */' /* b */`, []string{" b "}, none},
		{"string ending in a backslash", Lexing{}, `'\\' /* b */`, []string{" b "}, none},
		{"string of escapes", Lexing{}, `'\\\'\\' /* b */ '\'\''`, []string{" b "}, none},
		{"string unclosed", Lexing{}, "/* a */ 'b", []string{" a "}, Misread},
		{"string unclosed after a doubled quote", Lexing{}, "'a''", nil, Misread},
		{"string unclosed by a backslash", Lexing{}, `'a\'`, nil, Misread},
		{"string unclosed after a backslash", Lexing{}, `'a\`, nil, Misread},
		{"string with a NUL", Lexing{}, "'\x00' /* a */", []string{" a "}, none},
		{"string, backslashes off", noEscapes, `'\' /* a */`, []string{" a "}, none},
		{"string doubled, backslashes off", noEscapes, `'\''/* a */' /* b */`, []string{" b "}, none},
		{"double quotes", Lexing{}, `"/* a */ ' \" ""'" /* b */`, []string{" b "}, none},
		{"double quotes, backslashes off", noEscapes, `"\" /* b */`, []string{" b "}, none},
		{"double quotes as a name", ansi, `"\" /* b */ "c""" '\'/* d */'`, []string{" b "}, none},
		{"backquotes", Lexing{}, "`/* a */ ' \\` /* b */ `c``/* d */`", []string{" b "}, none},
		{"backquotes unclosed", Lexing{}, "`a", nil, Misread},
		{"backquotes with a NUL", Lexing{}, "`a\x00b`", nil, Misread},
		{"prefixes", Lexing{}, `N'/*a*/' _utf8mb4'/*b*/' x'41' b'01' n"c" _binary /*d*/ '/*e*/'`, []string{"d"}, none},
		{"quotes in quotes", Lexing{}, "'\"' /*a*/ \"'\" /*b*/ '`' /*c*/ `'\"` /*d*/", []string{"a", "b", "c", "d"}, none},
		{"backslash between tokens", Lexing{}, `a \ b`, nil, Misread},
		{"backslash at the end", Lexing{}, `a \`, nil, Misread},
		{"backslash N", Lexing{}, `\N /*a*/`, []string{"a"}, none},

		{"hint", Lexing{}, "SELECT /*+ a */ /* b */ 1", []string{" b "}, none},
		{"hint with a quote", Lexing{}, "SELECT /*+ don't */ 1, '/*a*/' /*b*/", []string{"b"}, none},
		{"special", Lexing{}, "SELECT /*! 'a */' /* b */ */ 1 /* c */", []string{" b ", " c "}, none},
		{"special with a version", Lexing{}, "SELECT /*!50100 1 /*a*/ */ /*!080012 +1 */ /*b*/", []string{"a", "b"}, none},
		{"special with a short version", Lexing{}, "SELECT /*!5010.5e-1*/ /*b*/", []string{"b"}, none},
		{"special empty", Lexing{}, "/*!*//*a*//*!50000*//*b*/", []string{"a", "b"}, none},
		{"special in special", Lexing{}, "/*! 1 /*! 2 */ /*a*/ + 3", []string{"a"}, none},
		{"special ends before a factor", Lexing{}, "2 /*! * 3 */*/*a*/4", []string{"a"}, none},
		{"special not ended by a line", Lexing{}, "/*! 1 # */\n+ 2 */ /*a*/", []string{" */", "a"}, none},
		{"special unclosed", Lexing{}, "/*! 1", nil, Misread},
		{"special, its slash alone", Lexing{}, "/*! 1*", nil, Misread},
		{"MariaDB's special", Lexing{}, "/*M!100100 1 */ /*a*/", []string{"a"}, none},
		{"MariaDB's special with a string", Lexing{}, "1 /*M! + '1' */ /*a*/", []string{"a"}, none},
		{"MariaDB's special with its end in a string", Lexing{}, "/*a*/ 1 /*M! + '*/' */ /*b*/", []string{"a"}, Ambiguous},
		{"MariaDB's special with a comment", Lexing{}, "1 /*M! /*a*/ */ /*b*/", nil, Ambiguous},
		{"MariaDB's special with an apostrophe", Lexing{}, "1 /*M! don't */ /*b*/", nil, Ambiguous},
		{"MariaDB's special with a backslash", Lexing{}, `/*M!999999\- enable the sandbox mode */`, nil, Ambiguous},
		{"MariaDB's special with its end in a line", Lexing{}, "1 /*M! -- */ ' /*b*/ '\n */", nil, Ambiguous},
		{"MariaDB's special, ambiguous later on", Lexing{}, "1 /*M! -- */ ' /*b*/ '\n $$", nil, Ambiguous},
		{"MariaDB's special unclosed", Lexing{}, "1 /*M! 2", nil, Misread},

		{"names", Lexing{}, "a.b.`c`.$d.1e-- /*a*/", []string{" /*a*/"}, none},
		{"numbers", Lexing{}, "1 1.5 .5 1. 1e5 1.5e+3 0x41 0b01 1e-- /*a*/", []string{" /*a*/"}, none},
		{"number without its exponent", Lexing{}, "/*a*/ 1.5e-- /*b*/", []string{"a"}, Ambiguous},
		{"number without its exponent, from the point", Lexing{}, "`a`.5e-- /*b*/", nil, Ambiguous},
		{"number without its exponent, after a number", Lexing{}, "0x41.5e /*b*/", nil, Ambiguous},
		{"a name that looks like a number", Lexing{}, "t1.5e-- a", []string{" a"}, none},
		{"variables", Lexing{}, "@a.1.5e-- a\n @@b @`c` @'d' @\"e\" @ /*f*/", []string{" a", "f"}, none},
		{"dollar in a name", Lexing{}, "a$$b $c @$$d /*a*/", []string{"a"}, none},
		{"dollar quotes", Lexing{}, "CREATE /*a*/ FUNCTION f AS $$ ' $$ /*b*/", []string{"a"}, Ambiguous},
		{"dollar quotes with a tag", Lexing{}, "AS $js$ ' $js$ /*b*/", nil, Ambiguous},
		{"dollar quotes behind a version", Lexing{}, "AS /*!90000$$ ' $$ */ /*b*/", nil, Ambiguous},
		{"placeholders", Lexing{}, "$1 $2 ? /*a*/", []string{"a"}, none},

		{"character with a backslash", gbk, "'\xb0\\' /*a*/", []string{"a"}, none},
		{"character with a backslash, sjis", sjis, "'\x95\\' /*a*/ '\xb0\\'' /*b*/", []string{"a", "b"}, none},
		{"character with a backslash, big5", big5, "'\xa4\\' /*a*/ '\x81\\'' /*b*/", []string{"a", "b"}, none},
		{"the same bytes in utf8mb4", Lexing{}, "'\xb0\\' /*a*/ '", nil, none},
		{"two characters, then a backslash", gbk, "'\xb0\xb0\\' /*a*/ '", nil, none},
		{"half a character, then a quote", gbk, "'\xb0' /*a*/", []string{"a"}, none},
		{"character with a backquote", gbk, "`\xb0`` /*a*/", []string{"a"}, none},
		{"name with a backquote", gbk, "\xb0` /*a*/ a\xb0` /*b*/ a.\xb0` /*c*/", []string{"a", "b", "c"}, none},
		{"name that begins with a digit", gbk, "1\xb0\xb0 /*a*/ 1\xb0\xb0\xb0` /*b*/", []string{"a"}, Ambiguous},
		{"variable with a backquote", gbk, "/*a*/ @\xb0` /*b*/", []string{"a"}, Ambiguous},
		{"comment with half a character", gbk, "/*\xb0*/ 1 /*a\xb0\\*/ 2", []string{"\xb0", "a\xb0\\"}, none},
		{"line with half a character", gbk, "# \xb0\n/*a*/", []string{" \xb0", "a"}, none},
		{"a backslash that is a letter", swe7, `/*a*/ SELECT '\'' /*b*/ \ /*c*/`, []string{"a", "b"}, Ambiguous},
		{"a backquote that is a letter", swe7, "/*a*/ a` /*b*/", []string{"a"}, Ambiguous},
		{"gb18030 with four bytes", gbk, "'\x81\x30\x81\x30\\' /*a*/ '", nil, none},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, fault := comments(test.text, test.lex)
			if !slices.Equal(found, test.want) || fault != test.fault {
				t.Errorf("%q: %q, %v; want %q, %v", test.text, found, fault, test.want, test.fault)
			}
		})
	}
}

// TestLexingTakesLinearTime guards against texts that make a search run to
// their end again and again: a megabyte then takes minutes, not milliseconds.
func TestLexingTakesLinearTime(t *testing.T) {
	const size = 1 << 20
	tags, err := NewTags([]string{"mc", "other"})
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{
		"escapes":           `\'`,
		"doubled quotes":    "''",
		"specials":          "/*! */",
		"open specials":     "/*!",
		"MariaDB's":         "/*M! */",
		"open MariaDB's":    "/*M!",
		"blocks":            "/**/",
		"dashes":            "--",
		"lines":             "-- \n",
		"names":             "a.",
		"dollars":           "$a ",
		"slashes":           "/",
		"quoted names":      "`a`",
		"numbers":           "1 .5",
		"variables":         "@a",
		"high bytes":        "\xb0",
		"tags":              "/* mc: a */",
		"almost mentions":   "mc:",
		"half of mentions":  "mmmc",
		"pairs of a list":   "a:b,",
		"values of a list":  "a='b',",
		"colons":            ":",
		"quotes in a list":  "='",
		"escapes in a list": "%41",
	} {
		for _, lex := range []Lexing{{}, {Charset: GBK}} {
			for _, frame := range []string{"", "'", "/*", "/* mc: ", "/*a:b,mc:", "/*mc='"} {
				text := frame + strings.Repeat(part, size/len(part)) + strings.TrimPrefix(frame, "/*") + " */ /* mc: k */"
				begin := time.Now()
				tags.Keys([]byte(text), lex, func([]byte) {}, func(Refusal) {})
				if d := time.Since(begin); d > time.Minute {
					t.Errorf("a megabyte of %s after %q takes %v", name, frame, d)
				}
			}
		}
	}
}
