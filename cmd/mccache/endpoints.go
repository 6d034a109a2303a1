package main

import (
	"strings"

	"github.com/mcsqueal/mcsqueal/cache/server"
)

// endpoints are where -s, -l, -p and -U say to listen.
func (s *settings) endpoints() ([]server.Endpoint, error) {
	if s.unixPath != "" {
		return []server.Endpoint{{Network: "unix", Path: s.unixPath, Mask: s.unixMask}}, nil
	}
	listen := s.listen
	if len(listen) == 0 {
		listen = []string{"*"}
	}
	var all []server.Endpoint
	for _, network := range []string{"tcp", "udp"} {
		port := s.port
		if network == "udp" {
			port = s.udpPort
		}
		if port == 0 {
			continue // off
		}
		for _, text := range listen {
			e, err := s.endpoint(network, text, max(port, 0)) // -1: any port
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
	}
	return all, nil
}

// endpoint reads one element of -l:
//
//	[notls|btls|mtls:][proto[NAME]:][tag[NAME]:|tag_NAME_:]HOST[:PORT]
//
// HOST is a name, an address, an IPv6 address in brackets where a port follows, or *.
func (s *settings) endpoint(network, text string, port int) (server.Endpoint, error) {
	e := server.Endpoint{Network: network, Port: port}
	rest := text
	if s.tls {
		e.TLS = server.TLSDefault
	}
	for prefix, mode := range map[string]server.TLSMode{"notls:": server.TLSOff, "btls:": server.TLSBasic, "mtls:": server.TLSMutual} {
		if after, ok := strings.CutPrefix(rest, prefix); ok {
			if !s.tls {
				return e, usagef("-l %s: %s needs -Z", text, strings.TrimSuffix(prefix, ":"))
			}
			e.TLS, rest = mode, after
			break
		}
	}
	if network == "udp" {
		e.TLS = server.TLSOff
	}
	if after, ok := strings.CutPrefix(rest, "proto["); ok {
		proto, after, ok := strings.Cut(after, "]")
		if !ok {
			return e, usagef("-l %s: proto[ has no ]", text)
		}
		if err := checkProtocol(proto); err != nil {
			return e, usagef("-l %s: %w", text, err)
		}
		rest = strings.TrimPrefix(after, ":")
	}
	if strings.HasPrefix(rest, "tag[") || strings.HasPrefix(rest, "tag_") {
		end := strings.IndexAny(rest[len("tag["):], "]_")
		if end < 1 || end > 8 {
			return e, usagef("-l %s: a tag is 1 to 8 characters, as in tag[web]:HOST or tag_web_:HOST", text)
		}
		e.Tag = rest[len("tag["):][:end]
		rest = strings.TrimPrefix(rest[len("tag[")+end+1:], ":")
	}
	host, portText, given := splitHost(rest)
	if given {
		n, err := whole(portText, 0, 1<<16-1)
		if err != nil {
			return e, usagef("-l %s: the port: %w", text, err)
		}
		e.Port = int(n)
	}
	if host != "*" {
		e.Host = host
	}
	return e, nil
}

// splitHost takes a port off an address. An IPv6 address has colons of its own: it has a
// port only behind brackets.
func splitHost(text string) (host, port string, given bool) {
	if after, ok := strings.CutPrefix(text, "["); ok {
		if host, rest, ok := strings.Cut(after, "]"); ok {
			port, given = strings.CutPrefix(rest, ":")
			return host, port, given
		}
	}
	if strings.Count(text, ":") == 1 {
		host, port, _ = strings.Cut(text, ":")
		return host, port, true
	}
	return text, "", false
}

// addListen adds what one -l says, without repeating what is there.
func (s *settings) addListen(arg string) error {
	for _, text := range strings.FieldsFunc(arg, func(r rune) bool { return r == ',' || r == ';' }) {
		known := false
		for _, l := range s.listen {
			known = known || l == text
		}
		if !known {
			s.listen = append(s.listen, text)
		}
	}
	return nil
}

// checkProtocol refuses what is not served here. The binary protocol is deprecated in
// memcached too.
func checkProtocol(name string) error {
	switch name {
	case "auto", "ascii", "negotiating":
		return nil
	case "binary":
		return usagef("the binary protocol is not served here, nor will new versions of memcached; clients can use the text or the meta protocol")
	case "proxy":
		return usagef("this is a cache and no proxy")
	}
	return usagef("%q is no protocol; it is auto or ascii", name)
}
