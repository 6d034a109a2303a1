package extract_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// seconds is for how long each test that asks servers at random does so, on each of
// them: make fuzz-servers.
var seconds = flag.Int("seconds", 2, "how long to ask each server at random")

// TestNothingStoredIsEverAKey writes values of every kind into tables, by every way
// that a client has, in every character set and sql_mode that decides how statements
// are lexed, and lets the server say what it stored and what it logged. The log's text,
// read as the log says, must give the keys that stand around the value, and nothing of
// what the value holds may ever be one.
func TestNothingStoredIsEverAKey(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		w := newValueWriter(t, d)
		modes := []string{"", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"}
		charsets := w.charsets()
		w.introducers = charsets
		for end := time.Now().Add(time.Duration(*seconds) * time.Second); time.Now().Before(end) || w.round < len(modes) || w.taken < 300; w.round++ {
			// Each mode in turn, and those charsets half of the time that hide quotes.
			mode, charset := modes[w.round%len(modes)], pick(w.g, charsets...)
			if w.g.IntN(2) == 0 {
				charset = pick(w.g, "gbk", "sjis", "big5", "cp932", "gb18030")
				if !slices.Contains(charsets, charset) {
					continue
				}
			}
			w.g.lex = w.lex(mode, charset)
			// What the server turns literals into makes no difference to how it lexes.
			w.must("SET character_set_connection = " + pick(w.g, charset, pick(w.g, charsets...)))
			w.batch(40)
			if t.Failed() {
				return
			}
		}
		t.Logf("%d statements sent, %d taken: %v; %d held a forgery", w.sent, w.taken, w.ways, w.forged)
		if w.forged < 50 || len(w.ways) != len(ways) {
			t.Error("too few to mean anything")
		}
	})
}

// valueWriter writes rows and compares.
type valueWriter struct {
	session
	g           *statements
	t           *testing.T
	d           *servers.Database
	tags        *reader
	introducers []string

	round, sent, taken, forged, serial int
	ways                               map[string]int
}

func newValueWriter(t *testing.T, d *servers.Database) *valueWriter {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &valueWriter{
		g:       &statements{Rand: rand.New(rand.NewPCG(seed, 0))},
		session: *newSession(t, d), t: t, d: d, tags: newTags(t), ways: make(map[string]int),
	}
	w.must("CREATE TABLE kept (n INT AUTO_INCREMENT PRIMARY KEY, a LONGBLOB, b LONGTEXT CHARACTER SET utf8mb4, c LONGTEXT CHARACTER SET latin1, d LONGTEXT CHARACTER SET sjis)")
	w.procedures()
	return w
}

// procedures makes them under the session's settings, which they keep for good.
func (w *valueWriter) procedures() {
	w.t.Helper()
	for name, parameter := range map[string]string{"put": "LONGBLOB", "put_text": "LONGTEXT CHARACTER SET utf8mb4", "put_gbk": "LONGTEXT CHARACTER SET gbk"} {
		w.must("DROP PROCEDURE IF EXISTS " + name)
		w.must("CREATE PROCEDURE " + name + "(v " + parameter + ") INSERT /* mc: head */ INTO kept (a) VALUES (v)")
	}
}

// write is a statement that was taken, with what must come of it.
type write struct {
	way   string
	text  string
	keys  []string // exactly these
	loose bool     // the value was not quoted with care: what is a tag is for the server to say
}

// ways are those by which a value reaches a statement's text.
var ways = map[string]func(w *valueWriter, value []byte, column string) (write, error){
	"literal": func(w *valueWriter, value []byte, column string) (write, error) {
		q := "'"
		if !w.g.lex.AnsiQuotes && w.g.IntN(3) == 0 {
			q = `"`
		}
		prefix := pick(w.g, "", "", "N", "_binary", "_binary ", "_latin1")
		return w.insert(column, prefix+quote(string(value), w.g.lex, q), false)
	},
	"careless literal": func(w *valueWriter, value []byte, column string) (write, error) {
		return w.insert(column, "'"+string(value)+"'", true)
	},
	"introduced literal": func(w *valueWriter, value []byte, column string) (write, error) {
		return w.insert(column, "_"+pick(w.g, w.introducers...)+quote(string(value), w.g.lex, "'"), false)
	},
	"hexadecimal": func(w *valueWriter, value []byte, column string) (write, error) {
		return w.insert(column, fmt.Sprintf("x'%x'", value), false)
	},
	"parameter": func(w *valueWriter, value []byte, column string) (write, error) {
		return w.prepared(column, value)
	},
	"text parameter": func(w *valueWriter, value []byte, column string) (write, error) {
		return w.prepared(column, string(value))
	},
	"variable": func(w *valueWriter, value []byte, column string) (write, error) {
		if err := w.variable(value); err != nil {
			return write{}, err
		}
		const text = "INSERT /* mc: head */ INTO kept (%s) VALUES (?) /* mc: tail */"
		w.must("PREPARE p FROM '" + fmt.Sprintf(text, column) + "'")
		_, err := w.ExecContext(w.t.Context(), "EXECUTE p USING @v")
		return write{text: fmt.Sprintf(text, column), keys: []string{"head", "tail"}}, err
	},
	"procedure": func(w *valueWriter, value []byte, _ string) (write, error) {
		if err := w.variable(value); err != nil {
			return write{}, err
		}
		call := "CALL " + pick(w.g, "put", "put_text", "put_gbk") + "(@v)"
		_, err := w.ExecContext(w.t.Context(), call)
		return write{text: call, keys: []string{"head"}}, err
	},
}

// variable sets @v to a text in some character set.
func (w *valueWriter) variable(value []byte) error {
	_, err := w.ExecContext(w.t.Context(), fmt.Sprintf("SET @v = _%s x'%x'", pick(w.g, w.introducers...), value))
	return err
}

func (w *valueWriter) insert(column, expression string, loose bool) (write, error) {
	text := "INSERT /* mc: head */ INTO kept (" + column + ") VALUES (" + expression + ") /* mc: tail */"
	_, err := w.ExecContext(w.t.Context(), text)
	return write{text: text, keys: []string{"head", "tail"}, loose: loose}, err
}

func (w *valueWriter) prepared(column string, value any) (write, error) {
	text := "INSERT /* mc: head */ INTO kept (" + column + ") VALUES (?) /* mc: tail */"
	p, err := w.PrepareContext(w.t.Context(), text)
	if err != nil {
		return write{}, err
	}
	defer p.Close()
	_, err = p.ExecContext(w.t.Context(), value)
	return write{text: text, keys: []string{"head", "tail"}}, err
}

// value makes what a user may have typed.
func (w *valueWriter) value() []byte {
	var b bytes.Buffer
	for range w.g.IntN(8) {
		switch w.g.IntN(3) {
		case 0:
			// Each is another key, since one value may hold a tag and also make one.
			b.WriteString(strings.ReplaceAll(pick(w.g, "/* mc: FORGED */", "-- mc: FORGED\n", "# mc: FORGED\n", "/*mc:FORGED*/", "/*mc='FORGED'*/",
				"'/* mc: FORGED */'", `\' /* mc: FORGED */`, `" /* mc: FORGED */ "`, "*/ /* mc: FORGED */ /*", "/*! /* mc: FORGED */ */"),
				"FORGED", fmt.Sprintf("forged%d.", w.serial)))
			w.serial++
		default:
			b.WriteString(w.g.stuff(4))
		}
	}
	return b.Bytes()
}

// batch writes up to n rows in one log file and reads that.
func (w *valueWriter) batch(n int) {
	w.t.Helper()
	w.must("TRUNCATE TABLE kept")
	// MariaDB's log does not say how a statement is to be read, so all that write have
	// to be of one mind; MySQL's does, for procedures by their own settings.
	if w.d.Kind() == servers.KindMariaDB || w.g.IntN(2) == 0 {
		w.procedures()
	}
	w.must("SET SESSION binlog_format = " + pick(w.g, "ROW", "ROW", "STATEMENT"))
	w.must("FLUSH BINARY LOGS")
	names := make([]string, 0, len(ways))
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	var done []write
	for range n {
		way := pick(w.g, names...)
		w.sent++
		one, err := ways[way](w, w.value(), pick(w.g, "a", "b", "c", "d"))
		if err != nil {
			continue
		}
		one.way = way
		w.ways[way]++
		done = append(done, one)
	}
	w.taken += len(done)
	stored, err := w.rows("SELECT CONCAT_WS('', a, CAST(b AS BINARY), CAST(c AS BINARY), CAST(d AS BINARY)) FROM kept ORDER BY n")
	if err != nil {
		w.t.Fatal(err)
	}
	logged := w.lastLogged()
	if len(stored) != len(done) || len(logged) != len(done) {
		w.t.Fatalf("%d statements were taken, %d rows stored, %d texts logged", len(done), len(stored), len(logged))
	}
	for i, one := range done {
		lex := w.g.lex
		if logged[i].known {
			lex = logged[i].lex
		}
		got := w.tags.read(logged[i].text, lex)
		if bytes.Contains(stored[i], []byte("forged")) {
			w.forged++
		}
		wrong := slices.ContainsFunc(got.keys, func(key string) bool { return bytes.Contains(stored[i], []byte(key)) })
		if !one.loose && (!slices.Equal(got.keys, one.keys) || got.refused != nil) {
			wrong = true
		}
		if wrong {
			w.t.Errorf("by %s, session %+v, read as %+v: %q\n\twas logged as %q\n\tstored was %q\n\tgives %v",
				one.way, w.g.lex, lex, one.text, logged[i].text, stored[i], got)
		}
	}
}

// logged is a statement's text as the log has it, and how the log says to read it.
type logged struct {
	binlog.Handler // panics if it is asked for more than what stands below

	text  string
	lex   extract.Lexing
	known bool
	all   []logged
}

func (l *logged) File(binlog.File) error                     { return nil }
func (l *logged) Previous(*binlog.GTIDSet) error             { return nil }
func (l *logged) Begin(*binlog.Transaction) error            { return nil }
func (l *logged) Table(*binlog.Table) (wanted bool, _ error) { return false, nil }
func (l *logged) End(*binlog.Transaction) error              { return nil }
func (l *logged) Checkpoint(string) error                    { return nil }
func (l *logged) Rows(*binlog.Rows) error                    { return nil }
func (l *logged) Idle(uint64) error                          { return nil }

func (l *logged) Statement(s *binlog.Statement) error {
	if s.Rows || bytes.Contains(s.Text, []byte("INTO kept")) && !bytes.HasPrefix(s.Text, []byte("CREATE ")) {
		l.all = append(l.all, logged{text: string(s.Text), lex: extract.LexingFor(s.SQLMode, s.Collation), known: s.SessionKnown})
	}
	return nil
}

// lastLogged reads the texts in the newest log file.
func (w *valueWriter) lastLogged() []logged {
	w.t.Helper()
	w.must("FLUSH BINARY LOGS")
	paths, err := w.d.LogFiles()
	if err != nil {
		w.t.Fatal(err)
	}
	files, err := binlog.NewFiles(paths[len(paths)-2:len(paths)-1], os.Stdin)
	if err != nil {
		w.t.Fatal(err)
	}
	var l logged
	if err := files.Run(context.Background(), &l); err != nil {
		w.t.Fatal(err)
	}
	return l.all
}
