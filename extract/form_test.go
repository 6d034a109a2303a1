package extract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/extract"
)

// TestForms has a table for each form: what an application writes, and the keys
// that come of it.
func TestForms(t *testing.T) {
	const (
		tooLong  = extract.TooLong
		control  = extract.ControlByte
		escape   = extract.BadEscape
		unclosed = extract.UnclosedValue
	)
	long := strings.Repeat("x", 250)
	for _, test := range []struct {
		name    string
		text    string
		keys    []string
		refused []extract.Reason
	}{
		// Native.
		{"native", "UPDATE t SET a = 1 /* mc: user:1 user:1:friends */", []string{"user:1", "user:1:friends"}, nil},
		{"native at the head", "/* mc: a */ UPDATE t", []string{"a"}, nil},
		{"native behind the verb", "INSERT /* mc: a */ INTO t", []string{"a"}, nil},
		{"native without white space before", "/*mc: a*/ 1", []string{"a"}, nil},
		{"native with white space of all kinds", "/*\t\n mc:\ta\nb\vc\fd\r\n e */", []string{"a", "b", "c", "d", "e"}, nil},
		{"native in a line", "1 -- mc: a b\n# mc: c\r\n#mc: d", []string{"a", "b", "c", "d"}, nil},
		{"native and a semicolon", "1 /* mc: a */;", []string{"a"}, nil},
		{"native, several comments", "/* mc: a */ 1 /* mc: b a */", []string{"a", "b", "a"}, nil},
		{"native in a special comment", "1 /*!50100 /* mc: a */ */", []string{"a"}, nil},
		{"native, no key", "1 /* mc: */ /*mc:*/ -- mc:", nil, nil},
		{"native, decoded once", "/* mc: a%3Ab %2541 %25 %41%62 %c3%A9 */", []string{"a:b", "%41", "%", "Ab", "é"}, nil},
		{"native, bytes as they are", "/* mc: é \xff a,b a=b 'q' \\' + mc: */", []string{"é", "\xff", "a,b", "a=b", "'q'", `\'`, "+", "mc:"}, nil},
		{"native, an end of a comment in a key", "/* mc: a%2A/b */ 1 -- mc: c*/d", []string{"a*/b", "c*/d"}, nil},
		{"native, longest key", "/* mc: " + long + " %78" + long[1:] + " */", []string{long, long}, nil},
		{"native, key too long", "/* mc: a " + long + "x b %78" + long + " c */", []string{"a", "b", "c"}, []extract.Reason{tooLong, tooLong}},
		{"native, control bytes", "/* mc: a b%20c d%0A e\x01f \x7f %7f %00 g */", []string{"a", "g"},
			[]extract.Reason{control, control, control, control, control, control}},
		{"native, bad escapes", "/* mc: a % %4 %zz b%4gc %%41 d */", []string{"a", "d"},
			[]extract.Reason{escape, escape, escape, escape, escape}},
		{"native, bad escape at the end", "1 -- mc: a%4", nil, []extract.Reason{escape}},
		{"native, two reasons are one refusal", "/* mc: %00%zz" + long + " */", nil, []extract.Reason{control}},

		// What is no tag.
		{"another name", "/* mcx: a */ /* xmc: b */ /* MC: c */ /* mc d */", nil, nil},
		{"name in the midst", "/* see mc: a */", nil, nil},
		{"hint", "SELECT /*+ mc: a */ 1", nil, nil},
		{"hint with a list", "SELECT /*+ a:b,mc:c */ 1", nil, nil},
		{"in a literal", "INSERT INTO t VALUES ('/* mc: a */')", nil, nil},
		{"in a quoted name", "SELECT 1 AS `/* mc: a */`", nil, nil},
		{"without a comment", "SELECT mc: a", nil, nil},

		// Pair.
		{"pair", "SELECT 1 /*application:Shop,mc:user%3A1*/", []string{"user:1"}, nil},
		{"pair at the head", "/*mc:user:1,application:Shop*/ SELECT 1", []string{"user:1"}, nil},
		{"pair alone", "/* mc:a */", []string{"a"}, nil},
		{"pair with white space at the comma", "/* application:Shop, mc:a , x:y */", []string{"a"}, nil},
		{"pair with several keys", "/*mc:a b%2Cc,x:y*/", []string{"a", "b,c"}, nil},
		{"pair repeated", "/*mc:a,mc:b*/", []string{"a", "b"}, nil},
		{"pair decoded once", "/*mc:%2541*/", []string{"%41"}, nil},
		{"pair, key with an encoded space", "/*x:y,mc:a%20b,mc:c*/", []string{"c"}, []extract.Reason{control}},
		{"pair without a value", "/*mc:,x:y*/ /*x:y,mc:*/", nil, nil},
		{"pair with white space behind the colon", "/*x:y,mc: a*/", nil, nil},
		{"pair, name in a value", "/*x:mc:a*/", nil, nil},
		{"pair in a line", "1 -- x:y,mc:a\n", []string{"a"}, nil},

		// sqlcommenter.
		{"sqlcommenter", "SELECT 1 /*mc='user%3A1%20user%3A1%3Afriends',traceparent='00-5b-01'*/", []string{"user:1", "user:1:friends"}, nil},
		{"sqlcommenter last", "/*action='%2Fparam*d',mc='a'*/;", []string{"a"}, nil},
		{"sqlcommenter with white space", "/* x='y' , mc='a' */", []string{"a"}, nil},
		{"sqlcommenter, all white space separates", "/*mc='a%09b%0a%0Dc d%20%20e%20'*/", []string{"a", "b", "c", "d", "e"}, nil},
		{"sqlcommenter decoded once", "/*mc='%2541%20%2520'*/", []string{"%41", "%20"}, nil},
		{"sqlcommenter, plus as written", "/*mc='a+b'*/", []string{"a+b"}, nil},
		{"sqlcommenter with a quote", `/*mc='it\'s%20it%27s a\\b a\b',x='y'*/`, []string{"it's", "it's", `a\b`, `a\b`}, nil},
		{"sqlcommenter, empty", "/*mc='',x='%20'*/", nil, nil},
		{"sqlcommenter, neighbours of a bad key", "/*mc='a%20%zz%20b%00%20" + long + "x%20c'*/", []string{"a", "c"}, []extract.Reason{escape, control, tooLong}},
		{"sqlcommenter unclosed", "/*x='y',mc='a*/", nil, []extract.Reason{unclosed}},
		{"sqlcommenter closed by an escape", `/*mc='a\'*/`, nil, []extract.Reason{unclosed}},
		{"sqlcommenter, a comma in another's value", "/*x='a,mc=',y='b,mc:c',mc='d'*/", []string{"d"}, nil},
		{"sqlcommenter, a quote in another's value", `/*x='a\',mc=\'b',mc='c'*/`, []string{"c"}, nil},
		{"sqlcommenter without quotes", `/*mc=a*/ /*mc="b"*/`, nil, nil},

		// Both.
		{"pair and sqlcommenter", "/*mc:a,mc='b%20c',x:y,mc:d*/", []string{"a", "b", "c", "d"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newTags(t).read(test.text, extract.Lexing{})
			if !slices.Equal(got.keys, test.keys) || !slices.Equal(got.refused, test.refused) {
				t.Errorf("%q: %q, %v; want %q, %v", test.text, got.keys, got.refused, test.keys, test.refused)
			}
		})
	}
}

// TestSeveralNames: one comment may hold several of the configured names, and
// each is a name of its own.
func TestSeveralNames(t *testing.T) {
	tags := newTags(t, "mc", "mc2", "cache.keys", "_x-y")
	for text, want := range map[string][]string{
		"/* mc: a */ /* mc2: b */ /* cache.keys: c */ /* _x-y: d */": {"a", "b", "c", "d"},
		"/*mc2:a,mc:b,x:y,cache.keys='c%20d',_x-y:e*/":               {"a", "b", "c", "d", "e"},
		"/* mc2: mc: */": {"mc:"},
		"/* mc3: a */ /* cachexkeys: b */ /* mc-: c */": nil,
		"/* MC: a */": nil,
	} {
		if got := tags.read(text, extract.Lexing{}); !slices.Equal(got.keys, want) || got.refused != nil {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
	}
}
