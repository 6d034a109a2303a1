package preflight

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/sink/memcache"
)

// clusterCheck looks at a cluster: each of its routers or servers, and all together.
type clusterCheck struct {
	about
	cluster config.Cluster
	flushes bool // on_gap: flush
}

// peer is what answers at one address.
type peer struct {
	about
	address string
	reached bool
	kind    kind
}

// kind is what a peer is.
type kind uint8

const (
	server kind = iota
	proxy       // memcached's own router
	mcrouter
)

func (k kind) String() string {
	return [...]string{server: "server", proxy: "router, memcached's proxy", mcrouter: "router, mcrouter"}[k]
}

func (c *clusterCheck) run(ctx context.Context) {
	secure, err := c.cluster.TLS.ClientForCaches()
	if err != nil {
		c.fail("tls", "clusters[].tls: files that the user who runs mcsqueal may read", "%v", err)
		return
	}
	word := "router "
	if len(c.cluster.Servers) > 0 {
		word = "server "
	}
	peers := make([]*peer, len(c.cluster.Addresses()))
	var all sync.WaitGroup
	for i, address := range c.cluster.Addresses() {
		peers[i] = &peer{address: address, about: about{name: c.name + ", " + word + address}}
		all.Go(func() { c.peer(ctx, peers[i], secure) })
	}
	all.Wait()
	c.together(peers)
	reached := slices.ContainsFunc(peers, func(p *peer) bool { return p.reached })
	for _, p := range peers {
		for _, f := range p.found {
			if f.Check == "connect" && f.Level == Fail && reached && len(c.cluster.Routers) > 0 {
				f.Level = Warn // any one of them suffices
			}
			c.found = append(c.found, f)
		}
	}
	if c.flushes {
		c.flushable(ctx, secure)
	}
}

// peer looks at one router or server.
func (c *clusterCheck) peer(ctx context.Context, p *peer, secure *tls.Config) {
	var protocol mcconn.Protocol
	if err := protocol.UnmarshalText([]byte(c.cluster.Protocol)); err != nil {
		p.fail("connect", "protocol: auto", "%v", err)
		return
	}
	conn, err := mcconn.Dial(ctx, mcconn.Config{Address: p.address, Protocol: protocol, Timeout: c.cluster.Timeout, TLS: secure})
	if err != nil {
		mend := mendReach(err, "", "start it, let this machine in, or mend the address")
		// What does not connect says so; what does, and then answers nothing of use, may
		// want TLS.
		if secure == nil && !strings.Contains(err.Error(), ": connect: ") && mend != "protocol: auto" {
			mend = "the address of a cache or router; of one that speaks TLS, tls.mode: verify"
		}
		p.fail("connect", mend, "%s", strings.TrimPrefix(strings.TrimPrefix(err.Error(), p.address+": "), "connect: "))
		return
	}
	version, spoken := conn.Version(), conn.Protocol()
	conn.Close()
	p.reached = true
	t, err := dial(ctx, p.address, c.cluster.Timeout, secure)
	if err != nil {
		p.fail("connect", "", "%v", err)
		return
	}
	defer t.close()
	p.identify(t, version)
	p.says(version, spoken)
	c.secure(p, secure)
	c.probe(p, t, spoken)
	c.action(ctx, p, secure, spoken)
	if p.kind == mcrouter {
		p.asynclog(t)
	}
}

// mendReach is what may mend a connection that cannot be made, in words of the
// configuration below a prefix; otherwise that is for what nothing better is known for.
func mendReach(err error, prefix, otherwise string) string {
	switch text := err.Error(); {
	case strings.Contains(text, "set protocol to"):
		return "protocol: auto"
	case strings.Contains(text, "certificate has expired"):
		return "a certificate that is valid now, on the other side; or the right time, on this"
	case strings.Contains(text, "unknown authority"):
		return prefix + "tls.ca: the file of the authority that signed the other side's certificate"
	case strings.Contains(text, "certificate is"), strings.Contains(text, "cannot validate certificate"):
		return prefix + "tls.server_name: the name in the other side's certificate; or " + prefix + "tls.mode: verify-ca, with tls.ca, which does without"
	case strings.Contains(text, "does not look like a TLS handshake"):
		return prefix + "tls.mode: off, or the port on which the other side speaks TLS"
	case errors.Is(err, mcconn.ErrUnexpected):
		return "the address of a cache or router"
	}
	return otherwise
}

// testedCaches are the versions that the tests run against, and what lies between.
const testedCaches = "1.6."

// identify finds out what the peer is.
func (p *peer) identify(t *talk, version string) {
	if strings.HasPrefix(version, "mcrouter") {
		p.kind = mcrouter
		return
	}
	settings, err := t.lines("stats settings")
	if err == nil && slices.Contains(settings, "STAT proxy_enabled yes") {
		p.kind = proxy
	}
}

func (p *peer) says(version string, spoken mcconn.Protocol) {
	if p.kind != mcrouter && !strings.HasPrefix(version, testedCaches) {
		p.warn("version", "", "%s, version %s, spoken to by the %s protocol: not a version that mcsqueal is tested with; those are memcached 1.6", p.kind, version, spoken)
		return
	}
	p.ok("version", "%s, version %s, spoken to by the %s protocol", p.kind, version, spoken)
}

// secure says whether the connection is encrypted, and with whom.
func (c *clusterCheck) secure(p *peer, secure *tls.Config) {
	switch mode := c.cluster.TLS.ModeForCaches(); {
	case secure == nil && !local(p.address):
		p.ok("tls", "not encrypted, as caches mostly are: keys can be read and changed on the way")
	case secure == nil:
		p.ok("tls", "not encrypted, and does not leave this machine")
	case mode == config.TLSSkipVerify:
		p.warn("tls", "tls.mode: verify, with ca: the file of its authority", "TLS, but it may be anybody: its certificate is not verified")
	case mode == config.TLSVerifyCA:
		p.ok("tls", "TLS, and an authority vouches for it, whatever its name")
	default:
		p.ok("tls", "TLS, and an authority vouches for its name")
	}
}

func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// probe deletes a key that nobody has.
func (c *clusterCheck) probe(p *peer, t *talk, spoken mcconn.Protocol) {
	key := c.cluster.Prefix + "mcsqueal:check:" + rand.Text()
	command, want := "delete "+key, []string{"DELETED", "NOT_FOUND"}
	if spoken == mcconn.Meta {
		command, want = "md "+key, []string{"HD", "NF"}
	}
	answer, err := t.line(command)
	switch {
	case err != nil:
		p.fail("delete", "", "a delete has no answer: %v", err)
	case slices.Contains(want, answer):
		p.ok("delete", "a delete is taken")
	case strings.HasPrefix(answer, "SERVER_ERROR") && p.kind != server:
		p.fail("delete", "the caches behind it, and its routes to them", "a delete is refused: it says %q", answer)
	default:
		p.fail("delete", "what it needs to take deletes", "a delete is refused: it says %q", answer)
	}
}

// action tries what the configuration asks for beside a plain delete.
func (c *clusterCheck) action(ctx context.Context, p *peer, secure *tls.Config, spoken mcconn.Protocol) {
	const mend = "action: delete, or caches that know it"
	a := c.cluster.Action
	cfg := memcache.Config{Targets: []string{p.address}, Prefix: c.cluster.Prefix, Timeout: c.cluster.Timeout, TLS: secure}
	switch a.Kind {
	case config.ActionStale:
		if spoken == mcconn.Text {
			p.fail("action", mend, "action %s: stale needs the meta protocol, and this speaks text alone", a)
			return
		}
		cfg.Stale = a.For
	case config.ActionHoldoff:
		cfg.Holdoff = a.For
	case config.ActionDelete:
		return
	}
	if err := memcache.Probe(ctx, cfg); err != nil {
		p.fail("action", mend, "action %s: %s", a, strings.TrimPrefix(err.Error(), p.address+": "))
		return
	}
	if a.Kind == config.ActionStale {
		p.ok("action", "action %s does what it should; only readers by the meta protocol see that a value is stale", a)
		return
	}
	p.ok("action", "action %s does what it should", a)
}

// asynclog says whether an mcrouter keeps deletes back that it could not deliver.
func (p *peer) asynclog(t *talk) {
	const mend = "--asynclog-disable on mcrouter's command line"
	lines, err := t.lines("get __mcrouter__.options(asynclog_disable)")
	switch {
	case err != nil || len(lines) < 2:
		p.warn("asynclog", mend, "mcrouter does not say whether it spools deletes; one that does answers NOT_FOUND for a cache that is away, and nothing replays its spool")
	case lines[1] == "1" || lines[1] == "true":
		p.ok("asynclog", "mcrouter does not spool deletes: what it cannot deliver it refuses, and that is tried again")
	default:
		p.fail("asynclog", mend, "mcrouter spools deletes that it cannot deliver: it answers NOT_FOUND for a cache that is away, and nothing replays its spool, so those keys stay stale")
	}
}

// together says what the peers are to each other.
func (c *clusterCheck) together(peers []*peer) {
	var servers, routers []string
	for _, p := range peers {
		if p.reached && p.kind == server {
			servers = append(servers, p.address)
		} else if p.reached {
			routers = append(routers, p.address)
		}
	}
	switch {
	case len(c.cluster.Routers) > 1 && len(servers) > 0:
		c.fail("routers", fmt.Sprintf("servers: [%s]", strings.Join(c.cluster.Routers, ", ")),
			"listed as routers, of which each key goes to one, and these are plain servers: %s; the others keep what they have", strings.Join(servers, ", "))
	case len(c.cluster.Servers) > 0 && len(routers) > 0:
		c.warn("servers", fmt.Sprintf("routers: [%s]", strings.Join(c.cluster.Servers, ", ")),
			"listed as servers, each of which gets every delete, and these are routers, of which one suffices: %s", strings.Join(routers, ", "))
	case len(c.cluster.Routers) > 0 && len(servers) == 0 && len(routers) > 0:
		c.ok("routers", "routers are routers")
	case len(servers) > 0:
		c.ok("servers", "a server gets every delete of the cluster")
	}
}

// flushable says whether the caches can be flushed for a gap. Nothing is.
func (c *clusterCheck) flushable(ctx context.Context, secure *tls.Config) {
	for _, address := range c.cluster.FlushServers() {
		p := &peer{address: address}
		t, err := dial(ctx, address, c.cluster.Timeout, secure)
		if err != nil {
			c.warn("flush", "start it, let this machine in, or mend the address", "on_gap is flush, and %s cannot be reached: %v", address, err)
			continue
		}
		version, err := t.line("version")
		p.identify(t, strings.TrimPrefix(version, "VERSION "))
		t.close()
		switch {
		case err != nil:
			c.warn("flush", "the address of a cache", "on_gap is flush, and %s does not answer: %v", address, err)
		case p.kind != server:
			c.fail("flush", "flush: the cache servers behind it", "on_gap is flush, and %s is a %s, which passes no flush_all on", address, p.kind)
		default:
			c.ok("flush", "%s can be flushed for a gap", address)
		}
	}
}
