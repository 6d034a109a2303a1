package config

import (
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/extract"
)

// Validate looks at the configuration as a whole, after file and flags, and returns
// everything that is wrong with it as an *Error. What a command cannot do without is
// asked for by RequireSource and RequireClusters; a Config without either is valid.
func (c *Config) Validate() error {
	v := validator{config: c}
	v.source()
	v.top()
	v.tags()
	for i, rule := range c.Rules {
		v.rule(fmt.Sprintf("rules[%d]", i), rule)
	}
	for i, cluster := range c.Clusters {
		v.cluster(fmt.Sprintf("clusters[%d]", i), i, cluster)
	}
	return v.mistakes.err()
}

// RequireSource is an error, an *Error, when no source is named.
func (c *Config) RequireSource() error {
	v := validator{config: c}
	if len(c.Source.All()) == 0 {
		v.wrong("source.url", "no source is named; set it here, or with --source mysql://USER@HOST:PORT")
	}
	return v.mistakes.err()
}

// RequireClusters is an error, an *Error, when no cluster is defined.
func (c *Config) RequireClusters() error {
	v := validator{config: c}
	if len(c.Clusters) == 0 {
		v.wrong("clusters", "no cluster is defined; define one here, or with --cluster NAME=HOST:PORT")
	}
	return v.mistakes.err()
}

// Given tells whether the value at a path, like admin.listen, was given by the file or
// by a flag; if not, it is the default.
func (c *Config) Given(path string) bool {
	_, ok := c.places[path]
	return ok
}

// place is where the value at a path was given, or else the innermost thing it is
// part of, and the path of which of them. Both are empty when nothing was given.
func (c *Config) place(path string) (place, of string) {
	for path != "" {
		if place, ok := c.places[path]; ok {
			return place, path
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return "", ""
}

// validator gathers the mistakes of one Config.
type validator struct {
	config   *Config
	mistakes mistakes
}

// wrong notes a mistake about the value at a path.
func (v *validator) wrong(path, format string, args ...any) {
	place, of := v.config.place(path)
	if strings.HasPrefix(place, "--") {
		// The flag's name says which value it is; only what it is not the whole of is
		// named, but for an element of its list, which the text repeats.
		path, _ = strings.CutPrefix(strings.TrimPrefix(path, of), ".")
		if strings.HasPrefix(path, "[") {
			path = ""
		}
	}
	v.mistakes.add(place, path, format, args...)
}

// word notes a mistake unless value is one of the known words.
func word[T ~string](v *validator, path string, value T, known ...T) {
	if slices.Contains(known, value) {
		return
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	last := len(words) - 1
	v.wrong(path, "%q is not known; write %s or %s", clip(string(value)), strings.Join(words[:last], ", "), words[last])
}

func (v *validator) source() {
	s := v.config.Source
	if !s.URL.IsZero() && len(s.URLs) > 0 {
		v.wrong("source.urls", "there is a url as well; put it first in urls, and leave url out")
	}
	for i, u := range s.All() {
		path := "source.url"
		if s.URL.IsZero() {
			path = fmt.Sprintf("source.urls[%d]", i)
		}
		switch first := s.All()[0]; {
		case u.IsZero():
			v.wrong(path, "is empty; write mysql://USER@HOST:PORT")
		case i > 0 && slices.Contains(s.All()[:i], u):
			v.wrong(path, "is the same server as one before it; name each once")
		case u.Flavor != first.Flavor:
			v.wrong(path, "is %s, the first is %s; a position in the log of one means nothing to the other, so name servers of one kind", u.Flavor, first.Flavor)
		}
		if mode := s.TLS.ModeFor(u); u.Socket != "" && mode == TLSVerify && s.TLS.ServerName == "" {
			v.wrong("source.tls", noNameToVerify)
		}
	}
	if s.FailoverWait < 0 {
		v.wrong("source.failover_wait", "is %s; write 0s or more", s.FailoverWait)
	}
	v.tls("source.tls", s.TLS)
}

// tls is what the fields of a TLS say of each other.
func (v *validator) tls(at string, t TLS) {
	word(v, at+".mode", t.Mode, TLSAuto, TLSVerify, TLSVerifyCA, TLSSkipVerify, TLSOff)
	switch {
	case t.Mode == TLSOff && t.given():
		v.wrong(at+".mode", "is off, and so no other field of tls is used; leave them out, or set mode to verify")
	case t.Mode == TLSSkipVerify && t.CA != "":
		v.wrong(at+".mode", "is skip-verify, and so ca is not used; leave it out, or set mode to verify-ca")
	case t.Cert != "" && t.Key == "":
		v.wrong(at+".cert", "has no key; set key to the file of its private key")
	case t.Cert == "" && t.Key != "":
		v.wrong(at+".key", "has no certificate; set cert to the file of its certificate")
	}
}

const noNameToVerify = "through a socket there is no host whose name a certificate could bear; set server_name, or mode to verify-ca"

// minLog is enough for a few hundred of the longest keys and what is kept with them.
const minLog = 64 * KiB

func (v *validator) top() {
	c := v.config
	if c.Start.IsZero() {
		v.wrong("start", "is empty; write now, oldest, gtid:SET, file:NAME:OFFSET or time:2006-01-02T15:04:05Z")
	}
	word(v, "on_gap", c.OnGap, OnGapStop, OnGapFlush)
	v.visibility()
	if c.LogBytes < minLog {
		v.wrong("log_bytes", "is %s; write %s or more", c.LogBytes, minLog)
	}
	if c.CatchUp < 1 {
		v.wrong("catch_up", "is %d, and a cluster that falls behind could never catch up; write 1 or more", c.CatchUp)
	}
	if c.Admin.Listen != "" {
		if err := checkHostPort(c.Admin.Listen, true); err != nil {
			v.wrong("admin.listen", "%s; write 127.0.0.1:9470, or \"\" for no listener", err)
		}
	}
	switch t := c.Admin.TLS; {
	case t.Cert != "" && t.Key == "":
		v.wrong("admin.tls.cert", "has no key; set key to the file of its private key")
	case t.Cert == "" && t.Key != "":
		v.wrong("admin.tls.key", "has no certificate; set cert to the file of its certificate")
	case t.Cert == "" && t.ClientCA != "":
		v.wrong("admin.tls.client_ca", "asks clients for certificates where nothing is encrypted; set cert and key")
	}
	word(v, "log.level", c.Log.Level, LogDebug, LogInfo, LogWarn, LogError)
	word(v, "log.format", c.Log.Format, LogText, LogJSON)
}

func (v *validator) visibility() {
	visibility := v.config.Visibility
	if !visibility.Mode.known() || (visibility.Mode == VisibilityDelay) != (visibility.Delay > 0) {
		v.wrong("visibility", "%q is not known; write auto, gtid, snapshot, delay:50ms or off", visibility)
		return
	}
	for _, u := range v.config.Source.All() {
		switch {
		case visibility.Mode == VisibilityGTID && u.Flavor == binlog.MariaDB:
			v.wrong("visibility", "gtid works on MySQL only, and the source is MariaDB; write auto or snapshot")
			return
		case visibility.Mode == VisibilitySnapshot && u.Flavor == binlog.MySQL:
			v.wrong("visibility", "snapshot works on MariaDB only, and the source is MySQL; write auto or gtid")
			return
		}
	}
}

func (v *validator) tags() {
	tags := v.config.Tags
	for i, tag := range tags {
		path := fmt.Sprintf("tags[%d]", i)
		switch {
		case !extract.ValidName(tag):
			v.wrong(path, "%q cannot name a tag; use 1 to 64 letters, digits, underscores, dots and hyphens, a letter or an underscore first", clip(tag))
		case slices.Contains(tags[:i], tag):
			v.wrong(path, "%q is there already; name each tag once", tag)
		}
	}
	if len(tags) == 0 && len(v.config.Rules) == 0 {
		v.wrong("tags", "there are neither tags nor rules, so no key would ever be found; write [mc]")
	}
}

func (v *validator) rule(at string, rule Rule) {
	schema, table, ok := strings.Cut(rule.Table, ".")
	switch {
	case rule.Table == "":
		v.wrong(at+".table", "is missing; write schema.table")
	case !ok || schema == "" || table == "":
		v.wrong(at+".table", "%q is not schema.table; to mean every schema, write *.%s", clip(rule.Table), clip(strings.Trim(rule.Table, ".")))
	case strings.Contains(rule.Table, "`"):
		v.wrong(at+".table", "has backquotes, which are no part of a name; write %s without backquotes, and a dot in a name as ?", clip(strings.ReplaceAll(rule.Table, "`", "")))
	case badPattern(schema) || badPattern(table):
		v.wrong(at+".table", "%q is not a pattern; the wildcards are *, ? and [a-z], and a backslash takes away their meaning", clip(rule.Table))
	}
	if len(rule.Keys) == 0 {
		v.wrong(at+".keys", "is missing; write at least one, like [\"user:{id}\"]")
	}
	for i, key := range rule.Keys {
		if problem := checkTemplate(key); problem != "" {
			v.wrong(fmt.Sprintf("%s.keys[%d]", at, i), "%q %s", clip(key), problem)
		}
	}
}

func badPattern(pattern string) bool {
	_, err := path.Match(pattern, "")
	return err != nil
}

// checkTemplate says what is wrong with a rule's key; empty if nothing is.
func checkTemplate(template string) string {
	if template == "" {
		return "is no key; write one like user:{id}"
	}
	var literal int
	for rest := template; rest != ""; {
		text, hole, found := strings.Cut(rest, "{")
		literal += len(text)
		if strings.Contains(text, "}") {
			return "closes a brace that is not open; write {column}"
		}
		if badKeyByte(text) {
			return "has white space or a control character in it, which a key cannot; leave it out"
		}
		if !found {
			break
		}
		column, after, closed := strings.Cut(hole, "}")
		if !closed || column == "" || strings.Contains(column, "{") {
			return "opens a brace and does not name a column in it; write {column}"
		}
		rest = after
	}
	if literal > MaxKey {
		return fmt.Sprintf("has %d bytes beside its columns, and a key has at most %d; shorten it", literal, MaxKey)
	}
	return ""
}

// badKeyByte tells whether s has a byte no key may have: up to the space, or DEL
// (protocol.txt, "Keys").
func badKeyByte(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// clusterName may be a label of a metric, a key of the checkpoint and half of a flag.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

func (v *validator) cluster(at string, i int, cluster Cluster) {
	earlier := v.config.Clusters[:i]
	switch {
	case cluster.Name == "":
		v.wrong(at+".name", "is missing; every cluster has one")
	case !clusterName.MatchString(cluster.Name):
		v.wrong(at+".name", "%q cannot name a cluster; use 1 to 64 letters, digits, underscores, dots and hyphens", clip(cluster.Name))
	case slices.ContainsFunc(earlier, func(e Cluster) bool { return e.Name == cluster.Name }):
		v.wrong(at+".name", "%q is another cluster's name already; give each its own", cluster.Name)
	}
	switch routers, servers := len(cluster.Routers) > 0, len(cluster.Servers) > 0; {
	case routers && servers:
		v.wrong(at, "has routers and servers; keep routers if any one of them reaches every cache, else servers")
	case !routers && !servers:
		v.wrong(at, "has neither routers nor servers; write routers: [HOST:PORT] or servers: [HOST:PORT]")
	}
	v.addresses(at+".routers", cluster.Routers)
	v.addresses(at+".servers", cluster.Servers)
	v.addresses(at+".flush", cluster.Flush)
	if v.config.OnGap == OnGapFlush && len(cluster.FlushServers()) == 0 {
		v.wrong(at+".flush", "is missing, and on_gap is flush; list the cluster's cache servers, since a router need not pass flush_all on")
	}
	v.tls(at+".tls", cluster.TLS)
	socket := func(address string) bool { return strings.HasPrefix(address, "/") }
	if cluster.TLS.ModeForCaches() == TLSVerify && cluster.TLS.ServerName == "" &&
		(slices.ContainsFunc(cluster.Addresses(), socket) || slices.ContainsFunc(cluster.Flush, socket)) {
		v.wrong(at+".tls", noNameToVerify)
	}
	v.keys(at, cluster)
	v.timing(at, cluster)
}

// keys is what a cluster does with a key.
func (v *validator) keys(at string, cluster Cluster) {
	word(v, at+".protocol", cluster.Protocol, ProtocolAuto, ProtocolMeta, ProtocolText)
	switch {
	case badKeyByte(cluster.Prefix):
		v.wrong(at+".prefix", "%q has white space or a control character in it, which a key cannot; leave it out", clip(cluster.Prefix))
	case noVariable(cluster.Prefix) != "":
		v.wrong(at+".prefix", "%s", noVariable(cluster.Prefix))
	case cluster.KeyLimit() < 1:
		v.wrong(at+".prefix", "is %d bytes long and leaves no room for a key: both together have at most %d; shorten it", len(cluster.Prefix), MaxKey)
	}
	switch a := cluster.Action; {
	case a.Kind != ActionDelete && a.Kind != ActionStale && a.Kind != ActionHoldoff,
		(a.Kind == ActionDelete) != (a.For == 0):
		v.wrong(at+".action", "%q is nothing to do to a key; write delete, stale:30s or holdoff:2s", a)
	case a.Kind == ActionStale && cluster.Protocol == ProtocolText:
		v.wrong(at+".action", "stale needs the meta protocol; set protocol to meta or auto")
	}
	if problem := noVariable(cluster.Match); problem != "" {
		v.wrong(at+".match", "%s", problem)
	} else if _, err := regexp.Compile(cluster.Match); err != nil {
		v.wrong(at+".match", "%q is not a regular expression: %s; the syntax is Go's (RE2)", clip(cluster.Match),
			strings.TrimPrefix(clip(err.Error()), "error parsing regexp: "))
	}
}

// timing is how fast, how many and how long.
func (v *validator) timing(at string, cluster Cluster) {
	for i, delay := range cluster.RedeleteAfter {
		path := fmt.Sprintf("%s.redelete_after[%d]", at, i)
		switch {
		case delay <= 0:
			v.wrong(path, "is %s; write more than 0s", delay)
		case slices.Contains(cluster.RedeleteAfter[:i], delay):
			v.wrong(path, "%s is there already; name each delay once", delay)
		}
	}
	if cluster.Linger < 0 {
		v.wrong(at+".linger", "is %s; write 0s or more", cluster.Linger)
	}
	if cluster.Window < 1 {
		v.wrong(at+".window", "is %d, and nothing could be sent; write 1 or more", cluster.Window)
	}
	if cluster.Timeout <= 0 {
		v.wrong(at+".timeout", "is %s, and no answer could be in time; write more than 0s", cluster.Timeout)
	}
	if cluster.MaxRate < 0 {
		v.wrong(at+".max_rate", "is %d; write keys a second, or 0 for no bound", cluster.MaxRate)
	}
	if cluster.RefusedMax < 1 {
		v.wrong(at+".refused_max", "is %d, and the first key refused would stop the cluster; write 1 or more", cluster.RefusedMax)
	}
}

func (v *validator) addresses(at string, list []string) {
	for i, address := range list {
		path := fmt.Sprintf("%s[%d]", at, i)
		switch err := checkAddress(address); {
		case err != nil:
			v.wrong(path, "%s; write HOST:PORT, or the absolute path of a socket", err)
		case slices.Contains(list[:i], address):
			v.wrong(path, "%q is there already; name each once", address)
		}
	}
}

// checkAddress takes what sink and mcconn dial: host:port, or the absolute path of
// a Unix socket.
func checkAddress(address string) error {
	if strings.HasPrefix(address, "/") {
		return nil
	}
	return checkHostPort(address, false)
}

// checkHostPort takes host:port. To listen, the host may be empty, which is every
// interface, and the port 0, which is any.
func checkHostPort(address string, listen bool) error {
	host, port, err := net.SplitHostPort(address)
	switch {
	case address == "":
		return fmt.Errorf("is empty")
	case err != nil && !strings.Contains(address, ":"):
		return fmt.Errorf("%q has no port", clip(address))
	case err != nil:
		return fmt.Errorf("%q is not host:port (an IPv6 address stands in brackets)", clip(address))
	case host == "" && !listen:
		return fmt.Errorf("%q has no host", clip(address))
	case host != "" && !isHost(host):
		return fmt.Errorf("%q is not a host", clip(host))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listen {
		return fmt.Errorf("%q is not a port", clip(port))
	}
	return nil
}
