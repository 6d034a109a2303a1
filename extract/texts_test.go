package extract_test

import (
	"slices"
	"testing"

	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// TestOneTextIsLoggedOfAStatementAndAllItSetsOff holds docs/tags.md to what it says of
// triggers and functions: it is the text of what changes rows first.
func TestOneTextIsLoggedOfAStatementAndAllItSetsOff(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		w := newValueWriter(t, d)
		w.must("CREATE TABLE audit (a TEXT)")
		w.must("SET GLOBAL log_bin_trust_function_creators = ON")
		w.must("CREATE FUNCTION f() RETURNS INT BEGIN INSERT /* mc: function */ INTO audit VALUES ('x'); RETURN 1; END")
		const (
			insert  = "INSERT /* mc: outer */ INTO kept (a) VALUES ('3'), ('4')"
			update  = "UPDATE /* mc: outer */ kept SET a = CONCAT(a, 'x')"
			remove  = "DELETE /* mc: outer */ FROM kept"
			writing = " ON kept FOR EACH ROW INSERT /* mc: trigger */ INTO audit VALUES ('x')"
		)
		for _, test := range []struct{ trigger, statement, want string }{
			{"BEFORE INSERT" + writing, insert, "trigger"},
			{"BEFORE UPDATE" + writing, update, "trigger"},
			{"BEFORE DELETE" + writing, remove, "trigger"},
			{"AFTER INSERT" + writing, insert, "outer"},
			{"AFTER UPDATE" + writing, update, "outer"},
			{"AFTER DELETE" + writing, remove, "outer"},
			{"BEFORE INSERT ON kept FOR EACH ROW SET NEW.a = 'x'", insert, "outer"},
			{"", "INSERT /* mc: outer */ INTO kept (a) VALUES (f())", "function"},
			{"", "UPDATE /* mc: outer */ kept SET a = 'z' WHERE f() = 1", "function"},
			{"", "DO /* mc: outer */ f()", "function"},
		} {
			w.must("DELETE FROM kept")
			w.must("INSERT INTO kept (a) VALUES ('1'), ('2')")
			if test.trigger != "" {
				w.must("CREATE TRIGGER set_off " + test.trigger)
			}
			w.must("FLUSH BINARY LOGS")
			w.must(test.statement)
			var keys []string
			for _, l := range w.lastLogged() {
				keys = append(keys, w.tags.read(l.text, extract.Lexing{}).keys...)
			}
			if !slices.Equal(keys, []string{test.want}) {
				t.Errorf("trigger %q, %q: %q are logged, want %q", test.trigger, test.statement, keys, test.want)
			}
			w.must("DROP TRIGGER IF EXISTS set_off")
		}
	})
}

// TestAModeChangedInATransactionIsNotLogged: what docs/tags.md says sessions must not
// do. The text is read as the transaction began, and refused where that cannot be.
func TestAModeChangedInATransactionIsNotLogged(t *testing.T) {
	w := newValueWriter(t, servers.MySQL(t, servers.Config{}))
	w.must("FLUSH BINARY LOGS")
	w.must("BEGIN")
	w.must("INSERT /* mc: first */ INTO kept (a) VALUES ('x')")
	w.must("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
	w.must(`INSERT /* mc: second */ INTO kept (a) VALUES ('\')`)
	w.must("COMMIT")
	logged := w.lastLogged()
	if len(logged) != 2 || logged[1].lex.NoBackslashEscapes {
		t.Fatalf("logged is %+v, want two texts to be read alike", logged)
	}
	if got := w.tags.read(logged[1].text, logged[1].lex); got.keys != nil || !slices.Equal(got.refused, []extract.Reason{extract.Misread}) {
		t.Errorf("%q gives %v", logged[1].text, got)
	}
}
