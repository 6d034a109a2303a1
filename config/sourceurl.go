package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// DefaultPort is the port of a source whose URL names none.
const DefaultPort = 3306

// SourceURL says where a source is and who asks: mysql://user@host:3306 or
// mariadb://user@host, and through a Unix socket mysql://user@/?socket=PATH. It never
// carries a password. The zero SourceURL is none.
type SourceURL struct {
	Flavor binlog.Flavor
	User   string
	Host   string // a name or an address, IPv6 without brackets; empty with Socket
	Port   int    // 1 to 65535; 0 with Socket
	Socket string // path of a Unix socket; empty for TCP
}

// What can be wrong with a source's URL. None of these repeats the URL: somebody
// may have put the password into it.
var (
	errURL = errors.New("this is not a source's URL; write mysql://USER@HOST:PORT, " +
		"mariadb://USER@HOST:PORT or mysql://USER@/?socket=PATH, with what is special in a name percent-encoded")
	errURLPassword = errors.New("the URL carries a password; leave it out and put it into " +
		PasswordVariable + " or a password_file")
	errURLUser  = errors.New("the URL names no user; write mysql://USER@HOST:PORT")
	errURLHost  = errors.New("the URL names no host; write mysql://USER@HOST:PORT or mysql://USER@/?socket=PATH")
	errURLHosts = errors.New("the URL names several hosts; list one URL each under urls")
	errURLPath  = errors.New("the URL names a database, but a server has one log for all of them; " +
		"leave out what is behind the host")
	errURLQuery = errors.New("the URL has parameters other than socket; TLS and time-outs have fields of their own")
	errURLBoth  = errors.New("the URL names a host and a socket; leave one of them out")
)

// ParseSourceURL reads a source's URL. Its errors never repeat the URL.
func ParseSourceURL(s string) (SourceURL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return SourceURL{}, errURL
	}
	flavor, err := binlog.ParseFlavor(scheme)
	if err != nil {
		return SourceURL{}, errURL
	}
	// The user's part is looked at before net/url is asked, whose errors quote.
	authority, _, _ := strings.Cut(rest, "?")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 && strings.Contains(authority[:at], ":") {
		return SourceURL{}, errURLPassword
	}
	parsed, err := url.Parse(s)
	if err != nil || parsed.Fragment != "" || parsed.Opaque != "" {
		return SourceURL{}, errURL
	}
	if parsed.User.Username() == "" {
		return SourceURL{}, errURLUser
	}
	if parsed.Path != "" && parsed.Path != "/" {
		return SourceURL{}, errURLPath
	}
	u := SourceURL{Flavor: flavor, User: parsed.User.Username()}
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return SourceURL{}, errURL
	}
	u.Socket = query.Get("socket")
	switch {
	case len(query) > 1, len(query) == 1 && len(query["socket"]) != 1:
		return SourceURL{}, errURLQuery
	case len(query) == 1 && u.Socket == "":
		return SourceURL{}, errURL
	case u.Socket != "" && parsed.Host != "" && parsed.Host != "localhost":
		return SourceURL{}, errURLBoth
	case u.Socket != "":
		return u, nil
	}
	return u.at(parsed)
}

// at fills in the host and the port of a URL without a socket.
func (u SourceURL) at(parsed *url.URL) (SourceURL, error) {
	u.Host, u.Port = parsed.Hostname(), DefaultPort
	switch {
	case u.Host == "":
		return SourceURL{}, errURLHost
	case strings.Contains(u.Host, ","):
		return SourceURL{}, errURLHosts
	case !isHost(u.Host):
		return SourceURL{}, errURL
	}
	if text := parsed.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return SourceURL{}, errURL
		}
		u.Port = int(port)
	}
	return u, nil
}

// isHost tells whether s can be a host's name or address, IPv6 without brackets. What
// it keeps out of a name are characters that would end it in a URL or an address, or
// that no eye can see.
func isHost(s string) bool {
	name := s
	if strings.Contains(s, ":") {
		address, err := netip.ParseAddr(s)
		if err != nil {
			return false
		}
		name = address.Zone() // which may be anything, as far as netip is concerned
	} else if s == "" {
		return false
	}
	return utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`/\?#@%[]"'<>,;`, r)
	})
}

// Local tells whether the way to the source stays on this machine: a Unix socket or
// a loopback address.
func (u SourceURL) Local() bool {
	return u.Socket != "" || u.Host == "localhost" || net.ParseIP(u.Host).IsLoopback()
}

// Address is the source for net.Dial: "unix" and a path, or "tcp" and host:port.
func (u SourceURL) Address() (network, address string) {
	if u.Socket != "" {
		return "unix", u.Socket
	}
	return "tcp", net.JoinHostPort(u.Host, strconv.Itoa(u.Port))
}

// IsZero tells whether there is no source.
func (u SourceURL) IsZero() bool { return u == SourceURL{} }

// String is the URL ParseSourceURL reads, with its port; empty for none. There is
// no password in it, so it may be logged.
func (u SourceURL) String() string {
	if u.IsZero() {
		return ""
	}
	s := url.URL{Scheme: u.Flavor.String(), User: url.User(u.User)}
	if u.Socket != "" {
		s.Path = "/"
		s.RawQuery = "socket=" + strings.ReplaceAll(url.QueryEscape(u.Socket), "%2F", "/")
	} else {
		_, s.Host = u.Address()
	}
	return s.String()
}

// MarshalText is String.
func (u SourceURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is ParseSourceURL; empty text is no source.
func (u *SourceURL) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = SourceURL{}
		return nil
	}
	parsed, err := ParseSourceURL(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}
