package extract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/extract"
)

func TestNewTagsTakesNamesThatEveryFormCanWrite(t *testing.T) {
	for _, names := range [][]string{{"mc"}, {"a"}, {"_"}, {"Cache.Keys-2"}, {strings.Repeat("x", 64)}, {"mc", "MC", "mc2"}} {
		if _, err := extract.NewTags(names); err != nil {
			t.Errorf("%q: %v", names, err)
		}
	}
	for _, names := range [][]string{nil, {""}, {"2mc"}, {"-mc"}, {".mc"}, {"m c"}, {"mc:"}, {"m=c"}, {"m%63"}, {"é"}, {"m'c"}, {"m*/c"},
		{strings.Repeat("x", 65)}, {"mc", "mc"}, {"mc", ""}} {
		if _, err := extract.NewTags(names); err == nil {
			t.Errorf("%q is taken", names)
		} else if len(names) > 0 && !strings.Contains(err.Error(), fmt.Sprintf("%q", names[len(names)-1])) {
			t.Errorf("%q: the error does not name it: %v", names, err)
		}
	}
}

// TestMisreadGivesNoKey: a statement that cannot have been lexed this way is
// refused as a whole, with a sample from its first mention on.
func TestMisreadGivesNoKey(t *testing.T) {
	tags := newTags(t)
	// The session had NO_BACKSLASH_ESCAPES, and we were not told: the second
	// value then looks like a comment.
	const forged = `INSERT /* mc: real */ INTO t VALUES ('C:\', ' /* mc: forged */ ')`
	if got := tags.read(forged, extract.Lexing{}); got.keys != nil || !slices.Equal(got.refused, []extract.Reason{extract.Misread}) {
		t.Errorf("%q: %v", forged, got)
	}
	if got := tags.read(forged, extract.Lexing{NoBackslashEscapes: true}); !slices.Equal(got.keys, []string{"real"}) || got.refused != nil {
		t.Errorf("%q: %v", forged, got)
	}
	// Nothing is lost with a statement that mentions no tag.
	if got := tags.read("SELECT 'mc: a", extract.Lexing{}); got.keys != nil || got.refused != nil {
		t.Errorf("a statement without a tag: %v", got)
	}
	text := "SELECT 1 /* mc: " + strings.Repeat("x", 200)
	tags.tags.Keys([]byte(text), extract.Lexing{}, nil, func(r extract.Refusal) {
		if want := text[len("SELECT 1 /* "):][:100]; string(r.Text) != want {
			t.Errorf("sample %q, want %q", r.Text, want)
		}
	})
}

// TestAmbiguousKeepsWhatIsCertain: keys before the place go out, and it is
// refused only if there may be keys behind it.
func TestAmbiguousKeepsWhatIsCertain(t *testing.T) {
	tags := newTags(t)
	for text, want := range map[string]reading{
		"CREATE /* mc: a */ FUNCTION f AS $$ x $$":             {[]string{"a"}, nil},
		"CREATE /* mc: a */ FUNCTION f AS $$ x $$ /* mc: b */": {[]string{"a"}, []extract.Reason{extract.Ambiguous}},
		"/* mc: a */ 1.5e-- /* mc: b */":                       {[]string{"a"}, []extract.Reason{extract.Ambiguous}},
		"/* mc: a */ 1 /*M! /* mc: b */ */ /* mc: c */":        {[]string{"a"}, []extract.Reason{extract.Ambiguous}},
	} {
		if got := tags.read(text, extract.Lexing{}); !slices.Equal(got.keys, want.keys) || !slices.Equal(got.refused, want.refused) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// lexings draws a session's settings.
var lexings = rapid.Custom(func(t *rapid.T) extract.Lexing {
	return extract.Lexing{
		AnsiQuotes:         rapid.Bool().Draw(t, "ANSI_QUOTES"),
		NoBackslashEscapes: rapid.Bool().Draw(t, "NO_BACKSLASH_ESCAPES"),
		Charset:            rapid.SampledFrom([]extract.Charset{extract.Plain, extract.Big5, extract.SJIS, extract.GBK}).Draw(t, "charset"),
	}
})

// values draws what a user may have typed, with a liking for what hurts.
var values = rapid.Map(rapid.SliceOf(rapid.OneOf(
	rapid.SampledFrom([]string{"'", `"`, "`", `\`, "''", `\'`, "/*", "*/", "-- ", "#", "\n", "/* mc: forged */", "-- mc: forged\n", "mc: forged",
		"# mc: forged\n", "/*mc='forged'*/", "/*mc:forged*/", "/*!", "/*M!", "/*+", "\x81", "\x95\\", "\xb0\\", "\xb0`", "\xa1", "\xff", "\x00", "é", "$$"}),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 4), func(b []byte) string { return string(b) }),
)), func(parts []string) string { return strings.Join(parts, "") })

// TestNothingIsForged: whatever a literal holds, if it was quoted as its session
// wants it, it is never a tag; and the tags around it still are.
func TestNothingIsForged(t *testing.T) {
	tags := newTags(t)
	rapid.Check(t, func(t *rapid.T) {
		lex := lexings.Draw(t, "lexing")
		// A name cannot hold a NUL; with ANSI_QUOTES "…" is one.
		a, b := values.Draw(t, "a"), strings.ReplaceAll(values.Draw(t, "b"), "\x00", "")
		name := strings.ReplaceAll(values.Draw(t, "name"), "\x00", "")
		text := "/* mc: one */ INSERT INTO t (`" + quoteName(name, lex) + "`) VALUES (" + quote(a, lex, "'") + "/*mc:two*/," +
			quote(b, lex, `"`) + ") -- mc: three\n, (N" + quote(b, lex, "'") + ")/*mc='four'*/"
		got := tags.read(text, lex)
		if !slices.Equal(got.keys, []string{"one", "two", "three", "four"}) || got.refused != nil {
			t.Fatalf("%+v: %q: %v", lex, text, got)
		}
	})
}

// quoteName doubles the backquotes of a name, but for those that are the second
// byte of a character.
func quoteName(name string, lex extract.Lexing) string {
	var b strings.Builder
	for len(name) > 0 {
		n := characterLen(lex.Charset, name)
		b.WriteString(name[:n])
		if name[0] == '`' {
			b.WriteByte('`')
		} else if n == 1 && name[0] >= 0x80 {
			b.WriteByte(' ') // half a character would take what comes next
		}
		name = name[n:]
	}
	return b.String()
}

// FuzzKeys: whatever the text, no panic and no key that is none (newTags' reader
// looks at each); nothing found without a mention; and with the text in a literal,
// nothing at all.
func FuzzKeys(f *testing.F) {
	for _, text := range []string{
		"UPDATE t SET a = 'it''s' /* mc: user:1 user%3A2 */", "/*a:b,mc:c%20d*/ 1 -- mc: e\n# mc: f", "/*mc='a%20b\\'',x='y'*/",
		"/*!50100 /* mc: a */ */", "/*M! '*/' */ /* mc: a */", "\"\\\" /* mc: a */", "`a``b` /* mc: a */", "'\xb0\\' /* mc: a */",
		"@a.b $$ /* mc: a */ $$", "1.5e-- mc: a", "/* mc: % %4 %zz %00 */", "/*mc='", "\\N \x00",
	} {
		for mode := range 20 {
			f.Add([]byte(text), byte(mode))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, mode byte) {
		lex := extract.Lexing{AnsiQuotes: mode&1 != 0, NoBackslashEscapes: mode&2 != 0, Charset: extract.Charset(mode >> 2 % 5)}
		tags := newTags(t, "mc", "other")
		got := tags.read(string(text), lex)
		if (got.keys != nil || got.refused != nil) && !tags.tags.Mentioned(text) {
			t.Errorf("%q gives %v without a mention", text, got)
		}
		if again := tags.read(string(text), lex); !slices.Equal(got.keys, again.keys) || !slices.Equal(got.refused, again.refused) {
			t.Errorf("%q gives %v, then %v", text, got, again)
		}
		literal := "SELECT " + quote(string(text), lex, "'")
		if got := tags.read(literal, lex); got.keys != nil || got.refused != nil {
			t.Errorf("%+v: %q gives %v", lex, literal, got)
		}
	})
}

// TestKeysAllocatesNothing holds Keys to that, with every form and refusals.
func TestKeysAllocatesNothing(t *testing.T) {
	tags, err := extract.NewTags([]string{"mc", "other"})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("/* mc: a b%3Ac %zz */ UPDATE t SET a = 'it\\'s' /*x:y,mc:d%2541,mc='e%20f\\'g'*/ -- other: " + strings.Repeat("%41", 300))
	keys, refused := 0, 0
	key := func([]byte) { keys++ }
	refuse := func(extract.Refusal) { refused++ }
	if n := testing.AllocsPerRun(100, func() { tags.Keys(text, extract.Lexing{}, key, refuse) }); n != 0 {
		t.Errorf("%v allocations for a statement", n)
	}
	if keys != 101*5 || refused != 101*2 {
		t.Errorf("%d keys, %d refusals in 101 statements", keys, refused)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range extract.Reasons() {
		s := r.String()
		if s == "unknown" || s == "none" || seen[s] || strings.ContainsAny(s, " -") {
			t.Errorf("reason %d is %q", r, s)
		}
		seen[s] = true
	}
	if n := len(extract.Reasons()); extract.Reason(n+1).String() != "unknown" {
		t.Errorf("reason %d is not listed", n+1)
	}
}
