// Package authority makes certificates for tests, as PEM files: by an authority of the
// test's own, or such as vouch for themselves.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	// Path is the file of its own.
	Path string
	// Pool has it alone.
	Pool *x509.CertPool

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New is an authority that goes with the test.
func New(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: tb.TempDir(), Pool: x509.NewCertPool()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.Path, _ = a.Issue(tb, "ca", template)
	a.Pool.AddCert(a.certificate)
	return a
}

// Issue signs a certificate for a name and writes it, and its key, into files of that
// name, which it replaces. It is valid from two hours ago on and for an hour to come,
// unless the template says until when; one that is over was valid for two hours.
func (a *Authority) Issue(tb testing.TB, name string, template *x509.Certificate) (cert, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = time.Now().Add(-2 * time.Hour)
	if template.NotAfter.Before(time.Now()) {
		template.NotBefore = template.NotAfter.Add(-2 * time.Hour)
	}
	parent, signer := a.certificate, a.key
	if parent == nil { // its own
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	if a.certificate == nil {
		if a.certificate, err = x509.ParseCertificate(der); err != nil {
			tb.Fatal(err)
		}
		a.key = private
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return cert, key
}

// InOne is Issue with the certificate and its key in one file.
func (a *Authority) InOne(tb testing.TB, name string, template *x509.Certificate) (file string) {
	tb.Helper()
	cert, key := a.Issue(tb, name, template)
	var both []byte
	for _, path := range []string{cert, key} {
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(cert, both, 0o600); err != nil {
		tb.Fatal(err)
	}
	return cert
}

// SelfSigned is a certificate that vouches for itself, and its key.
func SelfSigned(tb testing.TB, name string, template *x509.Certificate) (cert, key string) {
	tb.Helper()
	template.IsCA, template.BasicConstraintsValid = true, true
	a := &Authority{dir: tb.TempDir()}
	return a.Issue(tb, name, template)
}

// Server is the template of a server on the loopback addresses that tests use. The zero
// time is in an hour.
func Server(notAfter time.Time) *x509.Certificate {
	return &x509.Certificate{
		NotAfter: notAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)},
	}
}
