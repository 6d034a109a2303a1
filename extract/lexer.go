package extract

import "bytes"

// lexer walks over a statement and stops at its comments. It follows the
// servers' own lexer (MySQL: lex_one_token in sql/sql_lex.cc, MariaDB:
// Lex_input_stream::lex_one_token) as far as that decides where literals, quoted
// names and comments begin and end:
//
//	'…'  "…"        a doubled quote and, unless sql_mode says otherwise, one
//	                behind a backslash go on; characters of two bytes are a unit
//	`…`             only a doubled quote goes on; likewise "…" with ANSI_QUOTES
//	# …  -- …       to the line's end, whatever stands in them; -- needs white
//	                space, a control byte or the text's end behind it
//	/* … */         to the first */, byte by byte, not nested; likewise /*+ … */
//	/*! … */        inside is SQL, comments and all. Whether we are inside is a
//	                flag, not a depth: the first */ outside comments ends it.
//	                One for a newer server than the one that logged it never
//	                comes here: servers blank its ! in the text they log
//	/*M! … */       the same on MariaDB, a plain comment on MySQL
//	$tag$ … $tag$   a literal, or a name, depending on the server's version
//
// Where servers read differently, or so oddly that nobody can have meant it, the
// lexer does not guess: it stops with Ambiguous. Everything before that place is
// certain. And as the server took the statement, a lexing that ends inside a
// literal is not the server's: it stops with Misread, and nothing is certain.
type lexer struct {
	text    []byte
	pos     int
	pairs   *pairs // characters of two bytes, nil where they hide nothing
	ansi    bool
	escapes bool
	swe7    bool

	special bool // inside /*! … */
	// maria is the place of an open /*M!, and mariaEnd that of the */ where
	// MySQL's reading of it ends; −1 while there is none.
	maria, mariaEnd int

	fault   Reason // Misread or Ambiguous: the walk has ended early
	certain int    // with Ambiguous: the place up to which all readings agree
}

// start makes the lexer ready for a text.
func (l *lexer) start(text []byte, lex Lexing) {
	// The servers allow a NUL behind the statement, as C's strings have one.
	if n := len(text); n > 0 && text[n-1] == 0 {
		text = text[:n-1]
	}
	*l = lexer{
		text:     text,
		pairs:    pairsOf[lex.Charset],
		ansi:     lex.AnsiQuotes,
		escapes:  !lex.NoBackslashEscapes,
		swe7:     lex.Charset == SWE7,
		maria:    -1,
		mariaEnd: -1,
	}
}

// Classes of bytes, outside literals and comments. Those up to dollar can be
// part of a name that is not quoted.
const (
	letter uint8 = iota // and _ and all bytes from 0x80 on
	digit
	dollar
	other // white space, operators, punctuation
	quote
	doubleQuote
	backquote
	hash
	minus
	slash
	star
	dot
	at
	backslash
	nul
)

// classOf is state_map of the servers' lexers, less what makes no difference
// here.
var classOf = func() (class [256]uint8) {
	for c := range class {
		switch {
		case c >= 0x80, c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
			class[c] = letter
		case c >= '0' && c <= '9':
			class[c] = digit
		default:
			class[c] = other
		}
	}
	for c, k := range map[byte]uint8{
		'$': dollar, '\'': quote, '"': doubleQuote, '`': backquote, '#': hash, '-': minus,
		'/': slash, '*': star, '.': dot, '@': at, '\\': backslash, 0: nul,
	} {
		class[c] = k
	}
	return class
}()

// inName tells whether a byte can be part of a name that is not quoted.
func inName(c byte) bool { return classOf[c] <= dollar }

// span is a part of a text: its first byte, and the first behind it.
type span struct{ start, end int }

// next finds the next comment and gives what stands between its marks. It ends
// with false at the text's end or at a fault.
func (l *lexer) next() (comment span, ok bool) {
	text := l.text
	for l.fault == none && l.pos < len(text) {
		class := classOf[text[l.pos]]
		if l.swe7 && (class == backquote || class == at || class == backslash) {
			l.doubt(l.pos) // a letter, perhaps
			break
		}
		switch class {
		case letter:
			if l.pairs != nil {
				l.word()
			} else {
				l.words()
			}
		case digit:
			l.number()
		case dollar:
			l.dollar()
		case other:
			if l.pairs == nil {
				l.words()
				continue
			}
			i := l.pos + 1
			for i < len(text) && classOf[text[i]] == other {
				i++
			}
			l.pos = i
		case quote:
			l.quoted('\'', l.escapes)
		case doubleQuote:
			if l.ansi {
				l.name('"')
			} else {
				l.quoted('"', l.escapes)
			}
		case backquote:
			l.name('`')
		case hash:
			if c, ok := l.line(l.pos + 1); ok {
				return c, true
			}
		case minus:
			if l.dashes() {
				if c, ok := l.line(l.pos + 2); ok {
					return c, true
				}
			}
		case slash:
			if c, ok := l.slash(); ok {
				return c, true
			}
		case star:
			l.star()
		case dot:
			l.dot()
		case at:
			l.at()
		case backslash:
			// \N is NULL to MariaDB, and was to MySQL up to 5.7. Nothing else
			// begins with one.
			if l.pos+1 == len(text) || text[l.pos+1] != 'N' {
				l.fault = Misread
			}
			l.pos += 2
		case nul:
			l.fault = Misread
		}
	}
	if l.special && l.fault == none {
		l.fault = Misread // the servers want every comment closed
	}
	if l.fault == Misread && l.maria >= 0 {
		l.doubt(l.maria) // MariaDB did not take it, but MySQL may have
	}
	return span{}, false
}

// doubt ends the walk where servers read differently. If that is inside a /*M!,
// they do so from there on.
func (l *lexer) doubt(from int) {
	if l.maria >= 0 {
		from = l.maria
	}
	l.fault = Ambiguous
	l.certain = from
}

// quoted steps over a literal or quoted name that begins here, up to a quote. If
// that is doubled, what follows is taken for another one right behind it: it ends
// at the same place.
func (l *lexer) quoted(q byte, escapes bool) {
	l.pos++
	if l.pairs != nil {
		l.quotedPairs(q, escapes)
		return
	}
	// Most values are short: two searches would cost more than a look at each byte.
	const short = 24
	text, i := l.text, l.pos
	for end := min(len(text), i+short); i < end; i++ {
		switch c := text[i]; {
		case c == q:
			l.pos = i + 1
			return
		case c == '\\' && escapes:
			i++
		}
	}
	l.pos = i
	// The quote is looked for once, not once for each backslash before it.
	for end := l.indexByte(l.pos, q); end >= 0; {
		if escapes {
			if i := bytes.IndexByte(l.text[l.pos:end], '\\'); i >= 0 {
				l.pos += i + 2
				if l.pos > end {
					end = l.indexByte(l.pos, q)
				}
				continue
			}
		}
		l.pos = end + 1
		return
	}
	l.fault = Misread
}

// quotedPairs is the rest of quoted where characters have two bytes.
func (l *lexer) quotedPairs(q byte, escapes bool) {
	text, i := l.text, l.pos
	for i < len(text) {
		switch c := text[i]; {
		case c >= 0x80 && l.pairs.at(text, i):
			i += 2
		case c == '\\' && escapes:
			i += 2
		case c == q:
			l.pos = i + 1
			return
		default:
			i++
		}
	}
	l.fault = Misread
}

// name steps over a quoted name, which cannot hold a NUL.
func (l *lexer) name(q byte) {
	start := l.pos
	l.quoted(q, false)
	if l.fault == none && bytes.IndexByte(l.text[start:l.pos], 0) >= 0 {
		l.fault = Misread
	}
}

// indexByte is bytes.IndexByte from a place on that may lie behind the text.
func (l *lexer) indexByte(from int, c byte) int {
	if from >= len(l.text) {
		return -1
	}
	if i := bytes.IndexByte(l.text[from:], c); i >= 0 {
		return from + i
	}
	return -1
}

// line gives the comment to the line's end whose text begins at start.
func (l *lexer) line(start int) (comment span, ok bool) {
	end := l.indexByte(start, '\n')
	if end < 0 {
		end = len(l.text)
	}
	if bytes.IndexByte(l.text[start:end], 0) >= 0 {
		l.fault = Misread // a NUL ends the comment, and no statement goes on with one
		return span{}, false
	}
	l.pos = end
	return span{start, end}, true
}

// dashes tells whether a comment begins at this minus, and steps over it if not.
func (l *lexer) dashes() bool {
	rest := l.text[l.pos:]
	if len(rest) < 2 || rest[1] != '-' {
		l.pos++
		return false
	}
	if len(rest) == 2 {
		return true
	}
	switch c := rest[2]; {
	case c <= ' ' || c == 0x7f:
		return true
	case c >= 0x80:
		// White space in some character sets (0xa0 in latin1), a name in others.
		l.doubt(l.pos)
	default:
		l.pos++
	}
	return false
}

// slash steps over what a slash begins; if that is a comment, it is given. A hint
// is not: its words are the optimizer's.
func (l *lexer) slash() (comment span, ok bool) {
	rest := l.text[l.pos:]
	if len(rest) < 2 || rest[1] != '*' {
		l.pos++
		return span{}, false
	}
	if len(rest) > 2 && rest[2] == '!' {
		l.special = true
		l.pos += 3
		l.version()
		return span{}, false
	}
	mariaDB := len(rest) > 3 && rest[2] == 'M' && rest[3] == '!'
	if mariaDB && l.maria >= 0 {
		l.pos += 4 // the outer one's end is this one's
		l.version()
		return span{}, false
	}
	n := bytes.Index(rest[2:], []byte("*/"))
	if n < 0 {
		l.fault = Misread
		return span{}, false
	}
	end := l.pos + 2 + n
	if mariaDB {
		l.special = true
		l.maria, l.mariaEnd = l.pos, end
		l.pos += 4
		l.version()
		return span{}, false
	}
	comment = span{l.pos + 2, end}
	l.pos = end + 2
	return comment, rest[2] != '+'
}

// version steps over the five or six digits behind /*! and /*M!. With fewer
// they are part of the statement.
func (l *lexer) version() {
	n := 0
	for n < 6 && l.pos+n < len(l.text) && classOf[l.text[l.pos+n]] == digit {
		n++
	}
	if n >= 5 {
		l.pos += n
	}
}

// star steps over an asterisk, or over the end of /*! … */.
func (l *lexer) star() {
	if !l.special || l.pos+1 == len(l.text) || l.text[l.pos+1] != '/' {
		l.pos++
		return
	}
	if l.mariaEnd >= 0 && l.mariaEnd != l.pos {
		l.doubt(l.maria)
		return
	}
	l.special = false
	l.maria, l.mariaEnd = -1, -1
	l.pos += 2
}

// between has the bytes of words and of what stands between them.
var between = func() (set [256]bool) {
	for c := range set {
		set[c] = classOf[c] == letter || classOf[c] == other
	}
	return set
}()

// words steps over names and what stands between them at one go: most of a statement
// is that, in pieces of a few bytes.
//
// Benchmark: BenchmarkSmall.
func (l *lexer) words() {
	text, i := l.text, l.pos
	for i < len(text) && between[text[i]] {
		i++
	}
	l.pos = i
	if i < len(text) && classOf[text[i-1]] == letter {
		switch classOf[text[i]] {
		case digit, dollar, dot:
			l.word() // the name goes on
		}
	}
}

// word steps over a name that is not quoted, keywords included, and over names
// that follow it with a dot between: what stands behind such a dot is a name
// even if it begins with a digit or a dollar sign.
func (l *lexer) word() {
	text, i := l.text, l.pos
	for {
		if l.pairs == nil {
			for i < len(text) && inName(text[i]) {
				i++
			}
		} else {
			for i < len(text) && inName(text[i]) {
				if l.pairs.at(text, i) {
					i++
				}
				i++
			}
		}
		if i+1 >= len(text) || text[i] != '.' || !inName(text[i+1]) {
			l.pos = i
			return
		}
		i++
	}
}

// number steps over a number, or over a name that begins with a digit.
func (l *lexer) number() {
	text, i := l.text, l.pos
	if text[i] == '0' && i+1 < len(text) && (text[i+1] == 'x' || text[i+1] == 'b') {
		isDigit := isHex
		if text[i+1] == 'b' {
			isDigit = isBinary
		}
		end := i + 2
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		if end > i+2 && (end == len(text) || !inName(text[end])) {
			l.pos = end
			return
		}
		l.word()
		return
	}
	i = digits(text, i)
	if i == len(text) {
		l.pos = i
		return
	}
	switch c := text[i]; {
	case c == '.':
		l.real(i)
	case c == 'e' || c == 'E':
		if end := exponent(text, i); end > 0 {
			l.pos = end
			return
		}
		l.word()
	case c >= 0x80:
		l.unpaired(i)
	default:
		l.word()
	}
}

// real steps over a number from its point on. Behind an e without digits the
// servers' lexer loses the number and takes the next byte for a token of its
// own, whatever that would have begun.
func (l *lexer) real(point int) {
	i := digits(l.text, point+1)
	if i < len(l.text) && (l.text[i] == 'e' || l.text[i] == 'E') {
		end := exponent(l.text, i)
		if end == 0 {
			l.doubt(l.pos)
			return
		}
		i = end
	}
	l.pos = i
}

// unpaired steps over a name in which not every server keeps the two bytes of a
// character together: i is where that begins. The name ends at the same place
// however its bytes are paired, unless the last of them could take the byte
// behind the name for its second.
func (l *lexer) unpaired(i int) {
	text := l.text
	for i < len(text) && (inName(text[i]) || text[i] == '.') {
		i++
	}
	if l.pairs != nil && i < len(text) && l.pairs.first[text[i-1]] && l.pairs.second[text[i]] {
		l.doubt(l.pos)
		return
	}
	l.pos = i
}

// dot steps over a point that does not follow a name.
func (l *lexer) dot() {
	next := l.pos + 1
	switch {
	case next == len(l.text):
		l.pos = next
	case classOf[l.text[next]] == digit:
		l.real(l.pos)
	case inName(l.text[next]):
		l.pos = next
		l.word()
	default:
		l.pos = next
	}
}

// at steps over an @ and, if not quoted, the name of the variable or host.
func (l *lexer) at() {
	l.pos++
	if l.pos == len(l.text) {
		return
	}
	if l.text[l.pos] == '@' {
		l.pos++
	}
	if l.pos < len(l.text) && (inName(l.text[l.pos]) || l.text[l.pos] == '.') {
		l.unpaired(l.pos)
	}
}

// dollar steps over a name that begins with a dollar sign. If there is a second
// one in it, MySQL since 9 takes the two and what is between them for the quote
// of a literal that goes on to the next such quote.
func (l *lexer) dollar() {
	start := l.pos
	for i := start + 1; i < len(l.text) && inName(l.text[i]); i++ {
		if l.text[i] == '$' {
			l.doubt(start)
			return
		}
		if l.pairs.at(l.text, i) {
			i++
		}
	}
	l.word()
}

func digits(text []byte, i int) int {
	for i < len(text) && classOf[text[i]] == digit {
		i++
	}
	return i
}

// exponent gives the end of the exponent whose e stands at text[i], or 0 if no
// digit follows.
func exponent(text []byte, i int) int {
	i++
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		i++
	}
	if end := digits(text, i); end > i {
		return end
	}
	return 0
}

func isBinary(c byte) bool { return c == '0' || c == '1' }
