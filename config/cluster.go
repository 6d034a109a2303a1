package config

import (
	"fmt"
	"strings"
	"time"
)

// Cluster is a set of caches that hold the same data, and how they are reached.
// Exactly one of Routers and Servers is given. Start from DefaultCluster: the zero
// Cluster is not valid.
type Cluster struct {
	// Name tells clusters apart in the checkpoint, in metrics and on the command line.
	Name string `yaml:"name"`
	// Routers are addresses of proxies any one of which reaches every cache of the
	// cluster: host:port, or the absolute path of a Unix socket.
	Routers []string `yaml:"routers,omitempty" env:"expanded"`
	// Servers are addresses of the caches themselves; each gets every delete.
	Servers []string `yaml:"servers,omitempty" env:"expanded"`
	// TLS secures the connections to the routers or servers, and to those of Flush.
	// Default none.
	TLS TLS `yaml:"tls"`
	// Protocol is what is spoken to them. Default auto.
	Protocol Protocol `yaml:"protocol"`
	// Prefix is put before every key, as mcrouter's routing prefix /region/cluster/ or
	// as part of the key. Default none.
	Prefix string `yaml:"prefix"`
	// Action is what is done to a key. Default delete.
	Action Action `yaml:"action"`
	// Match is a regular expression in Go's syntax, not anchored; only keys it matches
	// go to this cluster. Default: every key.
	Match string `yaml:"match"`
	// RedeleteAfter are delays after which a key is deleted once more, for caches
	// without leases. Default none.
	RedeleteAfter []time.Duration `yaml:"redelete_after"`
	// Flush are the cluster's cache servers, which flush_all is sent to when OnGap is
	// flush. Read it through FlushServers.
	Flush []string `yaml:"flush" env:"expanded"`
	// Linger is how long a batch waits for more keys. Default 0: not at all, what is
	// waiting goes at once.
	Linger time.Duration `yaml:"linger"`
	// Window is how many batches may be in flight on a connection. Default 4, at least 1.
	Window int `yaml:"window"`
	// Timeout is how long an answer may take before the connection is given up.
	// Default 5s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxRate bounds the keys a second while the cluster catches up. Default 0: no bound.
	MaxRate int `yaml:"max_rate"`
	// RefusedMax is how many keys may wait to be tried again because the servers
	// refuse them for now; past it the cluster pauses. Default 100000, at least 1.
	RefusedMax int `yaml:"refused_max"`
}

// Protocol is what is spoken to a cluster.
type Protocol string

// The protocols.
const (
	ProtocolAuto Protocol = "auto" // meta where the other side knows it, else text
	ProtocolMeta Protocol = "meta" // memcached 1.6 and its proxy
	ProtocolText Protocol = "text" // every memcached, mcrouter
)

// MaxKey is the longest key memcached takes, in bytes (protocol.txt, "Keys").
const MaxKey = 250

// DefaultCluster is a cluster with nothing but its name given.
func DefaultCluster(name string) Cluster {
	return Cluster{
		Name:       name,
		TLS:        TLS{Mode: TLSAuto},
		Protocol:   ProtocolAuto,
		Action:     Action{Kind: ActionDelete},
		Window:     4,
		Timeout:    5 * time.Second,
		RefusedMax: 100_000,
	}
}

// setDefaults makes every cluster of a file begin as a DefaultCluster.
func (c *Cluster) setDefaults() { *c = DefaultCluster("") }

// Addresses are the routers or the servers, whichever are given.
func (c Cluster) Addresses() []string {
	if len(c.Servers) > 0 {
		return c.Servers
	}
	return c.Routers
}

// FlushServers are the caches flush_all is sent to: Flush, or without it the Servers,
// which are the caches. Empty where only routers are known, since a router need not
// pass flush_all on.
func (c Cluster) FlushServers() []string {
	if len(c.Flush) > 0 {
		return c.Flush
	}
	return c.Servers
}

// KeyLimit is how many bytes a key may have before Prefix is put before it. A
// routing prefix is taken off by the router and does not count; any other becomes
// part of the key.
func (c Cluster) KeyLimit() int {
	if isRoute(c.Prefix) {
		return MaxKey
	}
	return MaxKey - len(c.Prefix)
}

// isRoute tells whether a prefix is mcrouter's /region/cluster/.
func isRoute(prefix string) bool {
	parts := strings.Split(prefix, "/")
	return len(parts) == 4 && parts[0] == "" && parts[1] != "" && parts[2] != "" && parts[3] == ""
}

// Select is the named clusters in the order of the configuration; without names,
// all. A name that no cluster has is an error, and so is one given twice.
func (c *Config) Select(names []string) ([]Cluster, error) {
	if len(names) == 0 {
		return c.Clusters, nil
	}
	wanted := make(map[string]bool, len(names))
	var m mistakes
	for _, name := range names {
		if wanted[name] {
			m.add("--cluster "+name, "", "is given twice")
		}
		wanted[name] = true
	}
	var selected []Cluster
	known := make([]string, 0, len(c.Clusters))
	for _, cluster := range c.Clusters {
		known = append(known, cluster.Name)
		if wanted[cluster.Name] {
			selected = append(selected, cluster)
			delete(wanted, cluster.Name)
		}
	}
	for _, name := range names {
		if wanted[name] {
			m.add("--cluster "+name, "", "%s", unknownCluster(name, known))
			delete(wanted, name)
		}
	}
	return selected, m.err()
}

func unknownCluster(name string, known []string) string {
	const define = "define it with --cluster NAME=HOST:PORT"
	switch near, ok := nearest(name, known); {
	case ok:
		return fmt.Sprintf("there is no such cluster; did you mean %s?", near)
	case len(known) > 0:
		return fmt.Sprintf("there is no such cluster; there is %s, or %s", strings.Join(known, ", "), define)
	default:
		return "there is no such cluster, nor any other; name it in the configuration, or " + define
	}
}
