package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatAReloadCannotChangeIsNamed(t *testing.T) {
	const text = `
source: {url: mysql://u@db1, password_file: /p, tls: {mode: verify}}
state_dir: /state
clusters: [{name: a, routers: [a:1]}]
admin: {listen: 127.0.0.1:9470}
log: {level: info, format: text}
`
	for _, test := range []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", "", "", nil},
		{"another source", "db1", "db2", []string{"source.url"}},
		{"TLS", "mode: verify", "mode: verify-ca", []string{"source.tls.mode"}},
		{"the state", "/state", "/elsewhere", []string{"state_dir"}},
		{"the listener", "9470", "9471", []string{"admin.listen"}},
		{"the log's level", "level: info", "level: debug", nil},
		{"the log's form", "format: text", "format: json", []string{"log.format"}},
		{"a cluster's address", "[a:1]", "[b:1]", nil},
		{"a cluster more", "[{name", "[{name: b, servers: [b:1]}, {name", nil},
		{"tags", "log:", "tags: [mc, more]\nlog:", nil},
		{"rules", "log:", "rules: [{table: a.b, keys: ['{id}']}]\nlog:", nil},
		{"several", "/state\n", "/elsewhere\non_gap: flush\ncatch_up: 3\n", []string{"state_dir"}},
	} {
		next := mustParse(t, strings.Replace(text, test.old, test.new, 1))
		if diff := cmp.Diff(test.want, mustParse(t, text).NeedsRestart(next)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// The example names what takes a restart, and nothing else.
func TestTheExampleSaysWhatTakesARestart(t *testing.T) {
	example, err := os.ReadFile("../deploy/mcsqueal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(example), "takes a restart:")
	if !ok {
		t.Fatal("the example does not say what takes a restart")
	}
	list, _, _ = strings.Cut(list, ".\n")
	var named []string
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return strings.ContainsRune(", \n#", r) }) {
		if word != "and" {
			named = append(named, word)
		}
	}
	zero, other := Default(), Default()
	other.Source.PasswordFile, other.StateDir, other.Admin.Listen, other.Log.Format = "/p", "/s", "a:1", LogJSON
	var want []string
	for _, path := range zero.NeedsRestart(other) {
		if !strings.HasPrefix(path, "log.") {
			path, _, _ = strings.Cut(path, ".")
		}
		want = append(want, path)
	}
	slices.Sort(named)
	slices.Sort(want)
	if diff := cmp.Diff(want, named); diff != "" {
		t.Error(diff)
	}
}
