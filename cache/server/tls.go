package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// TLSMode says whether an endpoint's connections are encrypted.
type TLSMode uint8

// The modes.
const (
	TLSOff TLSMode = iota
	// TLSDefault asks of clients what TLSOptions.Verify says.
	TLSDefault
	// TLSBasic asks for no certificate.
	TLSBasic
	// TLSMutual requires a certificate that the authorities vouch for.
	TLSMutual
)

// TLSOptions are the certificate and the rules of encrypted endpoints.
type TLSOptions struct {
	// Chain and Key are PEM files. An empty Key is in Chain's file too.
	Chain, Key string
	// Authorities is a PEM file of those who may vouch for clients.
	Authorities string
	// Verify is what a client's certificate must be.
	Verify tls.ClientAuthType
	// MinVersion is tls.VersionTLS12 when zero.
	MinVersion uint16
	// CipherSuites are for TLS 1.2 and before; empty: those Go thinks good.
	CipherSuites []uint16
	// Resume lets clients resume sessions.
	Resume bool
}

// certificates is what encrypted endpoints present, which can be read again while they
// serve.
type certificates struct {
	options TLSOptions
	current atomic.Pointer[certificate]
}

// certificate is one reading of the files.
type certificate struct {
	configs [TLSMutual + 1]*tls.Config
	read    time.Time
}

func newCertificates(o TLSOptions) (*certificates, error) {
	c := &certificates{options: o}
	if err := c.refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// refresh reads the files again. When that fails, what was read before stays.
func (c *certificates) refresh() error {
	o := c.options
	key := o.Key
	if key == "" {
		key = o.Chain
	}
	pair, err := tls.LoadX509KeyPair(o.Chain, key)
	if err != nil {
		return fmt.Errorf("read the certificate chain %q and the key %q: %w", o.Chain, key, err)
	}
	base := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: o.MinVersion, CipherSuites: o.CipherSuites,
		ClientAuth: o.Verify, SessionTicketsDisabled: !o.Resume,
	}
	if base.MinVersion == 0 {
		base.MinVersion = tls.VersionTLS12
	}
	if o.Authorities != "" {
		pem, err := os.ReadFile(o.Authorities)
		if err != nil {
			return fmt.Errorf("read the authorities for clients' certificates: %w", err)
		}
		base.ClientCAs = x509.NewCertPool()
		if !base.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read the authorities for clients' certificates: %s holds no certificate", o.Authorities)
		}
	}
	read := &certificate{read: time.Now()}
	read.configs[TLSDefault] = base
	read.configs[TLSBasic] = base.Clone()
	read.configs[TLSBasic].ClientAuth = tls.NoClientCert
	read.configs[TLSMutual] = base.Clone()
	read.configs[TLSMutual].ClientAuth = tls.RequireAndVerifyClientCert
	c.current.Store(read)
	return nil
}

func (c *certificates) config(mode TLSMode) *tls.Config { return c.current.Load().configs[mode] }

var errNoTLS = errors.New("TLS is not enabled")

// age is how long ago the certificates were read.
func (c *certificates) age() time.Duration { return time.Since(c.current.Load().read) }
