package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// authority signs certificates, and is a PEM file.
type authority struct {
	dir, path   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	a.path, _ = a.issue(t, "ca", template)
	return a
}

// issue signs a certificate, the authority's own at first, and writes it beside its key.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore = template.NotAfter.Add(-2 * time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate == nil {
		if a.certificate, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		a.key = private
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// server is a certificate for a server on the loopback addresses that tests use.
func server(notAfter time.Time) *x509.Certificate {
	return &x509.Certificate{
		NotAfter: notAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("127.0.0.2")},
	}
}

// newSecureCache starts a memcached that speaks TLS, with a certificate of that name.
func newSecureCache(t *testing.T, a *authority, name string, notAfter time.Time) *harness.Cache {
	t.Helper()
	cert, key := a.issue(t, name, server(notAfter))
	return harness.AsCache(servers.Memcache(t, servers.MemcachedConfig{Cert: cert, Key: key}))
}

// Deletes, probes and flushes all go over TLS where that is configured, and nothing at
// all goes to a server that does not show who it is.
func TestCachesAreReachedOverTLS(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	a := newAuthority(t)
	right := newSecureCache(t, a, "right", time.Now().Add(time.Hour))
	expired := newSecureCache(t, a, "expired", time.Now().Add(-time.Minute))
	over := func(name, address, tls string) string {
		return fmt.Sprintf("  - {name: %s, servers: [%s], action: \"stale:30s\", tls: {%s}}", name, address, tls)
	}
	cfg := harness.Configure(t, db.SourceURL(), "clusters:",
		strings.Replace(over("right", right.SecureAddr(), "ca: "+a.path), "action: \"stale:30s\", ", "", 1),
		over("marked", right.SecureAddr(), "ca: "+a.path),
		over("misnamed", right.SecureAddr(), "ca: "+a.path+", server_name: cache.example"),
		over("expired", expired.SecureAddr(), "mode: verify, ca: "+a.path),
		over("strange", right.SecureAddr(), "mode: verify-ca"),
		over("plain", right.Addr(), "ca: "+a.path),
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
