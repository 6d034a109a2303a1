package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/sampling"
)

// guard decides who is told what.
type guard struct {
	// token is the sum of the token; asked says that there is one. Sums are as long as
	// each other, so that comparing them tells nothing, not even a length.
	token [sha256.Size]byte
	asked bool
	// local: whoever comes must call us by a name of this machine. See all.
	local  bool
	wrong  sampling.Sampler
	logger *slog.Logger
}

// wrongEvery is how often at most it is said that somebody shows a wrong token.
const wrongEvery = time.Minute

func newGuard(token string, listen net.Addr, logger *slog.Logger) *guard {
	g := &guard{token: sha256.Sum256([]byte(token)), asked: token != "", logger: logger, wrong: sampling.Sampler{Every: wrongEvery}}
	g.local = !g.asked && loopback(listen)
	return g
}

func loopback(listen net.Addr) bool {
	tcp, ok := listen.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// lets tells whether a request shows the token, if there is one.
func (g *guard) lets(r *http.Request) bool {
	if !g.asked {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// closed serves who shows the token.
func (g *guard) closed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.lets(r) {
			h.ServeHTTP(w, r)
			return
		}
		if r.Header.Get("Authorization") != "" {
			if more, ok := g.wrong.Take(""); ok {
				g.logger.Warn("somebody shows a wrong token to the admin listener", "from", r.RemoteAddr, "more", more)
			}
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="mcsqueal"`)
		say(w, http.StatusUnauthorized, "show the token: Authorization: Bearer TOKEN")
	})
}

// policy lets the page load what this listener serves, and nothing else: no script but
// its own, none within it, no style, no frame, no form, no other server. So a key that
// looks like markup stays text whatever the page does wrong.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// all wraps everything. On a loopback address without a token whoever comes is on this
// machine, but a page of somebody else's in a browser here may be what sends them: by a
// name of theirs that leads to 127.0.0.1, so that the browser takes us for them and lets
// them read. Such a name is not ours.
func (g *guard) all(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if g.local && !ofThisMachine(r.Host) {
			say(w, http.StatusMisdirectedRequest, "ask by an address or by localhost: without a token no other name is known here")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ofThisMachine tells whether a request's Host is an address, or localhost.
func ofThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return net.ParseIP(host) != nil || strings.EqualFold(host, "localhost")
}
