package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// sameConfig compares what two configurations say, not where they say it.
var sameConfig = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text), noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheExampleIsTheDefaultsAndTwoClusters(t *testing.T) {
	got, err := Load("../deploy/mcsqueal.yaml", noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Source.URL = SourceURL{Flavor: binlog.MySQL, User: "mcsqueal", Host: "127.0.0.1", Port: 3306}
	east, small := DefaultCluster("east"), DefaultCluster("small")
	east.Routers = []string{"10.0.0.1:11211", "10.0.0.2:11211"}
	small.Servers = []string{"10.1.0.1:11211", "10.1.0.2:11211"}
	want.Clusters = []Cluster{east, small}
	if diff := cmp.Diff(want, got, sameConfig); diff != "" {
		t.Error(diff)
	}
}

func TestTheExampleNamesEveryField(t *testing.T) {
	text, err := os.ReadFile("../deploy/mcsqueal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range leaves(reflect.TypeFor[Config](), "") {
		name := path[strings.LastIndex(path, ".")+1:]
		if !regexp.MustCompile(`(?m)^[ #-]*` + name + `:`).Match(text) {
			t.Errorf("%s is not in the example", path)
		}
	}
}

// leaves are the paths of the fields of t that hold no further fields.
func leaves(t reflect.Type, path string) []string {
	var found []string
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() {
			continue
		}
		inner, at := f.Type, join(path, fieldName(f))
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && fieldName(reflect.VisibleFields(inner)[0]) != "" {
			found = append(found, leaves(inner, at)...)
		} else {
			found = append(found, at)
		}
	}
	return found
}

func TestEveryFieldIsReadFromTheFile(t *testing.T) {
	got := mustParse(t, `
source:
  urls: [mariadb://repl@db1, "mariadb://repl@[::1]:3307"]
  password_file: /etc/password
  tls: {mode: verify-ca, ca: ca.pem, cert: c.pem, key: k.pem, server_name: db}
  server_id: 4294967295
  failover_wait: 1m30s
state_dir: /state
start: file:bin.000007:4
on_gap: flush
visibility: delay:50ms
log_bytes: 1GB
catch_up: 3
tags: [mc, dirty]
rules:
  - {table: "shop_*.users", keys: ["user:{id}"]}
  - table: a.b
    keys:
      - "{schema}:{table}:{id}"
clusters:
  - name: "1"
    routers: ["[::1]:11211", /run/memcached.sock]
    tls: {mode: verify, ca: c.pem, cert: d.pem, key: e.pem, server_name: f}
    protocol: meta
    prefix: /east/*/
    action: stale:30s
    match: ^user
    redelete_after: [1s, 10s]
    flush: [10.0.0.1:11211]
    linger: 500us
    window: 8
    timeout: 250ms
    max_rate: 1000
    refused_max: 1
admin: {listen: "", tls: {cert: ac.pem, key: ak.pem, client_ca: aca.pem}, token_file: at, pprof: true}
log: {level: debug, format: json}
`)
	want := &Config{
		Source: Source{
			URLs: []SourceURL{
				{Flavor: binlog.MariaDB, User: "repl", Host: "db1", Port: 3306},
				{Flavor: binlog.MariaDB, User: "repl", Host: "::1", Port: 3307},
			},
			PasswordFile: "/etc/password",
			TLS:          TLS{Mode: TLSVerifyCA, CA: "ca.pem", Cert: "c.pem", Key: "k.pem", ServerName: "db"},
			ServerID:     4294967295,
			FailoverWait: 90 * time.Second,
		},
		StateDir:   "/state",
		Start:      binlog.Point{Kind: binlog.PointFile, File: "bin.000007", Offset: 4},
		OnGap:      OnGapFlush,
		Visibility: Visibility{Mode: VisibilityDelay, Delay: 50 * time.Millisecond},
		LogBytes:   1_000_000_000,
		CatchUp:    3,
		Tags:       []string{"mc", "dirty"},
		Rules: []Rule{
			{Table: "shop_*.users", Keys: []string{"user:{id}"}},
			{Table: "a.b", Keys: []string{"{schema}:{table}:{id}"}},
		},
		Clusters: []Cluster{{
			Name:          "1",
			Routers:       []string{"[::1]:11211", "/run/memcached.sock"},
			TLS:           TLS{Mode: TLSVerify, CA: "c.pem", Cert: "d.pem", Key: "e.pem", ServerName: "f"},
			Protocol:      ProtocolMeta,
			Prefix:        "/east/*/",
			Action:        Action{Kind: ActionStale, For: 30 * time.Second},
			Match:         "^user",
			RedeleteAfter: []time.Duration{time.Second, 10 * time.Second},
			Flush:         []string{"10.0.0.1:11211"},
			Linger:        500 * time.Microsecond,
			Window:        8,
			Timeout:       250 * time.Millisecond,
			MaxRate:       1000,
			RefusedMax:    1,
		}},
		Admin: Admin{TLS: AdminTLS{Cert: "ac.pem", Key: "ak.pem", ClientCA: "aca.pem"}, TokenFile: "at", Pprof: true},
		Log:   Log{Level: LogDebug, Format: LogJSON},
	}
	if diff := cmp.Diff(want, got, sameConfig); diff != "" {
		t.Error(diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotWrittenHasItsDefault(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":              "",
		"a byte order mark":    "\ufeff",
		"comments":             "# nothing\n\n  # at all\n",
		"a document's start":   "---\n",
		"fields without value": "source:\n  tls:\n  server_id:\nstart: ~\nlog_bytes: null\ntags:\nclusters:\n",
		"windows line ends":    "catch_up: 2\r\non_gap: stop\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(Default(), mustParse(t, text), sameConfig); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAWordIsTextWhateverYAMLTakesItFor(t *testing.T) {
	got := mustParse(t, "visibility: off\nsource: {tls: {mode: off}}\ntags: [1, true, 0x10, 1.5]\n"+
		"clusters:\n  - name: 7\n    match: 'it''s'\n    prefix: |-\n      a\n")
	if got.Visibility.Mode != VisibilityOff || got.Source.TLS.Mode != TLSOff {
		t.Errorf("got visibility %s and TLS %s, want both off", got.Visibility, got.Source.TLS.Mode)
	}
	if diff := cmp.Diff([]string{"1", "true", "0x10", "1.5"}, got.Tags); diff != "" {
		t.Error(diff)
	}
	want := DefaultCluster("7")
	want.Match, want.Prefix = "it's", "a"
	if diff := cmp.Diff([]Cluster{want}, got.Clusters, sameConfig); diff != "" {
		t.Error(diff)
	}
}

func TestAnAddressNeedsNoQuotes(t *testing.T) {
	got := mustParse(t, `
source: {urls: [mysql://u@db1:3307,mysql://u@10.0.0.2:3308 , mysql://u@db3]}
clusters:
  - {name: block}
  - {name: flow, routers: [10.0.0.1:11211, cache:11211,7:11211, "[::1]:11211", é.example:007], flush: [a:1]}
  - {name: alias, routers: &r [a:1, b:2]}
  - {name: last, servers: *r}
`)
	var urls []string
	for _, u := range got.Source.All() {
		urls = append(urls, u.String())
	}
	if diff := cmp.Diff([]string{"mysql://u@db1:3307", "mysql://u@10.0.0.2:3308", "mysql://u@db3:3306"}, urls); diff != "" {
		t.Error(diff)
	}
	want := []string{"10.0.0.1:11211", "cache:11211", "7:11211", "[::1]:11211", "é.example:007"}
	if diff := cmp.Diff(want, got.Clusters[1].Routers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a:1", "b:2"}, got.Clusters[3].Servers); diff != "" {
		t.Error(diff)
	}
}

func TestAnchorsAndMergesSpareRepetition(t *testing.T) {
	got := mustParse(t, `
clusters:
  - &east {name: east, routers: &r [a:1, b:1], window: 9, timeout: &t 1s}
  - {window: 10, <<: *east, name: west}
  - <<: [{name: first, linger: *t}, *east]
    routers: *r
`)
	east := DefaultCluster("east")
	east.Routers, east.Window, east.Timeout = []string{"a:1", "b:1"}, 9, time.Second
	west, first := east, east
	west.Name, west.Window = "west", 10
	first.Name, first.Linger = "first", time.Second
	if diff := cmp.Diff([]Cluster{east, west, first}, got.Clusters, sameConfig); diff != "" {
		t.Error(diff)
	}
}

func TestLoadSaysWhichFileItCouldNotRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	_, err := Load(missing, noEnvironment)
	var mistakes *Error
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &mistakes) {
		t.Errorf("got %v, want a file that does not exist and no mistake in it", err)
	}
	if want := "read configuration: open " + missing + ": no such file or directory"; err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
}

func TestWhatIsWrittenIsReadBackTheSame(t *testing.T) {
	c, err := Load("../deploy/mcsqueal.yaml", noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, mustParse(t, string(text)), sameConfig); diff != "" {
		t.Errorf("%s\n%s", text, diff)
	}
}
