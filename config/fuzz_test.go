package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse holds Parse to this: whatever is in a file, the answer is a Config or
// mistakes that have a place, each on one line; and what a valid Config is written
// as, is read back the same.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../deploy/mcsqueal.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example),
		"source: {url: mariadb://u@/?socket=/run/s}\nstart: gtid:0-1-2\nvisibility: delay:5ms\n",
		"clusters:\n  - &a {name: a, routers: &r [a:1, b:2], action: stale:30s}\n  - {<<: *a, name: b}\n  - {<<: [*a], name: c, flush: *r}\n",
		"clusters: [{name: a, routers: [a:1,\n b:2 ]}]\n",
		"? x\n: y\n", "&a : b\n", "- *x\n", "%YAML 1.2\n---\n...\n", "start: |\n  now\n", "start: >-\n  now", "\ttags: [", "{a:", "start: &a\n  *a\n",
		"state_dir: ${A}/${B}\nsource: {url: \"mysql://${A}@${A}\"}\nclusters: [{name: a, routers: [\"${A}:1\"], flush: [${]}]\n", "state_dir: ${AAA}\n", "state_dir: ${${A}}\n",
		"<<: x\n", "<<: {<<: {}}\n", "!!map {}\n", "tags: !a [b]\n", "{tags: [a:b:c, 'd':e, {f:g}]}\n", "tags: [?]", "catch_up: 0x10\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data, func(name string) string { return strings.Repeat("v", len(name)%3) })
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			checkMistakes(t, err)
			return
		}
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.yaml", text, noEnvironment)
		if err != nil {
			t.Fatalf("%s\n%s", err, text)
		}
		if diff := cmp.Diff(c, again, sameConfig); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	})
}

func checkMistakes(t *testing.T, err error) {
	t.Helper()
	var mistakes *Error
	if !errors.As(err, &mistakes) || len(mistakes.Mistakes) == 0 {
		t.Fatalf("got %#v, want an *Error with mistakes", err)
	}
	for _, m := range mistakes.Mistakes {
		if !strings.HasPrefix(m.Place, "fuzz.yaml:") || m.Text == "" || strings.ContainsAny(m.String(), "\n\r\x00\x1b") {
			t.Errorf("%q is no mistake with a place on one line", m)
		}
	}
}

// FuzzParseSourceURL holds it to this: no error repeats the URL, no password gets
// into one that is taken, and what is written is read back the same.
func FuzzParseSourceURL(f *testing.F) {
	for _, seed := range []string{
		"mysql://u@h", "mariadb://u@h:3307", "mysql://u@[::1]:3306/", "mysql://u@/?socket=/run/a%20b", "mysql://u@localhost?socket=x",
		"mysql://a%3Ab%40@h", "mysql://u:secret@h", "mysql://u:se/cret@h", "mysql://u:se?cret@h", "mysql://:secret@h", "mysql://u@h1,h2",
		"mysql://u@[fe80::1%25eth0]", "mysql://u@h/db", "mysql://u@h?tls=true", "mysql://u@h#x", "mysql://u@::", "mysql://u@[::%25\x83]", "mysql://u@[::%25%25]", "mysql:u@h", "://", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseSourceURL(s)
		if err != nil {
			for _, known := range []error{errURL, errURLPassword, errURLUser, errURLHost, errURLHosts, errURLPath, errURLQuery, errURLBoth} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("%q is not one of the errors that repeat nothing", err)
		}
		if u.IsZero() || u.User == "" || (u.Socket == "") != (u.Host != "" && u.Port > 0 && u.Port < 65536) {
			t.Errorf("%q is %#v", s, u)
		}
		if again, err := ParseSourceURL(u.String()); err != nil || again != u {
			t.Errorf("%q is %#v; %q is %#v, %v", s, u, u, again, err)
		}
	})
}

// FuzzText holds the types that read text to this: what is written is read back the
// same, and then written the same.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"64MiB", "1 gb", "8388607TiB", "9223372036854775808", "auto", "delay:1ms", "delay:-1ms", "delete", "stale:720h", "holdoff:2s", ":", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseSize(s); err == nil {
			if again, err := ParseSize(v.String()); err != nil || again != v || v < 0 {
				t.Errorf("size %q is %d; %q is %d, %v", s, v, v, again, err)
			}
		}
		if v, err := ParseVisibility(s); err == nil {
			if again, err := ParseVisibility(v.String()); err != nil || again != v {
				t.Errorf("visibility %q is %#v; %q is %#v, %v", s, v, v, again, err)
			}
		}
		if v, err := ParseAction(s); err == nil {
			if again, err := ParseAction(v.String()); err != nil || again != v {
				t.Errorf("action %q is %#v; %q is %#v, %v", s, v, v, again, err)
			}
		}
	})
}
