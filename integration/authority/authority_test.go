package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/authority"
)

// verify reads a certificate and its key, and says what somebody who trusts these roots
// holds of it.
func verify(t *testing.T, cert, key string, roots *x509.CertPool) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: "127.0.0.1", Roots: roots})
	return err
}

func TestVouchesForWhatItHasIssuedAndForNothingElse(t *testing.T) {
	a, stranger := authority.New(t), authority.New(t)
	cert, key := a.Issue(t, "one", authority.Server(time.Time{}))
	if err := verify(t, cert, key, a.Pool); err != nil {
		t.Error(err)
	}
	if err := verify(t, cert, key, stranger.Pool); err == nil {
		t.Error("a stranger vouches for it")
	}
	both := a.InOne(t, "two", authority.Server(time.Time{}))
	if err := verify(t, both, both, a.Pool); err != nil {
		t.Error("in one file:", err)
	}
	cert, key = a.Issue(t, "past", authority.Server(time.Now().Add(-time.Minute)))
	if err := verify(t, cert, key, a.Pool); err == nil {
		t.Error("one that is over is good")
	}
}

func TestASelfSignedCertificateVouchesForItself(t *testing.T) {
	cert, key := authority.SelfSigned(t, "self", authority.Server(time.Now().Add(24*time.Hour)))
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	own := x509.NewCertPool()
	own.AppendCertsFromPEM(text)
	if err := verify(t, cert, key, own); err != nil {
		t.Error(err)
	}
}
