package extract_test

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/extract"
)

func TestAppendEscapedOnlyWhereItMust(t *testing.T) {
	for key, want := range map[string]string{
		"":                         "",
		"user:1":                   "user:1",
		"100%":                     "100%25",
		"a b\t\x00\x1f\x7f":        "a%20b%09%00%1F%7F",
		"é€😀�":                     "é€😀�",
		"\xff\xc3\x28\xed\xa0\x80": "%FF%C3(%ED%A0%80",
		"\"\\',=*/":                "\"\\',=*/",
	} {
		if got := string(extract.AppendEscaped(nil, []byte(key))); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	if got := extract.AppendEscaped([]byte("x"), []byte("%")); string(got) != "x%25" {
		t.Errorf("%q, want what is there kept", got)
	}
}

// TestAppendEscapedRoundTrips: whatever a key is, a tag that writes it escaped
// names it, in every form that can hold it.
func TestAppendEscapedRoundTrips(t *testing.T) {
	tags := newTags(t)
	keys := rapid.SliceOfN(rapid.Byte(), 1, 250).Filter(func(key []byte) bool {
		return !bytes.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c == 0x7f })
	})
	rapid.Check(t, func(t *rapid.T) {
		key := keys.Draw(t, "key")
		escaped := extract.AppendEscaped(nil, key)
		if !utf8.Valid(escaped) {
			t.Fatalf("%q is not UTF-8", escaped)
		}
		texts := []string{"1 -- mc: " + string(escaped)}
		if !bytes.Contains(key, []byte("*/")) {
			texts = append(texts, "/* mc: "+string(escaped)+" */")
		}
		if !bytes.ContainsAny(key, ",") {
			texts = append(texts, "1 # x:y,mc:"+string(escaped))
		}
		if !bytes.ContainsAny(key, `\'`) {
			texts = append(texts, "1 # x:y,mc='"+string(escaped)+"'")
		}
		for _, text := range texts {
			got := tags.read(text, extract.Lexing{})
			if len(got.keys) != 1 || got.keys[0] != string(key) || got.refused != nil {
				t.Fatalf("%q: %v, want %q", text, got, key)
			}
		}
	})
}
