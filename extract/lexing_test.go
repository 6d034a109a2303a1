package extract

import "testing"

func TestLexingForReadsTheLogsNumbers(t *testing.T) {
	const otherModes = 1<<1 | 1<<3 | 1<<21 | 1<<40
	for _, test := range []struct {
		mode      uint64
		collation uint16
		want      Lexing
	}{
		{0, 0, Lexing{}},
		{otherModes, 255, Lexing{}}, // utf8mb4_0900_ai_ci
		{otherModes | 4, 8, Lexing{AnsiQuotes: true}},
		{otherModes | 1<<20, 45, Lexing{NoBackslashEscapes: true}},
		{4 | 1<<20, 28, Lexing{AnsiQuotes: true, NoBackslashEscapes: true, Charset: GBK}},
		{0, 249, Lexing{Charset: GBK}},
		{0, 95, Lexing{Charset: SJIS}},
		{0, 1112, Lexing{Charset: SJIS}},
		{0, 84, Lexing{Charset: Big5}},
		{0, 10, Lexing{Charset: SWE7}},
	} {
		if got := LexingFor(test.mode, test.collation); got != test.want {
			t.Errorf("sql_mode %#x, collation %d: %+v, want %+v", test.mode, test.collation, got, test.want)
		}
	}
}

func TestLexingNamedReadsTheServersWords(t *testing.T) {
	for _, test := range []struct {
		mode, charset string
		want          Lexing
	}{
		{"", "", Lexing{}},
		{"ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES", "utf8mb4", Lexing{}},
		{"REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI", "latin1", Lexing{AnsiQuotes: true}},
		{"no_backslash_escapes", "GBK", Lexing{NoBackslashEscapes: true, Charset: GBK}},
		{"", "gb18030", Lexing{Charset: GBK}},
		{"", "cp932", Lexing{Charset: SJIS}},
		{"", "sjis", Lexing{Charset: SJIS}},
		{"", "big5", Lexing{Charset: Big5}},
		{"", "swe7", Lexing{Charset: SWE7}},
		{"", "ujis", Lexing{}},
	} {
		if got := LexingNamed(test.mode, test.charset); got != test.want {
			t.Errorf("%q, %q: %+v, want %+v", test.mode, test.charset, got, test.want)
		}
	}
}
