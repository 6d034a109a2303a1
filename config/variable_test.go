package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// noEnvironment is that of a process which has been told nothing.
func noEnvironment(string) string { return "" }

func TestAVariableStandsForItsValueWhereTheFieldTakesIt(t *testing.T) {
	env := map[string]string{"DB": "db1", "_ROUTER_2": "10.0.0.2", "IP": "::1", "DIR": "/state"}
	c, err := Parse("v.yaml", []byte(`
source:
  urls: ["mysql://u@${DB}:3307", mysql://u@db2]
  password_file: ${DIR}/password
  tls: {ca: "${DIR}/ca.pem", cert: "${DIR}/${DB}.pem", key: "${DIR}/k", server_name: "${DB}.example.com"}
state_dir: ${DIR}
clusters:
  - {name: a, routers: ["${_ROUTER_2}:11211", "${DB}:1"], flush: ["[${IP}]:1"]}
  - name: b
    servers:
      - ${DB}:11211
admin: {listen: "[${IP}]:9470"}
`), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"urls":          {c.Source.URLs[0].String(), "mysql://u@db1:3307"},
		"password_file": {c.Source.PasswordFile, "/state/password"},
		"ca":            {c.Source.TLS.CA, "/state/ca.pem"},
		"cert":          {c.Source.TLS.Cert, "/state/db1.pem"},
		"key":           {c.Source.TLS.Key, "/state/k"},
		"server_name":   {c.Source.TLS.ServerName, "db1.example.com"},
		"state_dir":     {c.StateDir, "/state"},
		"routers":       {strings.Join(c.Clusters[0].Routers, " "), "10.0.0.2:11211 db1:1"},
		"flush":         {c.Clusters[0].Flush[0], "[::1]:1"},
		"servers":       {c.Clusters[1].Servers[0], "db1:11211"},
		"listen":        {c.Admin.Listen, "[::1]:9470"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
}

func TestAVariableThatStandsForNothingIsAMistakeWithItsLine(t *testing.T) {
	env := map[string]string{"NESTED": "${DB}", "SECRET": "hunter2"}
	const cluster = "clusters:\n  - name: a\n    routers: [a:1]\n"
	for _, test := range []struct{ name, text, want string }{
		{"not set", "start: now\nstate_dir: ${NOWHERE}/s\n",
			"v.yaml:2: state_dir: the environment variable NOWHERE is not set, or is empty; set it, or write the value here"},
		{"no end", "state_dir: ${DIR\n", "v.yaml:1: state_dir: a ${ begins no variable; write one like ${NAME}"},
		{"no name", "state_dir: ${}\n", "v.yaml:1: state_dir: a ${ begins no variable; write one like ${NAME}"},
		{"a default, as shells have it", "state_dir: ${DIR:-/s}\n", "v.yaml:1: state_dir: a ${ begins no variable; write one like ${NAME}"},
		{"one in another", "state_dir: ${NESTED}\n",
			"v.yaml:1: state_dir: the environment variable NESTED holds another one, which is not looked up; set it to the value itself"},
		{"a password in the URL", "source:\n  url: mysql://root:${SECRET}@db\n",
			"v.yaml:2: source.url: the URL carries a password; leave it out and put it into MCSQUEAL_PASSWORD or a password_file"},
		{"a prefix", cluster + "    prefix: ${REGION}\n",
			`v.yaml:4: clusters[0].prefix: "${REGION}" has ${, and no variable is looked up in this field; write the value itself`},
		{"a pattern", cluster + "    match: ^${POOL}\n",
			`v.yaml:4: clusters[0].match: "^${POOL}" has ${, and no variable is looked up in this field; write the value itself`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse("v.yaml", []byte(test.text), func(name string) string { return env[name] })
			if err == nil {
				err = c.Validate()
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("got\n  %v\nwant\n  %s", err, test.want)
			}
		})
	}
}

// The example says where variables are looked up: by a dollar at the end of the comment
// above the field.
func TestTheExampleMarksTheFieldsThatTakeVariables(t *testing.T) {
	text, err := os.ReadFile("../deploy/mcsqueal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var marked []string
	mark := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		field := regexp.MustCompile(`^(?:# |- )?([a-z_]+):( |$)`).FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "#") && strings.HasSuffix(line, " $"):
			mark = true
		case line == "" || strings.HasPrefix(line, "#") && field == nil:
			mark = false
		case field != nil && mark && field[1] != "name":
			marked = append(marked, field[1])
			// One comment may be about fields that are commented out, one below the other.
			mark = strings.HasPrefix(line, "#") || field[1] == "admin"
		}
	}
	var take []string
	for _, path := range variableFields(reflect.TypeFor[Config](), "") {
		take = append(take, path[strings.LastIndex(path, ".")+1:])
	}
	for _, list := range []*[]string{&marked, &take} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	marked = slices.DeleteFunc(marked, func(name string) bool { return name == "admin" })
	if !slices.Equal(marked, take) {
		t.Errorf("the example marks %v, variables are looked up in %v", marked, take)
	}
}

// variableFields are the paths of the fields of t in which variables are expanded.
func variableFields(t reflect.Type, path string) []string {
	var found []string
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() {
			continue
		}
		inner, at := f.Type, join(path, fieldName(f))
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		switch {
		case f.Tag.Get("env") == "expanded":
			found = append(found, at)
		case inner.Kind() == reflect.Struct:
			found = append(found, variableFields(inner, at)...)
		}
	}
	return found
}
