package preflight

import (
	"crypto/x509"
	"net"
	"os"
	"time"

	"github.com/mcsqueal/mcsqueal/config"
)

// renewWithin is how long before its end a certificate should have been renewed.
const renewWithin = 14 * 24 * time.Hour

// guarded says who may look at the listener, and whether it can prove who it is.
func (s *stateCheck) guarded(cfg *Config) {
	c := cfg.Config.Admin
	if c.Listen == "" {
		return
	}
	s.certificate(c.TLS)
	token := cfg.AdminToken
	if c.TokenFile != "" && !token {
		token = s.token(c)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return // the configuration has been validated
	}
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	if !local && !token && c.TLS.ClientCA == "" {
		s.warn("admin", "admin.token_file or admin.tls.client_ca", "whoever reaches %s sees keys and addresses: neither a token nor certificates are asked for", c.Listen)
	}
}

// token says whether the token can be had, and others cannot have it.
func (s *stateCheck) token(c config.Admin) bool {
	token, err := c.Token(func(string) string { return "" })
	if err == nil {
		err = config.CheckToken(token)
	}
	if err != nil {
		s.fail("admin", "admin.token_file: a file with a token that the user who runs mcsqueal may read", "%v", err)
		return false
	}
	if info, err := os.Stat(c.TokenFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		s.warn("admin", "chmod o= "+c.TokenFile, "everybody on this machine may read %s", c.TokenFile)
	}
	return true
}

// certificate says whether the listener's can be had, and for how long it is good.
func (s *stateCheck) certificate(t config.AdminTLS) {
	secure, err := t.Server()
	if err != nil {
		s.fail("admin_tls", "admin.tls: files that the user who runs mcsqueal may read, of one pair", "%v", err)
		return
	}
	if secure == nil {
		return
	}
	pair, err := secure.GetCertificate(nil)
	if err != nil {
		s.fail("admin_tls", "admin.tls: files that the user who runs mcsqueal may read, of one pair", "%v", err)
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		s.fail("admin_tls", "admin.tls.cert: a certificate", "%s: %v", t.Cert, err)
		return
	}
	const mend = "renew it; a daemon reads it again when the files change"
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		s.fail("admin_tls", mend, "the certificate %s was good until %s, and no client takes it any more", t.Cert, until)
	case left < renewWithin:
		s.warn("admin_tls", mend, "the certificate %s is good until %s only", t.Cert, until)
	default:
		s.ok("admin_tls", "the certificate %s is good until %s", t.Cert, until)
	}
}
