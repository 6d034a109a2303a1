package mccache

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 2)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	file = filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, roots
}
