package config

import (
	"encoding"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Flags are the command line's half of a configuration: one flag for every field
// that holds a single value, --source and --tag for those that hold several, and
// --cluster. A flag that is not given changes nothing.
type Flags struct {
	set      *pflag.FlagSet
	values   Config // what the flags write to; the defaults before, for the help text
	sources  []string
	clusters []string
	apply    []func(*Config)
}

// BindFlags defines the flags on set. Apply is for when set has been parsed.
func BindFlags(set *pflag.FlagSet) *Flags {
	f := &Flags{set: set, values: *Default()}
	// Taken as text and read by Apply: what pflag cannot read it repeats, and there
	// may be a password in it.
	set.StringArrayVar(&f.sources, "source", nil,
		"`URL` of the server whose log is read: mysql://USER@HOST:PORT, mariadb://… or …@/?socket=PATH; again for each server to fail over to")
	set.StringArrayVar(&f.clusters, "cluster", nil,
		"`NAME=HOST:PORT[,HOST:PORT]…` defines a cluster by its routers; NAME alone selects one")

	bind(f, "password-file", set.StringVar, "source.password_file", func(c *Config) *string { return &c.Source.PasswordFile },
		"`file` that holds the source's password")
	bind(f, "tls-mode", wordVar[TLSMode](set), "source.tls.mode", func(c *Config) *TLSMode { return &c.Source.TLS.Mode },
		"`mode` of TLS to the source: auto, verify, verify-ca, skip-verify or off")
	bind(f, "tls-ca", set.StringVar, "source.tls.ca", func(c *Config) *string { return &c.Source.TLS.CA },
		"PEM `file` of the authorities to trust instead of the system's")
	bind(f, "tls-cert", set.StringVar, "source.tls.cert", func(c *Config) *string { return &c.Source.TLS.Cert },
		"PEM `file` of the client's certificate")
	bind(f, "tls-key", set.StringVar, "source.tls.key", func(c *Config) *string { return &c.Source.TLS.Key },
		"PEM `file` of the client's private key")
	bind(f, "tls-server-name", set.StringVar, "source.tls.server_name", func(c *Config) *string { return &c.Source.TLS.ServerName },
		"`name` that the source's certificate must bear instead of the URL's host")
	bind(f, "server-id", set.Uint32Var, "source.server_id", func(c *Config) *uint32 { return &c.Source.ServerID },
		"`id` of the dump connection, unlike that of any replica; 0 derives one")
	bind(f, "failover-wait", set.DurationVar, "source.failover_wait", func(c *Config) *time.Duration { return &c.Source.FailoverWait },
		"`time` for which several sources are searched for the position")

	bind(f, "state-dir", set.StringVar, "state_dir", func(c *Config) *string { return &c.StateDir },
		"`directory` of the checkpoint")
	bind(f, "start", textVar[binlog.Point](set), "start", func(c *Config) *binlog.Point { return &c.Start },
		"`position` of a first run: now, oldest, gtid:SET, file:NAME:OFFSET or time:RFC3339")
	bind(f, "on-gap", wordVar[OnGap](set), "on_gap", func(c *Config) *OnGap { return &c.OnGap },
		"`what` to do when the log no longer holds what is needed: stop or flush")
	bind(f, "visibility", textVar[Visibility](set), "visibility", func(c *Config) *Visibility { return &c.Visibility },
		"`how` it is known that a transaction can be read: auto, gtid, snapshot, delay:50ms or off")
	bind(f, "log-bytes", textVar[Size](set), "log_bytes", func(c *Config) *Size { return &c.LogBytes },
		"`size` of the Log, the keys that are held in memory")
	bind(f, "catch-up", set.IntVar, "catch_up", func(c *Config) *int { return &c.CatchUp },
		"`number` of clusters that may catch up at once, each on a dump connection of its own")
	bind(f, "tag", set.StringArrayVar, "tags", func(c *Config) *[]string { return &c.Tags },
		"`name` of the tags that list keys; again for each further name")

	bind(f, "admin-listen", set.StringVar, "admin.listen", func(c *Config) *string { return &c.Admin.Listen },
		"`address` on which metrics, health and the status page are served over HTTP; empty for none")
	bind(f, "admin-tls-cert", set.StringVar, "admin.tls.cert", func(c *Config) *string { return &c.Admin.TLS.Cert },
		"PEM `file` of the listener's certificate, which makes it HTTPS")
	bind(f, "admin-tls-key", set.StringVar, "admin.tls.key", func(c *Config) *string { return &c.Admin.TLS.Key },
		"PEM `file` of the listener's private key")
	bind(f, "admin-tls-client-ca", set.StringVar, "admin.tls.client_ca", func(c *Config) *string { return &c.Admin.TLS.ClientCA },
		"PEM `file` of the authorities of which the listener's clients must have a certificate")
	bind(f, "admin-token-file", set.StringVar, "admin.token_file", func(c *Config) *string { return &c.Admin.TokenFile },
		"`file` that holds the token which the listener's clients must show")
	bind(f, "admin-pprof", set.BoolVar, "admin.pprof", func(c *Config) *bool { return &c.Admin.Pprof },
		"serve profiles of the process, too")
	bind(f, "log-level", wordVar[LogLevel](set), "log.level", func(c *Config) *LogLevel { return &c.Log.Level },
		"least serious `level` that is logged: debug, info, warn or error")
	bind(f, "log-format", wordVar[LogFormat](set), "log.format", func(c *Config) *LogFormat { return &c.Log.Format },
		"`form` of a log line: text or json")
	return f
}

// definer is how pflag defines a flag of one type, like FlagSet.StringVar.
type definer[T any] func(p *T, name string, value T, usage string)

// bind ties a flag to a field: the one at path, in YAML's words.
func bind[T any](f *Flags, name string, define definer[T], path string, field func(*Config) *T, usage string) {
	given := field(&f.values)
	define(given, name, *given, usage)
	f.apply = append(f.apply, func(c *Config) {
		if f.set.Changed(name) {
			*field(c) = *given
			c.places[path] = "--" + name
		}
	})
}

// wordVar defines a flag whose value is one of a few words; Validate knows them.
func wordVar[T ~string](set *pflag.FlagSet) definer[T] {
	return func(p *T, name string, value T, usage string) {
		*p = value
		set.Var(wordValue[T]{p}, name, usage)
	}
}

// wordValue is the pflag.Value of wordVar.
type wordValue[T ~string] struct{ p *T }

func (w wordValue[T]) String() string     { return string(*w.p) }
func (w wordValue[T]) Set(s string) error { *w.p = T(s); return nil }
func (w wordValue[T]) Type() string       { return "string" }

// textVar defines a flag of a type that reads its own text.
func textVar[T encoding.TextMarshaler, P interface {
	*T
	encoding.TextUnmarshaler
}](set *pflag.FlagSet) definer[T] {
	return func(p *T, name string, value T, usage string) { set.TextVar(P(p), name, value, usage) }
}

// Apply overrides c, which came from Load, Parse or Default, with the flags that were
// given. --cluster NAME=… adds a cluster, or replaces the addresses of the one of that
// name by routers; --cluster NAME is left to Selected. Every error is an *Error.
func (f *Flags) Apply(c *Config) error {
	if c.places == nil {
		c.places = make(map[string]string)
	}
	for _, apply := range f.apply {
		apply(c)
	}
	var m mistakes
	f.applySources(c, &m)
	f.applyClusters(c, &m)
	return m.err()
}

func (f *Flags) applySources(c *Config, m *mistakes) {
	var urls []SourceURL
	for _, text := range f.sources {
		u, err := ParseSourceURL(text)
		if err != nil {
			m.add("--source", "", "%s", err)
			continue
		}
		urls = append(urls, u)
	}
	switch len(urls) {
	case 0:
		return
	case 1:
		c.Source.URL, c.Source.URLs = urls[0], nil
	default:
		c.Source.URL, c.Source.URLs = SourceURL{}, urls
	}
	c.forget("source.url")
	c.places["source.url"], c.places["source.urls"] = "--source", "--source"
}

func (f *Flags) applyClusters(c *Config, m *mistakes) {
	defined := make(map[string]bool)
	for _, text := range f.clusters {
		name, addresses, ok := strings.Cut(text, "=")
		if !ok {
			continue
		}
		if defined[name] {
			m.add("--cluster "+clip(name), "", "is defined twice; list its routers behind one, with commas between them")
			continue
		}
		defined[name] = true
		i := slices.IndexFunc(c.Clusters, func(cluster Cluster) bool { return cluster.Name == name })
		if i < 0 {
			i = len(c.Clusters)
			c.Clusters = append(c.Clusters, DefaultCluster(name))
		}
		c.Clusters[i].Routers, c.Clusters[i].Servers = strings.Split(addresses, ","), nil
		at := fmt.Sprintf("clusters[%d]", i)
		place := "--cluster " + clip(name)
		if _, inFile := c.places[at]; !inFile {
			c.places[at] = place
		}
		c.forget(at + ".routers")
		c.places[at+".routers"] = place
	}
}

// Selected are the clusters named by --cluster without addresses, for Config.Select.
func (f *Flags) Selected() []string {
	var names []string
	for _, text := range f.clusters {
		if !strings.Contains(text, "=") {
			names = append(names, text)
		}
	}
	return names
}

// forget takes back where the value at a path, and those in it, came from.
func (c *Config) forget(path string) {
	for place := range c.places {
		if strings.HasPrefix(place, path) {
			delete(c.places, place)
		}
	}
}
