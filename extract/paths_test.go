package extract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// TestOneStatementGivesTheSameKeysByEveryPath: sent as text, prepared by the protocol
// or by SQL, logged plain or compressed.
func TestOneStatementGivesTheSameKeysByEveryPath(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		w := newValueWriter(t, d)
		compress := []string{"SET SESSION binlog_transaction_compression = OFF", "SET SESSION binlog_transaction_compression = ON"}
		compressed := "Transaction_payload"
		if d.Kind() == servers.KindMariaDB {
			w.must("SET GLOBAL log_bin_compress_min_len = 10")
			compress = []string{"SET GLOBAL log_bin_compress = OFF", "SET GLOBAL log_bin_compress = ON"}
			compressed = "Write_rows_compressed_v1"
		}
		rapid.Check(t, func(r *rapid.T) {
			s := taggedStatements.Draw(r, "statement")
			w.must("FLUSH BINARY LOGS")
			n := 0
			for _, setting := range compress {
				w.must(setting)
				for _, send := range []func(taggedStatement){w.asText, w.asPrepared, w.asVariable} {
					w.must("DELETE FROM kept")
					w.must("INSERT INTO kept (a) VALUES ('')")
					send(s)
					n++
				}
			}
			w.must(compress[0])
			var found [][]string
			for _, l := range w.lastLogged() {
				got := w.tags.read(l.text, extract.Lexing{})
				if got.refused != nil {
					r.Fatalf("%q gives %v", l.text, got)
				}
				if got.keys != nil {
					found = append(found, got.keys)
				}
			}
			if len(found) != n {
				r.Fatalf("%d of %d have keys: %q", len(found), n, found)
			}
			for _, keys := range found {
				if !slices.Equal(keys, s.keys) {
					r.Fatalf("%q and %q: keys %q, want %q", s.text, s.value, found, s.keys)
				}
			}
		})
		w.must(compress[1])
		w.must("FLUSH BINARY LOGS")
		w.must("INSERT INTO kept (a) VALUES (REPEAT('x', 1000))")
		w.mustHaveLogged(compressed)
	})
}

// taggedStatement has one place, {}, for a value.
type taggedStatement struct {
	text, value string
	keys        []string
}

var taggedStatements = rapid.Custom(func(t *rapid.T) (s taggedStatement) {
	tag := func(where string) string {
		keys := rapid.SliceOfN(rapid.StringMatching(`[a-z][!-~é]{0,12}`), 0, 3).Draw(t, "keys "+where)
		if where == "behind the verb" && len(keys) == 0 {
			keys = []string{"a"} // one at least
		}
		if len(keys) == 0 {
			return " "
		}
		s.keys = append(s.keys, keys...)
		var encoded strings.Builder
		space := rapid.SampledFrom([]string{" ", "  ", "%20", "\t"}).Draw(t, "space")
		form := rapid.SampledFrom([]string{"/* mc: %s */", "/*mc: %s*/", "-- mc: %s\n", "# mc: %s\n", "/*x:y,mc:%s,z:mc*/", "/*a='b',mc='%s',c='it\\'s'*/"}).Draw(t, "form")
		if !strings.Contains(form, "'") && space == "%20" {
			space = " "
		}
		for i, key := range keys {
			if i > 0 {
				encoded.WriteString(space)
			}
			for _, c := range []byte(key) {
				if c >= 'a' && c <= 'z' || c >= 0x80 {
					encoded.WriteByte(c)
				} else {
					fmt.Fprintf(&encoded, "%%%02x", c)
				}
			}
		}
		return " " + strings.Replace(form, "%s", encoded.String(), 1) + " "
	}
	verb := rapid.SampledFrom([]string{"INSERT", "UPDATE", "DELETE"}).Draw(t, "verb")
	s.text = verb + tag("behind the verb")
	switch verb {
	case "INSERT":
		s.text += "INTO kept (a, b)" + tag("inside") + "VALUES ({}, 'it''s /* mc: forged */')"
	case "UPDATE":
		s.text += "kept" + tag("inside") + "SET n = n + 1, a = {}"
	case "DELETE":
		s.text += "FROM kept" + tag("inside") + "WHERE a <> {} OR 1 = 1"
	}
	s.text += tag("at the end") + rapid.SampledFrom([]string{"", ";", " ;\n"}).Draw(t, "end")
	s.value = values.Draw(t, "value")
	return s
})

func (w *valueWriter) asText(s taggedStatement) {
	w.t.Helper()
	w.must(strings.Replace(s.text, "{}", "_binary"+quote(s.value, extract.Lexing{}, "'"), 1))
}

func (w *valueWriter) asPrepared(s taggedStatement) {
	w.t.Helper()
	text := strings.Replace(s.text, "{}", "?", 1)
	p, err := w.PrepareContext(w.t.Context(), text)
	if err != nil {
		w.t.Fatalf("%q: %v", text, err)
	}
	defer p.Close()
	if _, err := p.ExecContext(w.t.Context(), []byte(s.value)); err != nil {
		w.t.Fatalf("%q: %v", text, err)
	}
}

func (w *valueWriter) asVariable(s taggedStatement) {
	w.t.Helper()
	w.must(fmt.Sprintf("SET @v = x'%x'", s.value))
	w.must("PREPARE p FROM " + quote(strings.Replace(s.text, "{}", "?", 1), extract.Lexing{}, "'"))
	w.must("EXECUTE p USING @v")
}

// mustHaveLogged holds the log's last file to having an event of a type.
func (w *valueWriter) mustHaveLogged(kind string) {
	w.t.Helper()
	paths, err := w.d.LogFiles()
	if err != nil {
		w.t.Fatal(err)
	}
	name := paths[len(paths)-1]
	events, err := w.rows("SHOW BINLOG EVENTS IN '" + name[strings.LastIndexByte(name, '/')+1:] + "'")
	if err != nil {
		w.t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(v []byte) bool { return string(v) == kind }) {
		w.t.Errorf("no event %s, so this is no test of it", kind)
	}
}
