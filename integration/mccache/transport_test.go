package mccache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/authority"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// endpoint is one of the addresses of a server, with the way to reach it. Event loops
// serve one, a goroutine for each connection the other.
type endpoint struct {
	name, addr string
	tls        *tls.Config // nil: plain
}

func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	if e.tls == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", e.addr)
	}
	return (&tls.Dialer{Config: e.tls}).DialContext(ctx, "tcp", e.addr)
}

// overEach runs a subtest over TCP and one over TLS, each with a server of its own. The
// server answers plain TCP on its usual port in any case.
func overEach(t *testing.T, args []string, test func(t *testing.T, m *servers.Memcached, e endpoint)) {
	t.Helper()
	t.Parallel()
	t.Run("tcp", func(t *testing.T) {
		m := start(t, args...)
		test(t, m, endpoint{name: "tcp", addr: m.Addr()})
	})
	t.Run("tls", func(t *testing.T) {
		file, roots := certificate(t)
		m := servers.Mccache(t, servers.MccacheConfig{Program: plain.path(t), Cert: file, Key: file, Args: args})
		test(t, m, endpoint{name: "tls", addr: m.SecureAddr(), tls: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	})
}

// certificate writes a file with a certificate for the servers and its key.
func certificate(t *testing.T) (file string, roots *x509.CertPool) {
	t.Helper()
	a := authority.New(t)
	return a.InOne(t, "server", authority.Server(time.Time{})), a.Pool
}
