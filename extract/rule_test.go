package extract

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// Names may have slashes in them.
func TestWildcardsMatchSlashes(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"a*", "a/b", true}, {"*b", "a/b", true}, {"a?b", "a/b", true}, {"a*c*", "a/b/c/d", true}, {"?", "/", true},
		{"*", "", true}, {"a/b", "a/b", true}, {"a[.-0]b", "a/b", true}, {"a[^x]b", "a/b", true}, {`a\*b`, "a/b", false}, {"a?b", "a//b", false},
		{"*a*b*c*", "xxaxbxbxc", true}, {"*a*b*c*", "xxaxcxb", false}, {"größ*", "größe/n", true}, {"gr?ße", "größe", true},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("%s and %s: %v", c.pattern, c.name, got)
		}
	}
	r := Rule{Table: "shop.*"}
	if !r.Matches("shop", "a/b") {
		t.Error("shop.* does not match a/b")
	}
}

// But for slashes a pattern is one of path.Match.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"a*b?c", "axxbyc"}, {`\*[a-z]`, "*q"}, {"[^a-c]*", "dab"}, {`[\]-a]`, "^"}, {"[", ""}, {"a]", "a]"}, {`a\`, "a"}, {"*[é-ü]", "aö"}, {"[]a]", "a"}, {"[-]", "-"}, {"\xff", "\xff"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if _, err := path.Match(pattern, ""); err != nil || strings.Contains(name, "/") || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			_ = match(pattern, name) // whatever it is, it ends
			return
		}
		want, err := path.Match(pattern, name)
		if got := match(pattern, name); err == nil && got != want {
			t.Errorf("%q and %q: %v, path.Match says %v", pattern, name, got, want)
		}
	})
}
