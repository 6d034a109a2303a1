package config

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/integration/authority"
)

// handshake connects a client with this configuration to a server with that one, and
// is the first error either has.
func handshake(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "x")
		done <- err
	}()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", listener.Addr().String(), client)
	if err == nil {
		// A server that refuses a TLS 1.3 client says so after the client has finished.
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return err
}

func TestTLSChecksAsMuchAsItsModeSays(t *testing.T) {
	trusted, stranger := authority.New(t), authority.New(t)
	server := func(a *authority.Authority, host string) *tls.Config {
		cert, key := a.Issue(t, host, &x509.Certificate{DNSNames: []string{host}})
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	right, other, foreign := server(trusted, "db.example"), server(trusted, "other.example"), server(stranger, "db.example")
	const unknown, name = "certificate signed by unknown authority", "certificate is valid for other.example, not db.example"
	for _, test := range []struct {
		mode                            TLSMode
		right, misnamed, foreignerError string
	}{
		{TLSAuto, "", name, unknown},
		{TLSVerify, "", name, unknown},
		{TLSVerifyCA, "", "", unknown},
		{TLSSkipVerify, "", "", ""},
	} {
		settings := TLS{Mode: test.mode, CA: trusted.Path}
		client, err := settings.Client(SourceURL{Flavor: binlog.MySQL, User: "u", Host: "db.example", Port: 3306})
		if err != nil {
			t.Fatal(err)
		}
		for _, against := range []struct {
			who    string
			server *tls.Config
			want   string
		}{{"the right server", right, test.right}, {"one of another name", other, test.misnamed}, {"one of another authority", foreign, test.foreignerError}} {
			err := handshake(t, client, against.server)
			if (err == nil) != (against.want == "") || err != nil && !strings.Contains(err.Error(), against.want) {
				t.Errorf("%s against %s: %v, want %q", test.mode, against.who, err, against.want)
			}
		}
	}
}

func TestTLSServerNameStandsInForTheHost(t *testing.T) {
	trusted := authority.New(t)
	cert, key := trusted.Issue(t, "other.example", &x509.Certificate{DNSNames: []string{"other.example"}})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []SourceURL{{Host: "10.0.0.1", Port: 3306}, {Host: "localhost", Port: 3306}, {Socket: "/s"}} {
		settings := TLS{Mode: TLSAuto, CA: trusted.Path, ServerName: "other.example"}
		client, err := settings.Client(u)
		if err != nil {
			t.Fatal(err)
		}
		if err := handshake(t, client, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}); err != nil {
			t.Errorf("%v: %v", u, err)
		}
	}
}

func TestTLSShowsTheClientCertificate(t *testing.T) {
	trusted := authority.New(t)
	serverCert, serverKey := trusted.Issue(t, "db.example", &x509.Certificate{DNSNames: []string{"db.example"}})
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted.Pool}
	cert, key := trusted.Issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})

	u := SourceURL{Host: "db.example", Port: 3306}
	with, err := TLS{Mode: TLSVerify, CA: trusted.Path, Cert: cert, Key: key}.Client(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, with, server); err != nil {
		t.Error(err)
	}
	without, err := TLS{Mode: TLSVerify, CA: trusted.Path}.Client(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, without, server); err == nil {
		t.Error("the server took a client without a certificate")
	}
}

func TestTLSIsOffByDefaultOnlyWhereNoWireIs(t *testing.T) {
	remote, local, socket := SourceURL{Host: "db", Port: 3306}, SourceURL{Host: "127.0.0.1", Port: 3306}, SourceURL{Socket: "/s"}
	for _, test := range []struct {
		settings TLS
		u        SourceURL
		want     TLSMode
	}{
		{TLS{Mode: TLSAuto}, remote, TLSVerify},
		{TLS{Mode: TLSAuto}, local, TLSOff},
		{TLS{Mode: TLSAuto}, socket, TLSOff},
		{TLS{Mode: TLSAuto, CA: "ca.pem"}, local, TLSVerify},
		{TLS{Mode: TLSVerify}, local, TLSVerify},
		{TLS{Mode: TLSOff}, remote, TLSOff},
		{TLS{Mode: TLSSkipVerify}, socket, TLSSkipVerify},
	} {
		if got := test.settings.ModeFor(test.u); got != test.want {
			t.Errorf("%+v to %v is %s, want %s", test.settings, test.u, got, test.want)
		}
	}
	if c, err := (TLS{Mode: TLSAuto}).Client(local); c != nil || err != nil {
		t.Errorf("got %v, %v, want neither", c, err)
	}
}

func TestTLSSaysWhichFileItCouldNotUse(t *testing.T) {
	trusted := authority.New(t)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		settings TLS
		want     string
	}{
		{TLS{CA: "/nonexistent"}, "read the authorities of the source's certificates: open /nonexistent: no such file or directory"},
		{TLS{CA: garbage}, "read the authorities of the source's certificates: " + garbage + " holds no certificate in PEM form"},
		{TLS{Cert: trusted.Path, Key: "/nonexistent"}, "read the client certificate " + trusted.Path + " and its key /nonexistent: open /nonexistent: no such file or directory"},
	} {
		test.settings.Mode = TLSVerify
		if _, err := test.settings.Client(SourceURL{Host: "db", Port: 3306}); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// A cluster is reached in the clear unless something is said about TLS; each connection
// verifies the host that it is made to.
func TestTLSToCachesIsWhatWasAskedFor(t *testing.T) {
	a := authority.New(t)
	cert, key := a.Issue(t, "client", &x509.Certificate{})
	for _, test := range []struct {
		name string
		tls  TLS
		mode TLSMode
	}{
		{"nothing said", TLS{Mode: TLSAuto}, TLSOff},
		{"authorities", TLS{Mode: TLSAuto, CA: a.Path}, TLSVerify},
		{"a client's certificate", TLS{Mode: TLSAuto, Cert: cert, Key: key}, TLSVerify},
		{"asked for", TLS{Mode: TLSVerify}, TLSVerify},
		{"off", TLS{Mode: TLSOff}, TLSOff},
		{"any", TLS{Mode: TLSSkipVerify}, TLSSkipVerify},
	} {
		if got := test.tls.ModeForCaches(); got != test.mode {
			t.Errorf("%s: mode %s, want %s", test.name, got, test.mode)
		}
		c, err := test.tls.ClientForCaches()
		switch {
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case (c == nil) != (test.mode == TLSOff):
			t.Errorf("%s: got %v", test.name, c)
		case c != nil && (c.InsecureSkipVerify != (test.mode == TLSSkipVerify) || c.ServerName != "" || (c.RootCAs != nil) != (test.tls.CA != "")):
			t.Errorf("%s: skips verification: %v; name %q", test.name, c.InsecureSkipVerify, c.ServerName)
		}
	}
	const want = "read the authorities of the cluster's certificates: open /nonexistent: no such file or directory"
	if _, err := (TLS{Mode: TLSAuto, CA: "/nonexistent"}).ClientForCaches(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
