package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Admin is the HTTP listener for metrics, health and the status page.
type Admin struct {
	// Listen is host:port; port 0 takes a free one, an empty host every interface.
	// Default 127.0.0.1:9470; empty: no listener.
	Listen string `yaml:"listen" env:"expanded"`
	// TLS, if it has a certificate, makes it HTTPS.
	TLS AdminTLS `yaml:"tls"`
	// TokenFile holds the token that must be shown for anything but health, a newline at
	// its end not counted. Empty: the token is in the environment, or none is asked for.
	TokenFile string `yaml:"token_file" env:"expanded"`
	// Pprof serves profiles of the process at /debug/pprof/. Default false.
	Pprof bool `yaml:"pprof"`
}

// AdminTLS is who the listener is, and who may come.
type AdminTLS struct {
	// Cert and Key are PEM files, both or neither given. They are read again when they
	// change.
	Cert string `yaml:"cert" env:"expanded"`
	Key  string `yaml:"key" env:"expanded"`
	// ClientCA is a PEM file of the authorities of which clients must have a certificate.
	// Empty: they need none.
	ClientCA string `yaml:"client_ca" env:"expanded"`
}

// TokenVariable is the environment variable the token may be in.
const TokenVariable = "MCSQUEAL_ADMIN_TOKEN"

// Token is what must be shown to the listener: what getenv says of TokenVariable, else
// what TokenFile holds, else nothing.
func (a Admin) Token(getenv func(string) string) (string, error) {
	return TokenFrom(getenv, a.TokenFile)
}

// TokenFrom is the token in TokenVariable, else in a file if one is named, else none.
func TokenFrom(getenv func(string) string, file string) (string, error) {
	if token := getenv(TokenVariable); token != "" {
		return token, nil
	}
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if token == "" {
		return "", fmt.Errorf("read the admin token: %s is empty; write the token into it, or name no token_file if none is to be asked for", file)
	}
	return token, nil
}

// Server reads the files and is the configuration of the listener's connections, or nil
// when they are not encrypted. TLS 1.2 is the least it speaks.
func (t AdminTLS) Server() (*tls.Config, error) {
	if t.Cert == "" {
		return nil, nil
	}
	pair := &pairOfFiles{cert: t.Cert, key: t.Key}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
	if t.ClientCA != "" {
		pem, err := os.ReadFile(t.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("read the authorities of admin clients: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the authorities of admin clients: %s holds no certificate in PEM form", t.ClientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// pairOfFiles is a certificate and its key, read again when a file has changed.
type pairOfFiles struct {
	cert, key string

	mu   sync.Mutex
	pair *tls.Certificate // guarded by mu
	of   [2]time.Time     // when the files were changed from which it is; guarded by mu
}

// get is the certificate as the files have it. While they are being replaced, and do not
// fit together, it is the one before.
func (p *pairOfFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var of [2]time.Time
	for i, name := range []string{p.cert, p.key} {
		info, err := os.Stat(name)
		if err != nil && p.pair == nil {
			return nil, fmt.Errorf("read the admin certificate: %w", err)
		}
		if err == nil {
			of[i] = info.ModTime()
		}
	}
	if p.pair != nil && of == p.of {
		return p.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	switch {
	case err == nil:
		p.pair, p.of = &pair, of
	case p.pair == nil:
		return nil, fmt.Errorf("read the admin certificate %s and its key %s: %w", p.cert, p.key, err)
	}
	return p.pair, nil
}

// errToken is what is wrong with a token that no header can carry.
var errToken = errors.New("has other characters in it than a header's can be; use letters, digits and punctuation without spaces")

// CheckToken tells what is wrong with a token; nil if nothing is.
func CheckToken(token string) error {
	for _, c := range []byte(token) {
		if c <= ' ' || c >= 0x7f {
			return errToken
		}
	}
	return nil
}
