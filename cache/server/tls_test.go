package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// authority makes certificates that vouch for themselves.
type authority struct {
	chain, key string // files
	pair       tls.Certificate
	pool       *x509.CertPool
}

// newAuthority writes a certificate of that name, and its key, into a folder.
func newAuthority(t testing.TB, dir, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{chain: filepath.Join(dir, "chain.pem"), key: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool()}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for file, text := range map[string][]byte{a.chain: chain, a.key: private} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if a.pair, err = tls.X509KeyPair(chain, private); err != nil {
		t.Fatal(err)
	}
	a.pool.AppendCertsFromPEM(chain)
	return a
}

func (r *running) dialTLS(t testing.TB, c *tls.Config) (*client, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", r.addr, c)
	if err != nil {
		return nil, err
	}
	return newClient(t, conn), nil
}

func tlsEndpoint(mode TLSMode) []Endpoint {
	return []Endpoint{{Network: "tcp", Host: "127.0.0.1", TLS: mode}}
}

func TestServesTLS(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "first")
	r := startServer(t, Options{Endpoints: tlsEndpoint(TLSDefault), TLS: TLSOptions{Chain: a.chain, Key: a.key}})
	c, err := r.dialTLS(t, &tls.Config{RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	say, hear := conversation()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, say)
		sent <- err
	}()
	c.hears(hear)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	c.say("quit\r\n")
	c.hearsEnd("")
	if _, err := r.dialTLS(t, &tls.Config{RootCAs: a.pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	eventually(t, "the failure is counted", func() bool { return r.conns.handshakeErrors.Load() == 1 })
}

func TestStoppingAnswersWhatWasReceivedOverTLS(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "first")
	r := startServer(t, Options{Endpoints: tlsEndpoint(TLSDefault), TLS: TLSOptions{Chain: a.chain, Key: a.key}})
	c, err := r.dialTLS(t, &tls.Config{RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	c.say("mn\r\n")
	c.hears("MN\r\n")
	c.say("mn\r\nmn\r\n")
	r.stop()
	c.hearsEnd("MN\r\nMN\r\n")
}

// A client that takes its answers slowly, or a machine that stands still, keeps the server
// from looking at what has come while there is time.
func TestStoppingAnswersWhatWasReceivedThoughItLooksLate(t *testing.T) {
	r := startTLS(t, Options{})
	c := r.dial(t)
	c.say("mn\r\n")
	c.hears("MN\r\n")
	var s *stream
	r.streams.mu.Lock()
	for open := range r.streams.open {
		s = open
	}
	r.streams.mu.Unlock()
	before := s.socket.read.Load()
	s.mu.Lock() // so that it answers nothing
	c.say("mn\r\n")
	eventually(t, "a command is read", func() bool { return s.socket.read.Load() > before })
	c.say("mn\r\nmn\r\n")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	eventually(t, "the server stops", r.streams.stopped)
	time.Sleep(2 * drainRead)
	s.mu.Unlock()
	c.hearsEnd("MN\r\nMN\r\nMN\r\n")
	<-stopped
}

// gatedConn is a client's connection whose second write, which ends a handshake, waits.
type gatedConn struct {
	net.Conn
	writes atomic.Int32
	open   func()
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if c.writes.Add(1) == 2 {
		c.open()
	}
	return c.Conn.Write(b)
}

func TestStoppingWaitsForNobodyWhoseHandshakeEndsMeanwhile(t *testing.T) {
	r := startTLS(t, Options{})
	plain, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	c := tls.Client(&gatedConn{Conn: plain, open: func() {
		go func() {
			defer close(stopped)
			r.stop()
		}()
		eventually(t, "the server stops", r.streams.stopped)
	}}, r.tls)
	defer c.Close()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stopped:
	case <-time.After(r.options.DrainTimeout / 2): // far longer than it waits for who may say more
		t.Error("the server waits for a client that says nothing")
		_ = c.Close()
		<-stopped
	}
}

func TestWatchersHearWithoutAskingOverTLS(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "first")
	r := startServer(t, Options{Endpoints: append(tlsEndpoint(TLSDefault), Endpoint{Network: "tcp", Host: "127.0.0.1"}), TLS: TLSOptions{Chain: a.chain, Key: a.key}})
	watcher, err := r.dialTLS(t, &tls.Config{RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	watcher.say("watch mutations\r\n")
	watcher.hears("OK\r\n")
	plain, err := net.Dial("tcp", r.Addrs()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	other := newClient(t, plain)
	other.say("set seen 0 0 1\r\nx\r\n")
	other.hears("STORED\r\n")
	if line, err := watcher.r.ReadString('\n'); err != nil {
		t.Fatalf("the watcher got %q, %v", line, err)
	}
}

func TestMutualTLSWantsACertificate(t *testing.T) {
	a := newAuthority(t, t.TempDir(), "server")
	friend, stranger := newAuthority(t, t.TempDir(), "friend"), newAuthority(t, t.TempDir(), "stranger")
	r := startServer(t, Options{Endpoints: tlsEndpoint(TLSMutual), TLS: TLSOptions{Chain: a.chain, Key: a.key, Authorities: friend.chain}})
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{{"friend", []tls.Certificate{friend.pair}, true}, {"stranger", []tls.Certificate{stranger.pair}, false}, {"nobody", nil, false}} {
		conn, err := r.dialTLS(t, &tls.Config{RootCAs: a.pool, Certificates: c.certs})
		if err == nil { // with TLS 1.3 a client hears of a refusal only when it reads
			_, _ = io.WriteString(conn, "mn\r\n")
			_, err = io.ReadFull(conn.r, make([]byte, 4))
		}
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	first := newAuthority(t, dir, "first")
	r := startServer(t, Options{Endpoints: tlsEndpoint(TLSDefault), TLS: TLSOptions{Chain: first.chain, Key: first.key}})
	old, err := r.dialTLS(t, &tls.Config{RootCAs: first.pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.chain, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err == nil {
		t.Error("a file without a certificate was no error")
	}
	if _, err := r.dialTLS(t, &tls.Config{RootCAs: first.pool}); err != nil {
		t.Errorf("after a certificate could not be read: %v", err)
	}
	second := newAuthority(t, dir, "second")
	old.say("refresh_certs\r\n")
	old.hears("OK\r\n")
	if _, err := r.dialTLS(t, &tls.Config{RootCAs: second.pool}); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	old.say("mn\r\n")
	old.hears("MN\r\n")
}
