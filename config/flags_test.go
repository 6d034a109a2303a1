package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// parseFlags binds the flags and parses a command line of them.
func parseFlags(t *testing.T, args ...string) *Flags {
	t.Helper()
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f := BindFlags(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFlagThatIsNotGivenChangesNothing(t *testing.T) {
	want, err := Load("../deploy/mcsqueal.yaml", noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	got := mustParse(t, "{}")
	*got = *want
	got.Log.Level, want.Log.Level = LogDebug, LogDebug
	if err := parseFlags(t).Apply(got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameConfig); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsOverrideTheFile(t *testing.T) {
	got := mustParse(t, `
source: {urls: [mysql://u@a, mysql://u@b], password_file: p, tls: {mode: "off", ca: c, cert: c, key: k, server_name: s}, server_id: 1, failover_wait: 1s}
state_dir: s
start: oldest
on_gap: stop
visibility: off
log_bytes: 1MiB
catch_up: 1
tags: [a, b]
admin: {listen: "1:1"}
log: {level: error, format: text}
clusters:
  - {name: east, servers: [a:1], window: 9}
  - {name: west, routers: [a:1]}
`)
	err := parseFlags(t,
		"--source", "mariadb://v@c", "--password-file=q", "--tls-mode=verify", "--tls-ca=C", "--tls-cert=D", "--tls-key=K", "--tls-server-name=S",
		"--server-id=2", "--failover-wait=2s", "--state-dir=t", "--start=file:bin.1:4", "--on-gap=flush", "--visibility=delay:2ms",
		"--log-bytes=2MiB", "--catch-up=3", "--tag=c", "--tag=d", "--admin-listen=", "--admin-tls-cert=F", "--admin-tls-key=G", "--admin-tls-client-ca=H", "--admin-token-file=I", "--admin-pprof", "--log-level=warn", "--log-format=json",
		"--cluster", "east=b:1,b:2", "--cluster", "south=/run/s.sock",
	).Apply(got)
	if err != nil {
		t.Fatal(err)
	}
	east, west, south := DefaultCluster("east"), DefaultCluster("west"), DefaultCluster("south")
	east.Routers, east.Window = []string{"b:1", "b:2"}, 9
	west.Routers = []string{"a:1"}
	south.Routers = []string{"/run/s.sock"}
	want := &Config{
		Source: Source{
			URL:          SourceURL{Flavor: binlog.MariaDB, User: "v", Host: "c", Port: 3306},
			PasswordFile: "q",
			TLS:          TLS{Mode: TLSVerify, CA: "C", Cert: "D", Key: "K", ServerName: "S"},
			ServerID:     2,
			FailoverWait: 2 * time.Second,
		},
		StateDir:   "t",
		Start:      binlog.Point{Kind: binlog.PointFile, File: "bin.1", Offset: 4},
		OnGap:      OnGapFlush,
		Visibility: Visibility{Mode: VisibilityDelay, Delay: 2 * time.Millisecond},
		LogBytes:   2 * MiB,
		CatchUp:    3,
		Tags:       []string{"c", "d"},
		Clusters:   []Cluster{east, west, south},
		Admin:      Admin{TLS: AdminTLS{Cert: "F", Key: "G", ClientCA: "H"}, TokenFile: "I", Pprof: true},
		Log:        Log{Level: LogWarn, Format: LogJSON},
	}
	if diff := cmp.Diff(want, got, sameConfig); diff != "" {
		t.Error(diff)
	}
}

func TestSeveralSourcesAreThoseToFailOverBetween(t *testing.T) {
	c := mustParse(t, "source: {url: mysql://u@old}\n")
	if err := parseFlags(t, "--source=mysql://u@a", "--source=mysql://u@b").Apply(c); err != nil {
		t.Fatal(err)
	}
	if got := c.Source.All(); len(got) != 2 || got[0].Host != "a" || got[1].Host != "b" {
		t.Errorf("got %v, want a and b", got)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryScalarFieldHasAFlag(t *testing.T) {
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	BindFlags(set)
	named := map[string]string{"source.url": "source", "source.urls": "source", "tags": "tag"}
	for _, path := range leaves(reflect.TypeFor[Config](), "") {
		if strings.HasPrefix(path, "clusters.") || strings.HasPrefix(path, "rules.") {
			continue
		}
		name := named[path]
		if name == "" {
			name = strings.NewReplacer("_", "-", ".", "-").Replace(strings.TrimPrefix(path, "source."))
		}
		if set.Lookup(name) == nil {
			t.Errorf("%s has no flag --%s", path, name)
		}
	}
}

func TestTheHelpShowsTheDefaults(t *testing.T) {
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	BindFlags(set)
	usage := set.FlagUsages()
	for _, want := range []string{
		"--start position ", "(default now)", "--log-bytes size ", "(default 64MiB)", "--visibility how ", "(default auto)",
		"--tls-mode mode ", "(default \"stop\")", "--tag name ", "(default [mc])", "(default 30s)", "(default \"127.0.0.1:9470\")", "--source URL ",
	} {
		if !strings.Contains(usage, want) {
			t.Errorf("%q is not in\n%s", want, usage)
		}
	}
}

func TestAMistakeInAFlagNamesTheFlag(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"a password", []string{"--source=mysql://root:hunter2@db"},
			"--source: the URL carries a password; leave it out and put it into MCSQUEAL_PASSWORD or a password_file"},
		{"a word", []string{"--on-gap=skip"},
			`--on-gap: "skip" is not known; write stop or flush`},
		{"a number", []string{"--catch-up=0"},
			"--catch-up: is 0, and a cluster that falls behind could never catch up; write 1 or more"},
		{"a tag", []string{"--tag=a", "--tag=b c"},
			`--tag: "b c" cannot name a tag; use 1 to 64 letters, digits, underscores, dots and hyphens, a letter or an underscore first`},
		{"one of two sources", []string{"--source=mysql://u@a", "--source=mariadb://u@b"},
			"--source: is mariadb, the first is mysql; a position in the log of one means nothing to the other, so name servers of one kind"},
		{"a router", []string{"--cluster=west=a:1,b"},
			`--cluster west: "b" has no port; write HOST:PORT, or the absolute path of a socket`},
		{"no routers", []string{"--cluster=west="},
			"--cluster west: is empty; write HOST:PORT, or the absolute path of a socket"},
		{"no name", []string{"--cluster==a:1"},
			"--cluster : name: is missing; every cluster has one"},
		{"what a flag's cluster lacks", []string{"--cluster=west=a:1", "--on-gap=flush"},
			"--cluster west: flush: is missing, and on_gap is flush; list the cluster's cache servers, since a router need not pass flush_all on"},
		{"a cluster twice", []string{"--cluster=west=a:1", "--cluster=west=b:1"},
			"--cluster west: is defined twice; list its routers behind one, with commas between them"},
		{"what the file's cluster got from a flag", []string{"--cluster=east=a"},
			`--cluster east: "a" has no port; write HOST:PORT, or the absolute path of a socket`},
		{"what the file and a flag contradict each other in", []string{"--visibility=snapshot"},
			"--visibility: snapshot works on MariaDB only, and the source is MySQL; write auto or gtid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := mustParse(t, "source: {url: mysql://u@h}\nclusters: [{name: east, servers: [a:1], flush: [a:1]}]\n")
			err := parseFlags(t, test.args...).Apply(c)
			if err == nil {
				err = c.Validate()
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("got\n  %v\nwant\n  %s", err, test.want)
			}
		})
	}
}

func TestAFlagOfNoUseIsRefusedAtOnce(t *testing.T) {
	for arg, want := range map[string]string{
		"--log-bytes=lots":       `invalid argument "lots" for "--log-bytes" flag: "lots" is not a size; write 64MiB, 1GB or a number of bytes`,
		"--visibility=delay:1":   `invalid argument "delay:1" for "--visibility" flag: "1" is not a time to wait; write it like delay:50ms`,
		"--failover-wait=thirty": `invalid argument "thirty" for "--failover-wait" flag: time: invalid duration "thirty"`,
	} {
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		BindFlags(set)
		if err := set.Parse([]string{arg}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestClustersAreSelectedByName(t *testing.T) {
	const file = "clusters: [{name: east, routers: [a:1]}, {name: west, routers: [b:1]}, {name: south, routers: [c:1]}]\n"
	for _, test := range []struct {
		name, file string
		args       []string
		want       string
	}{
		{"none named is all", file, nil, "east west south"},
		{"in the configuration's order", file, []string{"--cluster=south", "--cluster=east"}, "east south"},
		{"beside one defined", file, []string{"--cluster=north=d:1", "--cluster=north"}, "north"},
		{"one that is not there", file, []string{"--cluster=eats", "--cluster=west"}, "--cluster eats: there is no such cluster; did you mean east?"},
		{"nothing like it", file, []string{"--cluster=backup"}, "--cluster backup: there is no such cluster; there is east, west, south, or define it with --cluster NAME=HOST:PORT"},
		{"where there is none", "", []string{"--cluster=east"}, "--cluster east: there is no such cluster, nor any other; name it in the configuration, or define it with --cluster NAME=HOST:PORT"},
		{"one twice", file, []string{"--cluster=east", "--cluster=east"}, "--cluster east: is given twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := mustParse(t, test.file)
			f := parseFlags(t, test.args...)
			if err := f.Apply(c); err != nil {
				t.Fatal(err)
			}
			selected, err := c.Select(f.Selected())
			var names []string
			for _, cluster := range selected {
				names = append(names, cluster.Name)
			}
			got := strings.Join(names, " ")
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
