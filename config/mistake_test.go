package config

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// mistakesOf are the lines of everything wrong with text, from Parse or Validate.
func mistakesOf(t *testing.T, text string) string {
	t.Helper()
	c, err := Parse("m.yaml", []byte(text), noEnvironment)
	if err == nil {
		err = c.Validate()
	}
	if err == nil {
		return ""
	}
	var mistakes *Error
	if !errors.As(err, &mistakes) || len(mistakes.Mistakes) == 0 {
		t.Fatalf("got %#v, want an *Error with mistakes", err)
	}
	return err.Error()
}

// mend is how a mistake says what to do about it.
var mend = regexp.MustCompile(`\b(write|did you mean|here can stand|takes|belongs under|keep|leave|set|put|name|list|give|use|shorten|may need quotes|a position is|a configuration is one|the syntax is|the wildcards are|may not itself merge|every cluster has one|must be at)\b`)

func TestEveryMistakeHasItsPlaceAndItsMend(t *testing.T) {
	const cluster = "clusters:\n  - name: east\n    routers: [a:1]\n"
	for _, test := range []struct{ name, text, want string }{
		// What is not YAML, or not a configuration.
		{"a syntax error", "start: now\ntags: [mc\non_gap: stop\n",
			"m.yaml:3: this is not YAML: ',' or ']' must be specified; a value with a bracket, a brace, a # or a colon in it may need quotes"},
		{"a tab", "source:\n\turl: mysql://u@h\n",
			"m.yaml:2: this is not YAML: a tab indents the line; use spaces"},
		{"a field given twice", "start: now\non_gap: stop\nstart: oldest\n",
			"m.yaml:3: start: is given on line 1 already; keep one of them"},
		{"bytes that are no text", "start: now\ntags: [\xff]\n",
			"m.yaml:2: the line is not UTF-8; write the file in UTF-8"},
		{"two documents", "start: now\n---\nstart: oldest\n",
			"m.yaml:3: a second document begins here; a configuration is one"},
		{"a list for everything", "- start: now\n",
			"m.yaml:1: takes fields: source, state_dir, start, on_gap, visibility, log_bytes, catch_up, tags, rules, clusters, admin, log"},

		// Unknown fields.
		{"a letter missing", "sorce: {}\n",
			"m.yaml:1: sorce: unknown field; did you mean source?"},
		{"letters swapped", "clusters:\n  - widnow: 4\n",
			"m.yaml:2: clusters[0].widnow: unknown field; did you mean window?"},
		{"another convention", "start: now\nonGap: stop\n",
			"m.yaml:2: onGap: unknown field; did you mean on_gap?"},
		{"a beginning", "source:\n  password: hunter2\n",
			"m.yaml:2: source.password: unknown field; did you mean password_file?"},
		{"nearly right, and right elsewhere", "rules:\n  - table: a.b\n    key: [k]\n",
			"m.yaml:3: rules[0].key: unknown field; did you mean keys?"},
		{"the wrong level", "routers: [a:1]\n",
			"m.yaml:1: routers: unknown field; it belongs under clusters"},
		{"the wrong level, deeper", "log:\n  ca: ca.pem\n",
			"m.yaml:2: log.ca: unknown field; it belongs under source.tls"},
		{"nothing like it", "admin:\n  telephone: 1\n",
			"m.yaml:2: admin.telephone: unknown field; here can stand listen, tls, token_file, pprof"},
		{"neither true nor false", "admin: {pprof: yes}\n",
			`m.yaml:1: admin.pprof: "yes" is neither true nor false; write one of the two`},
		{"nothing to repeat whole", "\"" + strings.Repeat("x", 80) + "\\n\": 1\n",
			"m.yaml:1: " + strings.Repeat("x", 64) + "…: unknown field; here can stand source, state_dir, start, on_gap, visibility, log_bytes, catch_up, tags, rules, clusters, admin, log"},

		// Values of another kind.
		{"a value where fields are due", "source: mysql://root:hunter2@db\n",
			"m.yaml:1: source: takes fields: url, urls, password_file, tls, server_id, failover_wait"},
		{"a value where a list is due", "tags: mc\n",
			"m.yaml:1: tags: takes a list; write [one, another], or each on a line of its own behind a hyphen"},
		{"fields where a list is due", "clusters:\n  name: east\n",
			"m.yaml:2: clusters: takes a list; write [one, another], or each on a line of its own behind a hyphen"},
		{"a list where a value is due", "start: [now]\n",
			"m.yaml:1: start: takes a single value; with brackets, braces or a colon in it, put it in quotes"},
		{"an address without its quotes", "clusters:\n  - {name: a, routers: [[::1]:11211]}\n",
			"m.yaml:2: this is not YAML: found an invalid key for this map; a value with a bracket, a brace, a # or a colon in it may need quotes"},
		{"fields where a value is due", "start: {file: bin.1}\n",
			"m.yaml:1: start: takes a single value; with brackets, braces or a colon in it, put it in quotes"},
		{"a type", "start: !!str now\n",
			"m.yaml:1: start: a type (!!str) has no place here; leave it out"},
		{"an alias of nothing", "tags: [*mc]\n",
			"m.yaml:1: tags[0]: *mc stands for nothing; write &mc before the value it repeats"},
		{"an alias of itself", "start: &a\n  *a\n",
			"m.yaml:1: start: the alias leads back to itself; write the value out"},
		{"a merge of a value", "clusters:\n  - <<: east\n",
			"m.yaml:2: clusters[0]: << takes what an anchor (&name) stands before, as *name, with fields in it"},
		{"a merge of a merge", "clusters:\n  - &a {name: a, routers: [a:1]}\n  - &b {<<: *a, name: b}\n  - {<<: *b, name: c}\n",
			"m.yaml:3: clusters[2]: what is merged with << may not itself merge"},
		{"no number", "catch_up: two\n",
			`m.yaml:1: catch_up: "two" is not a whole number; write digits, like 2`},
		{"a number too large", "source:\n  server_id: 4294967296\n",
			`m.yaml:2: source.server_id: "4294967296" is not a whole number; write one from 0 to 4294967295`},
		{"a time without a unit", cluster + "    timeout: 5\n",
			`m.yaml:4: clusters[0].timeout: "5" is not a time; write it with a unit, like 500ms, 30s or 1m30s`},
		{"no size", "log_bytes: 64M\n",
			`m.yaml:1: log_bytes: "64M" is not a size; write 64MiB, 1GB or a number of bytes`},
		{"no position", "start: yesterday\n",
			`m.yaml:1: start: position "yesterday": is none of the forms; a position is oldest, now, gtid:SET, file:NAME:OFFSET or time:2006-01-02T15:04:05Z`},

		// The source.
		{"a URL of something else", "source: {url: postgres://u@h}\n",
			"m.yaml:1: source.url: this is not a source's URL; write mysql://USER@HOST:PORT, mariadb://USER@HOST:PORT or mysql://USER@/?socket=PATH, with what is special in a name percent-encoded"},
		{"a password in the URL", "source:\n  url: mysql://root:hunter2@db\n",
			"m.yaml:2: source.url: the URL carries a password; leave it out and put it into MCSQUEAL_PASSWORD or a password_file"},
		{"one URL and several", "source:\n  url: mysql://u@a\n  urls: [mysql://u@b]\n",
			"m.yaml:3: source.urls: there is a url as well; put it first in urls, and leave url out"},
		{"a server twice", "source:\n  urls:\n    - mysql://u@a\n    - mysql://u@a:3306\n",
			"m.yaml:4: source.urls[1]: is the same server as one before it; name each once"},
		{"an empty one of several", "source: {urls: [mysql://u@a, '']}\n",
			"m.yaml:1: source.urls[1]: is empty; write mysql://USER@HOST:PORT"},
		{"a flavor of each", "source:\n  urls: [mysql://u@a, mariadb://u@b]\n",
			"m.yaml:2: source.urls[1]: is mariadb, the first is mysql; a position in the log of one means nothing to the other, so name servers of one kind"},
		{"a wait that is over", "source:\n  failover_wait: -1s\n",
			"m.yaml:2: source.failover_wait: is -1s; write 0s or more"},
		{"a TLS mode", "source:\n  tls: {mode: required}\n",
			`m.yaml:2: source.tls.mode: "required" is not known; write auto, verify, verify-ca, skip-verify or off`},
		{"authorities nobody asks", "source:\n  tls:\n    mode: off\n    ca: ca.pem\n",
			"m.yaml:3: source.tls.mode: is off, and so no other field of tls is used; leave them out, or set mode to verify"},
		{"authorities nobody asks either", "source:\n  tls:\n    mode: skip-verify\n    ca: ca.pem\n",
			"m.yaml:3: source.tls.mode: is skip-verify, and so ca is not used; leave it out, or set mode to verify-ca"},
		{"half a pair", "source:\n  tls:\n    cert: c.pem\n",
			"m.yaml:3: source.tls.cert: has no key; set key to the file of its private key"},
		{"the other half", "source:\n  tls:\n    key: k.pem\n",
			"m.yaml:3: source.tls.key: has no certificate; set cert to the file of its certificate"},
		{"a socket's name", "source:\n  url: mysql://u@/?socket=/s\n  tls:\n    mode: verify\n",
			"m.yaml:3: source.tls: through a socket there is no host whose name a certificate could bear; set server_name, or mode to verify-ca"},

		// The top level.
		{"no start", "start: ''\n",
			"m.yaml:1: start: is empty; write now, oldest, gtid:SET, file:NAME:OFFSET or time:2006-01-02T15:04:05Z"},
		{"a word for gaps", "on_gap: skip\n",
			`m.yaml:1: on_gap: "skip" is not known; write stop or flush`},
		{"a word for visibility", "visibility: sometimes\n",
			`m.yaml:1: visibility: "sometimes" is not a way to know what can be read; write auto, gtid, snapshot, delay:50ms or off`},
		{"a delay of nothing", "visibility: delay:0s\n",
			`m.yaml:1: visibility: "0s" is not a time to wait; write it like delay:50ms`},
		{"a delay without a time", "visibility: delay\n",
			"m.yaml:1: visibility: delay needs a time; write it like delay:50ms"},
		{"MySQL's way on MariaDB", "visibility: gtid\nsource: {url: mariadb://u@h}\n",
			"m.yaml:1: visibility: gtid works on MySQL only, and the source is MariaDB; write auto or snapshot"},
		{"MariaDB's way on MySQL", "source: {url: mysql://u@h}\nvisibility: snapshot\n",
			"m.yaml:2: visibility: snapshot works on MariaDB only, and the source is MySQL; write auto or gtid"},
		{"a Log of nothing", "log_bytes: 64KB\n",
			"m.yaml:1: log_bytes: is 64kB; write 64KiB or more"},
		{"no catching up", "catch_up: 0\n",
			"m.yaml:1: catch_up: is 0, and a cluster that falls behind could never catch up; write 1 or more"},
		{"a listener's certificate without a key", "admin:\n  tls: {cert: c}\n",
			"m.yaml:2: admin.tls.cert: has no key; set key to the file of its private key"},
		{"a listener's key without a certificate", "admin:\n  tls: {key: k}\n",
			"m.yaml:2: admin.tls.key: has no certificate; set cert to the file of its certificate"},
		{"certificates of clients without encryption", "admin:\n  tls:\n    client_ca: a\n",
			"m.yaml:3: admin.tls.client_ca: asks clients for certificates where nothing is encrypted; set cert and key"},
		{"a listener without a port", "admin:\n  listen: localhost\n",
			`m.yaml:2: admin.listen: "localhost" has no port; write 127.0.0.1:9470, or "" for no listener`},
		{"a level", "log: {level: trace}\n",
			`m.yaml:1: log.level: "trace" is not known; write debug, info, warn or error`},
		{"a format", "log: {format: xml}\n",
			`m.yaml:1: log.format: "xml" is not known; write text or json`},

		// Tags and rules.
		{"a tag with a colon", "tags: [mc, 'mc:']\n",
			`m.yaml:1: tags[1]: "mc:" cannot name a tag; use 1 to 64 letters, digits, underscores, dots and hyphens, a letter or an underscore first`},
		{"a tag that begins with a digit", "tags:\n  - mc\n  - 1mc\n",
			`m.yaml:3: tags[1]: "1mc" cannot name a tag; use 1 to 64 letters, digits, underscores, dots and hyphens, a letter or an underscore first`},
		{"a tag twice", "tags: [mc, mc]\n",
			`m.yaml:1: tags[1]: "mc" is there already; name each tag once`},
		{"nothing to find keys by", "tags: []\n",
			"m.yaml:1: tags: there are neither tags nor rules, so no key would ever be found; write [mc]"},
		{"a rule of nothing", "rules:\n  - {}\n",
			"m.yaml:2: rules[0].table: is missing; write schema.table\n" +
				`m.yaml:2: rules[0].keys: is missing; write at least one, like ["user:{id}"]`},
		{"a table without a schema", "rules:\n  - table: users\n    keys: [k]\n",
			`m.yaml:2: rules[0].table: "users" is not schema.table; to mean every schema, write *.users`},
		{"a table that is no pattern", "rules:\n  - table: 'shop.user[a'\n    keys: [k]\n",
			`m.yaml:2: rules[0].table: "shop.user[a" is not a pattern; the wildcards are *, ? and [a-z], and a backslash takes away their meaning`},
		{"a table in backquotes", "rules:\n  - table: '`shop`.`users`'\n    keys: [k]\n",
			"m.yaml:2: rules[0].table: has backquotes, which are no part of a name; write shop.users without backquotes, and a dot in a name as ?"},
		{"an open brace", "rules:\n  - table: a.b\n    keys: ['k:{id']\n",
			`m.yaml:3: rules[0].keys[0]: "k:{id" opens a brace and does not name a column in it; write {column}`},
		{"an empty brace", "rules: [{table: a.b, keys: ['k:{}']}]\n",
			`m.yaml:1: rules[0].keys[0]: "k:{}" opens a brace and does not name a column in it; write {column}`},
		{"a brace in a brace", "rules: [{table: a.b, keys: ['k:{a{b}}']}]\n",
			`m.yaml:1: rules[0].keys[0]: "k:{a{b}}" opens a brace and does not name a column in it; write {column}`},
		{"a closed brace", "rules: [{table: a.b, keys: ['k:id}']}]\n",
			`m.yaml:1: rules[0].keys[0]: "k:id}" closes a brace that is not open; write {column}`},
		{"a key with a space", "rules: [{table: a.b, keys: ['k {id}']}]\n",
			`m.yaml:1: rules[0].keys[0]: "k {id}" has white space or a control character in it, which a key cannot; leave it out`},
		{"no key", "rules: [{table: a.b, keys: ['']}]\n",
			`m.yaml:1: rules[0].keys[0]: "" is no key; write one like user:{id}`},
		{"a key too long", "rules: [{table: a.b, keys: ['{id}" + strings.Repeat("k", 251) + "']}]\n",
			`m.yaml:1: rules[0].keys[0]: "{id}` + strings.Repeat("k", 60) + `…" has 251 bytes beside its columns, and a key has at most 250; shorten it`},

		// Clusters.
		{"a cluster of nothing", "clusters:\n  -\n",
			"m.yaml:2: clusters[0].name: is missing; every cluster has one\n" +
				"m.yaml:2: clusters[0]: has neither routers nor servers; write routers: [HOST:PORT] or servers: [HOST:PORT]"},
		{"a name with an equals sign", "clusters:\n  - {name: a=b, routers: [a:1]}\n",
			`m.yaml:2: clusters[0].name: "a=b" cannot name a cluster; use 1 to 64 letters, digits, underscores, dots and hyphens`},
		{"a name twice", cluster + "  - {name: east, routers: [b:1]}\n",
			`m.yaml:4: clusters[1].name: "east" is another cluster's name already; give each its own`},
		{"routers and servers", cluster + "    servers: [b:1]\n",
			"m.yaml:2: clusters[0]: has routers and servers; keep routers if any one of them reaches every cache, else servers"},
		{"no port", "clusters:\n  - name: east\n    routers:\n      - a:1\n      - cache\n",
			`m.yaml:5: clusters[0].routers[1]: "cache" has no port; write HOST:PORT, or the absolute path of a socket`},
		{"no host", "clusters: [{name: a, servers: [':11211']}]\n",
			`m.yaml:1: clusters[0].servers[0]: ":11211" has no host; write HOST:PORT, or the absolute path of a socket`},
		{"no address", "clusters: [{name: a, servers: ['']}]\n",
			"m.yaml:1: clusters[0].servers[0]: is empty; write HOST:PORT, or the absolute path of a socket"},
		{"IPv6 without brackets", "clusters: [{name: a, servers: ['::1:11211']}]\n",
			`m.yaml:1: clusters[0].servers[0]: "::1:11211" is not host:port (an IPv6 address stands in brackets); write HOST:PORT, or the absolute path of a socket`},
		{"a port too large", "clusters: [{name: a, servers: [a:65536]}]\n",
			`m.yaml:1: clusters[0].servers[0]: "65536" is not a port; write HOST:PORT, or the absolute path of a socket`},
		{"port 0", "clusters: [{name: a, servers: [a:0]}]\n",
			`m.yaml:1: clusters[0].servers[0]: "0" is not a port; write HOST:PORT, or the absolute path of a socket`},
		{"two hosts", "clusters: [{name: a, flush: ['a,b:1'], servers: [a:1]}]\n",
			`m.yaml:1: clusters[0].flush[0]: "a,b" is not a host; write HOST:PORT, or the absolute path of a socket`},
		{"an address twice", "clusters: [{name: a, routers: [a:1, a:1]}]\n",
			`m.yaml:1: clusters[0].routers[1]: "a:1" is there already; name each once`},
		{"nothing to flush", "on_gap: flush\n" + cluster,
			"m.yaml:3: clusters[0].flush: is missing, and on_gap is flush; list the cluster's cache servers, since a router need not pass flush_all on"},
		{"TLS that is off and has authorities", cluster + "    tls: {mode: off, ca: ca.pem}\n",
			"m.yaml:4: clusters[0].tls.mode: is off, and so no other field of tls is used; leave them out, or set mode to verify"},
		{"TLS that nobody knows", cluster + "    tls:\n      mode: on\n",
			`m.yaml:5: clusters[0].tls.mode: "on" is not known; write auto, verify, verify-ca, skip-verify or off`},
		{"a cluster's socket's name", cluster + "    tls: {mode: verify}\n    flush: [/run/memcached.sock]\n",
			"m.yaml:4: clusters[0].tls: through a socket there is no host whose name a certificate could bear; set server_name, or mode to verify-ca"},
		{"a protocol", cluster + "    protocol: binary\n",
			`m.yaml:4: clusters[0].protocol: "binary" is not known; write auto, meta or text`},
		{"a prefix with a space", cluster + "    prefix: 'a b'\n",
			`m.yaml:4: clusters[0].prefix: "a b" has white space or a control character in it, which a key cannot; leave it out`},
		{"a prefix that leaves no room", cluster + "    prefix: " + strings.Repeat("p", 250) + "\n",
			"m.yaml:4: clusters[0].prefix: is 250 bytes long and leaves no room for a key: both together have at most 250; shorten it"},
		{"an action", cluster + "    action: invalidate\n",
			`m.yaml:4: clusters[0].action: "invalidate" is nothing to do to a key; write delete, stale:30s or holdoff:2s`},
		{"a delete that takes time", cluster + "    action: delete:5s\n",
			`m.yaml:4: clusters[0].action: "delete:5s" is nothing to do to a key; write delete, stale:30s or holdoff:2s`},
		{"a fraction of a second", cluster + "    action: stale:1500ms\n",
			`m.yaml:4: clusters[0].action: "stale:1500ms": stale takes a time of whole seconds, from 1s to 720h (30 days); write it like stale:30s`},
		{"a date for a time", cluster + "    action: holdoff:721h\n",
			`m.yaml:4: clusters[0].action: "holdoff:721h": holdoff takes a time of whole seconds, from 1s to 720h (30 days); write it like holdoff:30s`},
		{"stale by text", cluster + "    action: stale:30s\n    protocol: text\n",
			"m.yaml:4: clusters[0].action: stale needs the meta protocol; set protocol to meta or auto"},
		{"no expression", cluster + "    match: 'user('\n",
			"m.yaml:4: clusters[0].match: \"user(\" is not a regular expression: missing closing ): `user(`; the syntax is Go's (RE2)"},
		{"a delete again at once", cluster + "    redelete_after: [1s, 0s]\n",
			"m.yaml:4: clusters[0].redelete_after[1]: is 0s; write more than 0s"},
		{"a delete again twice", cluster + "    redelete_after: [1s, 1000ms]\n",
			"m.yaml:4: clusters[0].redelete_after[1]: 1s is there already; name each delay once"},
		{"numbers out of range", cluster + "    linger: -1ms\n    window: 0\n    timeout: 0s\n    max_rate: -1\n    refused_max: 0\n",
			"m.yaml:4: clusters[0].linger: is -1ms; write 0s or more\n" +
				"m.yaml:5: clusters[0].window: is 0, and nothing could be sent; write 1 or more\n" +
				"m.yaml:6: clusters[0].timeout: is 0s, and no answer could be in time; write more than 0s\n" +
				"m.yaml:7: clusters[0].max_rate: is -1; write keys a second, or 0 for no bound\n" +
				"m.yaml:8: clusters[0].refused_max: is 0, and the first key refused would stop the cluster; write 1 or more"},

		// Everything at once.
		{"a mistake of each kind", "sorce: {}\ncatch_up: two\nclusters: [{windw: 1, linger: 5}]\n",
			"m.yaml:1: sorce: unknown field; did you mean source?\n" +
				"m.yaml:2: catch_up: \"two\" is not a whole number; write digits, like 2\n" +
				"m.yaml:3: clusters[0].windw: unknown field; did you mean window?\n" +
				"m.yaml:3: clusters[0].linger: \"5\" is not a time; write it with a unit, like 500ms, 30s or 1m30s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := mistakesOf(t, test.text)
			if got != test.want {
				t.Errorf("got\n  %s\nwant\n  %s", got, test.want)
			}
			for line := range strings.SplitSeq(got, "\n") {
				if !mend.MatchString(line) {
					t.Errorf("%q does not say what to do", line)
				}
			}
		})
	}
}

func TestAValueThatNobodyWroteIsNamedByItsPath(t *testing.T) {
	c := Default()
	c.Clusters = []Cluster{{Name: "east", Servers: []string{"a:1"}, Action: Action{Kind: ActionDelete}, Timeout: 1, RefusedMax: 1}}
	c.Visibility = Visibility{Mode: VisibilityDelay}
	want := "visibility: \"delay:0s\" is not known; write auto, gtid, snapshot, delay:50ms or off\n" +
		"clusters[0].tls.mode: \"\" is not known; write auto, verify, verify-ca, skip-verify or off\n" +
		"clusters[0].protocol: \"\" is not known; write auto, meta or text\n" +
		"clusters[0].window: is 0, and nothing could be sent; write 1 or more"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got\n  %v\nwant\n  %s", err, want)
	}
}

func TestWhatACommandNeedsIsAskedForByTheCommand(t *testing.T) {
	c := mustParse(t, "source: {server_id: 7}\n")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"validate", c.Validate(), ""},
		{"source", c.RequireSource(), "test.yaml:1: source.url: no source is named; set it here, or with --source mysql://USER@HOST:PORT"},
		{"clusters", c.RequireClusters(), "clusters: no cluster is defined; define one here, or with --cluster NAME=HOST:PORT"},
	} {
		got := ""
		if test.err != nil {
			got = test.err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	c = mustParse(t, "source: {urls: [mysql://u@h]}\nclusters: [{name: a, routers: [a:1]}]\n")
	if err := errors.Join(c.RequireSource(), c.RequireClusters()); err != nil {
		t.Error(err)
	}
}
