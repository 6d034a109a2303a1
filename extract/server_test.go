package extract_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// session is one connection with the settings that decide how it lexes.
type session struct {
	*sql.Conn
	t testing.TB
}

func newSession(t testing.TB, d *servers.Database) *session {
	t.Helper()
	c, err := d.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &session{c, t}
}

// must runs a statement that has to work.
func (s *session) must(statement string) {
	s.t.Helper()
	if _, err := s.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatalf("%q: %v", statement, err)
	}
}

// rows gives every value of a query's result, row by row.
func (s *session) rows(query string) (values [][]byte, err error) {
	_, values, err = s.result(query)
	return values, err
}

// result gives the names of a result's columns as well.
func (s *session) result(query string) (columns []string, values [][]byte, err error) {
	rows, err := s.QueryContext(s.t.Context(), query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	columns, err = rows.Columns()
	if err != nil {
		return nil, nil, err
	}
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new([]byte)
		}
		if err := rows.Scan(row...); err != nil {
			return nil, nil, err
		}
		for _, v := range row {
			values = append(values, *v.(*[]byte))
		}
	}
	return columns, values, rows.Err()
}

// lex makes the session lex as named and gives the Lexing for it.
func (s *session) lex(sqlMode, charset string) extract.Lexing {
	s.t.Helper()
	s.must("SET NAMES " + charset)
	s.must("SET character_set_results = NULL, sql_mode = '" + sqlMode + "'")
	return extract.LexingNamed(sqlMode, charset)
}

// charsets gives those of the server's character sets that a client may use.
func (s *session) charsets() (usable []string) {
	s.t.Helper()
	all, err := s.rows("SELECT character_set_name FROM information_schema.character_sets ORDER BY 1")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range all {
		if _, err := s.ExecContext(s.t.Context(), "SET NAMES "+string(name)); err == nil {
			usable = append(usable, string(name))
		}
	}
	s.must("SET NAMES utf8mb4")
	return usable
}

// TestServersAgreeOnSettings holds LexingFor to the numbers that servers use.
func TestServersAgreeOnSettings(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		s := newSession(t, d)
		for mode, bit := range map[string]uint64{"ANSI_QUOTES": 1 << 2, "NO_BACKSLASH_ESCAPES": 1 << 20} {
			s.must(fmt.Sprintf("SET sql_mode = %d", bit))
			got, err := s.rows("SELECT @@sql_mode")
			if err != nil || len(got) != 1 || string(got[0]) != mode {
				t.Errorf("sql_mode %d is %q, want %s (%v)", bit, got, mode, err)
			}
			if extract.LexingFor(bit, 0) != extract.LexingNamed(mode, "") {
				t.Errorf("sql_mode %d is not read as %s", bit, mode)
			}
		}
		// MariaDB's newer collations belong to several character sets.
		list, err := s.rows("SELECT id, character_set_name FROM information_schema.collations WHERE character_set_name IS NOT NULL")
		if err != nil {
			t.Fatal(err)
		}
		for pair := range slices.Chunk(list, 2) {
			var id uint16
			if _, err := fmt.Sscan(string(pair[0]), &id); err != nil {
				t.Fatal(err)
			}
			if got, want := extract.LexingFor(0, id), extract.LexingNamed("", string(pair[1])); got != want {
				t.Errorf("collation %d of %s: %v, want %v", id, pair[1], got, want)
			}
		}
		if len(list) < 2*200 {
			t.Errorf("%d collations, want hundreds", len(list)/2)
		}
	})
}

// TestServersAgreeOnCharacters asks for every character set and every byte
// whether that byte takes a backslash, or a backquote, into its character.
func TestServersAgreeOnCharacters(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		s := newSession(t, d)
		tags := newTags(t)
		asked, paired := 0, 0
		for _, charset := range s.charsets() {
			lex := s.lex("", charset)
			for c := 0x80; c <= 0xff; c++ {
				// One of the two is a statement, unless the byte is refused as such:
				// with the byte and the backslash a character, the first; else the
				// second. So for the backquote.
				for _, text := range []string{
					"SELECT 'x\\' /* mc: k */",
					"SELECT 'x\\'' /* mc: k */",
					"SELECT 1 AS `x`` /* mc: k */",
					"SELECT 1 AS `x``` /* mc: k */",
				} {
					text = strings.Replace(text, "x", string([]byte{byte(c)}), 1)
					if _, err := s.rows(text); err != nil {
						continue
					}
					asked++
					if !strings.Contains(text, "'' /") && !strings.Contains(text, "``` /") {
						paired++
					}
					want := reading{keys: []string{"k"}}
					if charset == "swe7" && strings.Contains(text, "`") {
						want = reading{refused: []extract.Reason{extract.Ambiguous}} // a letter there
					}
					if got := tags.read(text, lex); !slices.Equal(got.keys, want.keys) || !slices.Equal(got.refused, want.refused) {
						t.Errorf("%s: %q gives %v", charset, text, got)
					}
				}
			}
		}
		if asked < 3000 || paired < 600 {
			t.Errorf("the server took %d statements, %d with a pair: too few to mean anything", asked, paired)
		}
		t.Logf("%d statements, %d with a pair", asked, paired)
	})
}

// TestLogBlanksSkippedVersionComments is what lexer relies on: whatever the
// server did not execute of /*! … */ comes to the log as a plain comment.
func TestLogBlanksSkippedVersionComments(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		s := newSession(t, d)
		tags := newTags(t)
		s.must("CREATE TABLE t (a VARCHAR(100))")
		const skipped = `/*!99999 ' /* mc: skipped */ " */`
		s.must("INSERT INTO t VALUES ('it''s') " + skipped + " /* mc: plain */")
		// Each version is skipped by some server; where it is not, this is no statement.
		want := []string{"plain"}
		for _, mark := range []string{"!50699", "!50700", "!50999", "!51000", "!80000", "!080400", "!90000", "!99999", "!100200", "!999999", "M!50700", "M!100100", "M!99999", "M!999999"} {
			key := "skipped" + mark
			if _, err := s.ExecContext(t.Context(), "INSERT INTO t VALUES ('x') /*"+mark+" ' /* mc: skipped */ \" */ /* mc: "+key+" */"); err == nil {
				want = append(want, key)
			}
		}
		t.Logf("skipped: %q", want[1:])
		s.must("PREPARE p FROM 'INSERT INTO t VALUES (?) /*!99999 \" /* mc: skipped */ */ /* mc: prepared */'")
		s.must("SET @v = 'it''s /* mc: forged */ \\\\'")
		s.must("EXECUTE p USING @v")
		s.must("CREATE PROCEDURE q(v TEXT) BEGIN INSERT /* mc: routine */ INTO t " + skipped + " VALUES (v); END")
		s.must("CALL q(@v)")
		s.must("UPDATE t SET a = 'x' /*!40000 /* mc: nested */ */ WHERE 1 = /*! /* mc: nested */ 0 + */ 1")
		log, err := s.rows("SHOW BINLOG EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for event := range slices.Chunk(log, 6) {
			kind, text := string(event[2]), string(event[5])
			if kind != "Rows_query" && kind != "Annotate_rows" {
				continue
			}
			// MySQL shows the text as a comment.
			got := tags.read(strings.TrimPrefix(text, "# "), extract.Lexing{})
			if got.refused != nil {
				t.Errorf("%q: %v", text, got.refused)
			}
			keys = append(keys, got.keys...)
		}
		want = append(want, "prepared", "routine", "nested", "nested")
		if !slices.Equal(keys, want) {
			t.Errorf("keys %q, want %q", keys, want)
		}
	})
}

// slowest is how much longer than usual a test may take that needs many answers.
const slowest = 3 * time.Minute

// TestServersAgreeOnComments holds the lexer to the servers' own, statement by
// random statement. Whether a tag is a comment to the server shows when a column
// is put in its place: if that comes back as a column, the tag stands where SQL
// does, and must give its key; if not, it is inside a literal, a name or a
// comment, and must not. What the server gives back as a value can never be a
// key's comment.
func TestServersAgreeOnComments(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		s := newSession(t, d)
		tags := newTags(t)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		g := &statements{Rand: rand.New(rand.NewPCG(seed, 0))}
		// Only such as this server executes: others never come to the log.
		g.special = []string{"/*!", "/*!", "/*!50000", "/*!50000 ", "/*M!", "/*M!100100 ", "/*+"}
		mysql := d.Kind() == servers.KindMySQL
		// All that there are, and those that hide quotes more often.
		charsets := append(s.charsets(), "utf8mb4", "latin1", "gbk", "sjis", "big5", "cp932", "gbk", "sjis", "big5", "cp932")
		if mysql {
			charsets = append(charsets, "gb18030")
			g.special = append(g.special, "/*!080000 ")
		}
		modes := []string{"", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"}

		var sent, taken, inside, outside, ambiguous int
		enough := func() bool { return taken >= 200**seconds && outside >= 100**seconds && inside >= 50**seconds }
		began := time.Now()
		lasts := time.Duration(*seconds) * time.Second
		// A machine that is slow just now asks longer, until that means anything.
		for time.Since(began) < lasts || !enough() && time.Since(began) < lasts+slowest {
			charset, mode := charsets[g.IntN(len(charsets))], modes[g.IntN(len(modes))]
			lex := s.lex(mode, charset)
			g.lex = lex
			for range 50 {
				text, at := g.statement()
				sent++
				values, err := s.rows(text)
				if err != nil {
					continue
				}
				taken++
				got := tags.read(text, lex)
				fail := func(format string, args ...any) {
					t.Errorf("%s, %q: %q\n\tgives %v: %s", charset, mode, text, got, fmt.Sprintf(format, args...))
				}
				if slices.Contains(got.refused, extract.Misread) {
					fail("the server took it")
					continue
				}
				unsure := slices.Contains(got.refused, extract.Ambiguous)
				if unsure {
					ambiguous++
				}
				for i, tag := range at {
					key := keyName(i)
					isKey := slices.Contains(got.keys, key)
					for _, v := range values {
						if isKey && bytes.Contains(v, []byte(key)) {
							fail("%s is part of the value %q", key, v)
						}
					}
					isSQL := false
					for _, put := range []string{" ,7 AS here ", " 7 AS here, "} {
						columns, values, err := s.result(text[:tag.start] + put + text[min(tag.end, len(text)):])
						if err == nil && slices.Contains(columns, "here") {
							isSQL = true
						} else if err == nil && isKey && !(mysql && strings.Contains(text[:tag.start], "/*M!")) {
							// What MariaDB reads as SQL may hold comments, and a tag there
							// counts. To MySQL that is all one comment, in which at least
							// there is no literal.
							fail("%s is no comment to the server, which takes %q there and gives %q", key, put, values)
						}
					}
					switch {
					case isSQL && !isKey && !unsure:
						fail("%s is a comment to the server", key)
					case isSQL:
						outside++
					case !isKey:
						inside++
					}
				}
				if t.Failed() {
					return
				}
			}
		}
		t.Logf("%d statements sent, %d taken; tags: %d outside, %d inside; %d statements ambiguous", sent, taken, outside, inside, ambiguous)
		if !enough() {
			t.Error("too few to mean anything")
		}
		if ambiguous > taken/10 {
			t.Error("too many are ambiguous")
		}
	})
}

// statements makes random SELECTs that are often, not always, ones a server
// takes, with tags in places of all kinds.
type statements struct {
	*rand.Rand
	lex     extract.Lexing
	special []string // marks of comments whose inside is SQL, or a hint
	b       bytes.Buffer
	tags    []place
}

type place struct{ start, end int }

func keyName(i int) string { return fmt.Sprintf("k%dk", i) }

func (g *statements) statement() (string, []place) {
	g.b.Reset()
	g.tags = nil
	g.b.WriteString("SELECT ")
	g.gaps()
	for i := range 1 + g.IntN(4) {
		if i > 0 {
			g.b.WriteString(",")
			g.gaps()
		}
		g.item()
		g.gaps()
	}
	// The servers cut this off before they lex, and log what is left.
	return strings.TrimRight(g.b.String(), "; \t\n\v\f\r"), g.tags
}

func pick[T any](g *statements, of ...T) T { return of[g.IntN(len(of))] }

// gaps writes what may stand between tokens.
func (g *statements) gaps() {
	for range g.IntN(3) {
		switch g.IntN(12) {
		case 0, 1, 2, 3, 4:
			g.tag()
		case 5:
			g.b.WriteString("/*." + g.stuff(4) + "*/")
		case 6:
			g.b.WriteString(pick(g, "-- ", "--\t", "--\x01", "--\x7f", "--", "#") + "." + g.stuff(3) + "\n")
		case 7:
			g.b.WriteString(" " + pick(g, g.special...))
			g.tag()
			if g.IntN(4) == 0 {
				g.literal()
			}
			g.b.WriteString(g.stuff(1) + " */")
		default:
			g.b.WriteString(pick(g, " ", "\n", "\t", "\r\n"))
		}
	}
}

// tag writes a tag with a key of its own, in a form of which nothing is left when
// it stands inside a comment.
func (g *statements) tag() {
	g.b.WriteByte(' ')
	start := g.b.Len()
	key := keyName(len(g.tags))
	g.tags = append(g.tags, place{})
	i := len(g.tags) - 1
	g.b.WriteString(pick(g,
		"/* mc: "+key+" */", "/* mc: "+key+" */", "-- mc: "+key+"\n", "# mc: "+key+"\n",
		"/*mc='"+key+"'*/"))
	g.tags[i] = place{start, g.b.Len()}
	g.b.WriteByte(' ')
}

// item writes an expression and perhaps its alias.
func (g *statements) item() {
	switch g.IntN(10) {
	case 0:
		g.b.WriteString(pick(g, "1", ".5", "1.5e3", "1e5", "1.", "0x41", "0b01", "x'41'", "b'01'", "1.5e-", "1.5e-- 2", "@a", "@a.b", "@@version", "NULL", "1--2", "1- -2", "2*3", "6/3", "1e+5"))
	case 1:
		g.b.WriteString("@`" + strings.ReplaceAll(g.stuff(4), "`", "``") + "`")
	default:
		g.b.WriteString(pick(g, "", "", "", "N", "_binary", "_latin1 "))
		g.literal()
		for g.IntN(4) == 0 {
			g.gaps()
			g.literal()
		}
	}
	if g.IntN(4) == 0 {
		g.b.WriteString(" AS ")
		g.b.WriteString(pick(g, "a1", "`b`", "1c", "$d", "\xb0\xa1", "\x95\x60", "a\xb0\x60", "1\xb0\x60", "1\xa1\xa1`", "`"+strings.ReplaceAll(g.stuff(2), "`", "``")+"`"))
	}
}

// literal writes a string, mostly escaped as a client would, with tags in it.
func (g *statements) literal() {
	q := pick(g, "'", "'", `"`)
	g.b.WriteString(q)
	for range g.IntN(5) {
		if g.IntN(3) == 0 {
			g.tag()
			continue
		}
		v := g.stuff(3)
		if g.IntN(4) > 0 {
			v = strings.TrimSuffix(strings.TrimPrefix(quote(v, g.lex, q), q), q)
		}
		g.b.WriteString(v)
	}
	g.b.WriteString(q)
}

// stuff gives up to n pieces of what lexers trip over.
func (g *statements) stuff(n int) string {
	var b strings.Builder
	for range g.IntN(n + 1) {
		b.WriteString(pick(g, "a", " ", "'", `"`, "`", `\`, `\\`, `\'`, "''", "/*", "*/", "/*!", "*", "/", "-- ", "--", "#", "\n",
			"é", "\x81", "\x95\\", "\xb0\\", "\xb0`", "\xfe", "\xa1\xa1", "\x81\x30\x81\x30", "\x80", "\xff", "\x00", "$$", "@", "0"))
	}
	return b.String()
}
