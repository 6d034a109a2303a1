package config

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/authority"
)

func TestTheTokenIsInTheEnvironmentOrAFile(t *testing.T) {
	dir := t.TempDir()
	file, empty := filepath.Join(dir, "token"), filepath.Join(dir, "empty")
	for name, text := range map[string]string{file: "from-file\r\n", empty: "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(string) string { return "from-environment" }
	for _, c := range []struct {
		name, file string
		getenv     func(string) string
		want, err  string
	}{
		{"nowhere", "", noEnvironment, "", ""},
		{"in a file", file, noEnvironment, "from-file", ""},
		{"in both", file, in, "from-environment", ""},
		{"in a file that is not there", file + "x", noEnvironment, "", "no such file"},
		{"in a file that is empty", empty, noEnvironment, "", "is empty; write the token into it"},
	} {
		got, err := Admin{TokenFile: c.file}.Token(c.getenv)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}

func TestATokenIsWhatAHeaderCanCarry(t *testing.T) {
	for token, ok := range map[string]bool{"a": true, "Ab9-._~+/=": true, "a b": false, "a\n": false, "é": false, "\x7f": false} {
		if err := CheckToken(token); (err == nil) != ok {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestTheListenerProvesWhoItIsAndAsksWhoComes(t *testing.T) {
	a, stranger := authority.New(t), authority.New(t)
	cert, key := a.Issue(t, "127.0.0.1", &x509.Certificate{DNSNames: []string{"admin.example"}})
	clientCert, clientKey := a.Issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	strangerCert, strangerKey := stranger.Issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	client := func(cert, key string) *tls.Config {
		c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Pool, ServerName: "admin.example"}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		return c
	}
	server := func(s AdminTLS) *tls.Config {
		t.Helper()
		c, err := s.Server()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	open, closed := server(AdminTLS{Cert: cert, Key: key}), server(AdminTLS{Cert: cert, Key: key, ClientCA: a.Path})
	for _, c := range []struct {
		name           string
		client, server *tls.Config
		ok             bool
	}{
		{"anybody", client("", ""), open, true},
		{"no certificate where one is asked for", client("", ""), closed, false},
		{"a certificate", client(clientCert, clientKey), closed, true},
		{"a stranger's certificate", client(strangerCert, strangerKey), closed, false},
	} {
		if err := handshake(t, c.client, c.server); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if c, err := (AdminTLS{}).Server(); c != nil || err != nil {
		t.Errorf("without a certificate %v, %v", c, err)
	}
	for want, s := range map[string]AdminTLS{
		"no such file":   {Cert: cert + "x", Key: key},
		"admin clients":  {Cert: cert, Key: key, ClientCA: key + "x"},
		"no certificate": {Cert: cert, Key: key, ClientCA: key},
		"and its key":    {Cert: cert, Key: clientKey},
	} {
		if _, err := s.Server(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}

// Certificates are replaced while the daemon runs, one file after the other.
func TestACertificateThatIsReplacedIsTakenWithoutARestart(t *testing.T) {
	a := authority.New(t)
	cert, key := a.Issue(t, "listener", &x509.Certificate{})
	s, err := AdminTLS{Cert: cert, Key: key}.Server()
	if err != nil {
		t.Fatal(err)
	}
	serial := func(pair *tls.Certificate, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.String()
	}
	inFiles := func(cert, key string) string {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(cert, key)
		return serial(&pair, err)
	}
	newCert, newKey := a.Issue(t, "next", &x509.Certificate{})
	first, second := inFiles(cert, key), inFiles(newCert, newKey)
	replace := func(from, to string, at time.Time) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(to, at, at); err != nil {
			t.Fatal(err)
		}
	}
	replace(newCert, cert, time.Now().Add(time.Second))
	if got := serial(s.GetCertificate(nil)); got != first {
		t.Error("a certificate without its key was taken")
	}
	replace(newKey, key, time.Now().Add(2*time.Second))
	if got := serial(s.GetCertificate(nil)); got != second {
		t.Error("the new certificate was not taken")
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if got := serial(s.GetCertificate(nil)); got != second {
		t.Error("what was read is gone with its file")
	}
}
