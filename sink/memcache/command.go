package memcache

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

// command turns keys into commands for one cluster, in one protocol.
type command struct {
	protocol mcconn.Protocol
	prefix   string
	// route: the prefix is a routing prefix (/region/cluster/), which the router
	// takes off, so it does not count towards the key's length.
	route bool
	match []*regexp.Regexp
	// stale and holdoff are the action's seconds; 0: a plain delete.
	stale, holdoff int
	key            []byte // scratch for prefix and key
}

func newCommand(cfg *Config, p mcconn.Protocol) *command {
	return &command{
		protocol: p, prefix: cfg.Prefix, match: cfg.Match,
		stale: int(cfg.Stale / time.Second), holdoff: int(cfg.Holdoff / time.Second),
		route: strings.HasPrefix(cfg.Prefix, "/") && strings.HasSuffix(cfg.Prefix, "/"),
	}
}

// errNotHere says that a key is not for this cluster.
var errNotHere = errors.New("the key does not match")

// append appends the command for key, or returns dst as it was and errNotHere or
// mcproto.ErrKey. It allocates nothing in steady state.
func (c *command) append(dst, key []byte) ([]byte, error) {
	for _, m := range c.match {
		if !m.Match(key) {
			return dst, errNotHere
		}
	}
	if c.route {
		// Such routers know neither stale values nor hold-offs: a probe has said so.
		return mcproto.AppendRoutedDelete(dst, c.prefix, key)
	}
	if c.prefix != "" {
		c.key = append(append(c.key[:0], c.prefix...), key...)
		key = c.key
	}
	switch {
	case c.stale > 0:
		return mcproto.AppendMetaStale(dst, key, c.stale)
	case c.holdoff > 0:
		return mcproto.AppendTextHoldoff(dst, key, c.holdoff)
	case c.protocol == mcconn.Meta:
		return mcproto.AppendMetaDelete(dst, key)
	}
	return mcproto.AppendTextDelete(dst, key)
}

// keyOf finds the key in a command that append made.
func keyOf(command []byte) []byte {
	_, rest, _ := strings.Cut(string(command), " ")
	key, _, _ := strings.Cut(rest, "\r\n")
	key, _, _ = strings.Cut(key, " ")
	return []byte(key)
}
