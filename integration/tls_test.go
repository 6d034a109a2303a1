package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/authority"
	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// newSecureCache starts a memcached that speaks TLS, with a certificate of that name.
func newSecureCache(t *testing.T, a *authority.Authority, name string, notAfter time.Time) *harness.Cache {
	t.Helper()
	cert, key := a.Issue(t, name, authority.Server(notAfter))
	return harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Cert: cert, Key: key}))
}

// Deletes, probes and flushes all go over TLS where that is configured, and nothing at
// all goes to a server that does not show who it is.
func TestCachesAreReachedOverTLS(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	a := authority.New(t)
	right := newSecureCache(t, a, "right", time.Now().Add(time.Hour))
	expired := newSecureCache(t, a, "expired", time.Now().Add(-time.Minute))
	over := func(name, address, tls string) string {
		return fmt.Sprintf("  - {name: %s, servers: [%s], action: \"stale:30s\", tls: {%s}}", name, address, tls)
	}
	cfg := harness.Configure(t, db.SourceURL(), "clusters:",
		strings.Replace(over("right", right.SecureAddr(), "ca: "+a.Path), "action: \"stale:30s\", ", "", 1),
		over("marked", right.SecureAddr(), "ca: "+a.Path),
		over("misnamed", right.SecureAddr(), "ca: "+a.Path+", server_name: cache.example"),
		over("expired", expired.SecureAddr(), "mode: verify, ca: "+a.Path),
		over("strange", right.SecureAddr(), "mode: verify-ca"),
		over("plain", right.Addr(), "ca: "+a.Path),
	)
	daemon := cfg.Daemon(t)
	s := db.Session(t)
	key := db.Key("k")
	right.Fill(t, key)
	expired.Fill(t, key)
	s.Commit(t, key)
	right.AwaitGone(t, key)
	daemon.Says(t, "msg=connected cluster=marked .*server="+right.SecureAddr()) // its probe has passed
	for name, why := range map[string]string{
		"misnamed": "certificate is (not )?valid for", // IP addresses only
		"expired":  "certificate has expired or is not yet valid",
		"strange":  "certificate signed by unknown authority",
		"plain":    "first record does not look like a TLS handshake",
	} {
		daemon.Says(t, "cannot be reached.*cluster="+name+" .*TLS.*"+why)
	}
	expired.MustHave(t, key)
	daemon.Stop(t)
	cfg.Write(t, db.SourceURL(), "clusters:", strings.Replace(over("right", right.SecureAddr(), "ca: /nonexistent/ca.pem"), "right", "missing", 1))
	harness.Mcsqueal(t, "replay", "--from", "now", "--config", cfg.Path).MustEnd(t, 2, "cluster missing", "/nonexistent/ca.pem")
}
