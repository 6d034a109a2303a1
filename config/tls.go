package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS secures the connections to the source, or to a cluster. It never falls back: a
// server that cannot do what the mode asks for is an error.
type TLS struct {
	Mode TLSMode `yaml:"mode"` // default auto
	// CA is a PEM file of the authorities to trust. Empty: the system's.
	CA string `yaml:"ca" env:"expanded"`
	// Cert and Key are PEM files of a client certificate, both or neither given.
	Cert string `yaml:"cert" env:"expanded"`
	Key  string `yaml:"key" env:"expanded"`
	// ServerName is the name the server's certificate must bear. Empty: the host of
	// the URL or the address.
	ServerName string `yaml:"server_name" env:"expanded"`
}

// TLSMode says how much of a server's identity is checked.
type TLSMode string

// The TLS modes. MySQL's names for the same are VERIFY_IDENTITY, VERIFY_CA, REQUIRED
// and DISABLED; its PREFERRED, which falls back in silence, has no counterpart here.
const (
	// TLSAuto is, for a source, off through a Unix socket or a loopback address when no
	// other field of TLS is given, and verify everywhere else; for a cluster it is off
	// when no other field is given, and else verify.
	TLSAuto       TLSMode = "auto"
	TLSVerify     TLSMode = "verify"      // encrypted; an authority vouches for the server's name
	TLSVerifyCA   TLSMode = "verify-ca"   // encrypted; an authority vouches for the server, whatever its name
	TLSSkipVerify TLSMode = "skip-verify" // encrypted; the server may be anybody
	TLSOff        TLSMode = "off"         // not encrypted
)

// given tells whether any field but the mode is.
func (t TLS) given() bool {
	return t.CA != "" || t.Cert != "" || t.Key != "" || t.ServerName != ""
}

// ModeFor is the mode for a source: Mode, with TLSAuto decided.
func (t TLS) ModeFor(u SourceURL) TLSMode {
	return t.decided(u.Local())
}

// ModeForCaches is the mode for a cluster: Mode, with TLSAuto decided.
func (t TLS) ModeForCaches() TLSMode { return t.decided(true) }

// decided is the mode, TLSAuto being off where plain is usual and nothing else is given.
func (t TLS) decided(plain bool) TLSMode {
	switch {
	case t.Mode != TLSAuto:
		return t.Mode
	case plain && !t.given():
		return TLSOff
	default:
		return TLSVerify
	}
}

// Client reads the files and is the configuration of a client's connection to u,
// or nil when ModeFor says off. TLS 1.2 is the least it speaks.
func (t TLS) Client(u SourceURL) (*tls.Config, error) {
	return t.client(t.ModeFor(u), u.Host, "the source's")
}

// ClientForCaches is Client for a cluster. Without a ServerName it has none: each
// connection verifies the host that it is made to.
func (t TLS) ClientForCaches() (*tls.Config, error) {
	return t.client(t.ModeForCaches(), "", "the cluster's")
}

func (t TLS) client(mode TLSMode, host, whose string) (*tls.Config, error) {
	if mode == TLSOff {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read the authorities of %s certificates: %w", whose, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the authorities of %s certificates: %s holds no certificate in PEM form", whose, t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate %s and its key %s: %w", t.Cert, t.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch mode {
	case TLSVerifyCA:
		c.InsecureSkipVerify = true // what is skipped is done by verifyChain, but for the name
		c.VerifyConnection = verifyChain(c.RootCAs)
	case TLSSkipVerify:
		c.InsecureSkipVerify = true // asked for by name
	}
	return c, nil
}

// verifyChain is crypto/tls's own verification without the name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server sent no certificate")
		}
		options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, certificate := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(certificate)
		}
		_, err := state.PeerCertificates[0].Verify(options)
		return err
	}
}
