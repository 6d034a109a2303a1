package mcconn_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/mcconn"
)

func TestDialFindsOutWhatThePeerSpeaks(t *testing.T) {
	textOnly := func(toMN string, hangUp bool) func(net.Conn) {
		return greeted(func(conn net.Conn, commands *bufio.Scanner) {
			for commands.Scan() {
				if commands.Text() != "mn" {
					fmt.Fprint(conn, "NOT_FOUND\r\n")
					continue
				}
				fmt.Fprint(conn, toMN)
				if hangUp {
					return
				}
			}
		})
	}
	for _, test := range []struct {
		name     string
		serve    func(net.Conn)
		protocol mcconn.Protocol
	}{
		{"meta", greetedMeta(says("NF\r\n")), mcconn.Meta},
		{"says ERROR", textOnly("ERROR\r\n", false), mcconn.Text},
		{"says CLIENT_ERROR and hangs up", textOnly("CLIENT_ERROR malformed request\r\n", true), mcconn.Text},
		{"hangs up", textOnly("", true), mcconn.Text},
		{"old meta", textOnly("EN\r\n", false), mcconn.Text},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, mcconn.Config{Address: peer.Listen(t, test.serve)})
			if c.Protocol() != test.protocol || c.Version() != "1.6.fake" {
				t.Errorf("found %v, version %q", c.Protocol(), c.Version())
			}
			send(t, c, deletes(1)) // it works
			receive(t, c)
		})
	}
}

func TestTextIsNotAskedForMeta(t *testing.T) {
	c := dial(t, mcconn.Config{Protocol: mcconn.Text, Address: peer.Listen(t, greeted(func(conn net.Conn, commands *bufio.Scanner) {
		commands.Scan()
		if commands.Text() == "delete k" {
			fmt.Fprint(conn, "DELETED\r\n")
		}
		commands.Scan()
	}))})
	send(t, c, &mcconn.Batch{Wire: []byte("delete k\r\n"), N: 1})
	if b := receive(t, c); c.Protocol() != mcconn.Text || b.Deleted != 1 {
		t.Errorf("%v: %s", c.Protocol(), results(b))
	}
}

// A peer that cannot be trusted with a delete is found at Dial, not by the first
// keys: one that answers CLIENT_ERROR to everything would have them set aside.
func TestDialRefusesAPeerThatIsNoCacheForUs(t *testing.T) {
	answer := func(lines string) func(net.Conn) {
		return func(conn net.Conn) {
			bufio.NewReader(conn).ReadString('\n')
			fmt.Fprint(conn, lines)
			bufio.NewReader(conn).ReadString('\x00')
		}
	}
	for _, test := range []struct {
		name     string
		protocol mcconn.Protocol
		serve    func(net.Conn)
		is       error
		says     string
	}{
		{"full", mcconn.Auto, answer("ERROR Too many open connections\r\n"), mcconn.ErrUnexpected, `version: expected VERSION, got "ERROR Too many open connections"; is it a cache that lets this host in?`},
		{"wants a password", mcconn.Text, answer("CLIENT_ERROR unauthenticated\r\n"), mcconn.ErrUnexpected, `version: expected VERSION, got "CLIENT_ERROR unauthenticated"`},
		{"no cache", mcconn.Auto, answer("HTTP/1.1 400 Bad Request\r\n\r\n"), mcconn.ErrUnexpected, `version: expected VERSION, got "HTTP/1.1 400 Bad Request"`},
		{"endless line", mcconn.Auto, answer(strings.Repeat("x", 5000)), nil, "version: an answer's line of more than 2048 bytes"},
		{"hangs up", mcconn.Auto, func(net.Conn) {}, nil, "version: "},
		{"no meta", mcconn.Meta, answer("VERSION mcrouter 41.0.0\r\nCLIENT_ERROR malformed request\r\n"), mcconn.ErrUnexpected,
			`mn: expected MN, got "CLIENT_ERROR malformed request"; the peer does not speak the meta protocol: set protocol to text or auto`},
		{"meta, hangs up", mcconn.Meta, greeted(func(_ net.Conn, commands *bufio.Scanner) { commands.Scan() }), io.EOF, "mn: EOF; the peer does not speak the meta protocol: set protocol to text or auto"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := peer.Listen(t, test.serve)
			c, err := mcconn.Dial(t.Context(), mcconn.Config{Address: address, Protocol: test.protocol})
			if c != nil || err == nil || !strings.HasPrefix(err.Error(), address+": "+test.says) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
}

func TestDialIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(net.Conn)
		says  string
	}{
		"silent":            {func(conn net.Conn) { io.Copy(io.Discard, conn) }, "version: i/o timeout"},
		"silent about meta": {greeted(says()), "mn: i/o timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := func(ctx context.Context, timeout time.Duration) (took time.Duration, err error) {
					var wg sync.WaitGroup
					defer wg.Wait()
					start := time.Now()
					_, err = mcconn.Dial(ctx, mcconn.Config{Address: "pipe", Timeout: timeout, Dial: func(context.Context, string, string) (net.Conn, error) {
						ours, theirs := net.Pipe()
						wg.Go(func() { test.serve(theirs) })
						return ours, nil
					}})
					return time.Since(start), err
				}
				if took, err := dial(t.Context(), time.Second); took != time.Second || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "pipe: "+test.says) {
					t.Errorf("after %v: %v", took, err)
				}
				gaveUp := errors.New("gave up")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, gaveUp)
				defer cancel()
				if took, err := dial(ctx, time.Hour); took != time.Second || !errors.Is(err, gaveUp) {
					t.Errorf("context, after %v: %v", took, err)
				}
			})
		})
	}
	gaveUp := errors.New("gave up")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, gaveUp)
	defer cancel()
	if _, err := mcconn.Dial(ctx, mcconn.Config{Address: "nowhere", Timeout: time.Hour, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}); !errors.Is(err, gaveUp) || !strings.HasPrefix(err.Error(), "nowhere: connect: ") {
		t.Errorf("connecting, context: %v", err)
	}
}

func TestDialSaysWhereOnceOnly(t *testing.T) {
	address := peer.Listen(t, func(net.Conn) {})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	_, err = mcconn.Dial(t.Context(), mcconn.Config{Address: closed})
	if !errors.Is(err, syscall.ECONNREFUSED) || strings.Count(err.Error(), closed) != 1 || !strings.HasPrefix(err.Error(), closed+": connect: ") {
		t.Errorf("refused: %v", err)
	}
	_, err = mcconn.Dial(t.Context(), mcconn.Config{Address: address[:strings.LastIndexByte(address, ':')]})
	if err == nil || !strings.Contains(err.Error(), "missing port in address") {
		t.Errorf("no port: %v", err)
	}
	_, err = mcconn.Dial(t.Context(), mcconn.Config{Address: "/nonexistent/memcached.sock"})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "/nonexistent/memcached.sock: connect: ") {
		t.Errorf("no socket: %v", err)
	}
}

func TestDialConnectsByUnixSocketAndIPv6(t *testing.T) {
	for network, address := range map[string]string{"unix": filepath.Join(t.TempDir(), "s"), "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			listener, err := net.Listen(network, address)
			if err != nil {
				t.Skipf("this machine has no %s: %v", network, err)
			}
			c := dial(t, mcconn.Config{Address: peer.On(t, listener, greetedMeta(says("HD\r\n")))})
			send(t, c, deletes(1))
			if b := receive(t, c); b.Deleted != 1 {
				t.Error(results(b))
			}
		})
	}
}

func TestTLSVerifiesThePeer(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1 and example.com
	defer server.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	address := peer.On(t, listener, greetedMeta(notFound))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	c := dial(t, mcconn.Config{Address: address, TLS: &tls.Config{RootCAs: roots}})
	for range 3 {
		send(t, c, deletes(1000))
		if b := receive(t, c); b.NotFound != 1000 {
			t.Fatal(results(b))
		}
	}
	for name, config := range map[string]*tls.Config{
		"unknown authority": {RootCAs: x509.NewCertPool()},
		"another name":      {RootCAs: roots, ServerName: "cache.invalid"},
	} {
		_, err := mcconn.Dial(t.Context(), mcconn.Config{Address: address, TLS: config})
		if bad := new(tls.CertificateVerificationError); !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), address+": connect: TLS handshake: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A peer that is killed says no goodbye, in TLS either.
func TestTLSWithoutAGoodbyeIsHangingUp(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	address := peer.On(t, listener, greetedMeta(func(conn net.Conn, commands *bufio.Scanner) {
		commands.Scan()
		conn.(*tls.Conn).NetConn().Close()
	}))
	c := dial(t, mcconn.Config{Address: address, TLS: &tls.Config{InsecureSkipVerify: true}})
	send(t, c, deletes(1))
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// A TLS connection's deadlines pass while it is idle, which must not break it.
func TestTLSOutlivesItsDeadlines(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	synctest.Test(t, func(t *testing.T) {
		expired := 0
		three := make(chan struct{})
		ours, theirs := net.Pipe()
		var wg sync.WaitGroup
		defer wg.Wait()
		defer theirs.Close()
		// Tickets would be sent when nobody reads, and a pipe has no buffer.
		secure := tls.Server(theirs, &tls.Config{Certificates: server.TLS.Certificates, SessionTicketsDisabled: true})
		wg.Go(func() { greetedMeta(notFound)(secure) })
		c, err := mcconn.Dial(t.Context(), mcconn.Config{
			Address: "pipe", Timeout: 200 * time.Millisecond, TLS: &tls.Config{InsecureSkipVerify: true},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return &deadlines{ours, func() {
					if expired++; expired == 3 {
						close(three)
					}
				}}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make(chan *mcconn.Batch, 1)
		go func() {
			if b, err := c.Receive(); err != nil {
				t.Error(err)
				close(got)
			} else {
				got <- b
			}
		}()
		<-three
		send(t, c, deletes(2))
		if b := <-got; b == nil || b.NotFound != 2 {
			t.Error(results(b))
		}
	})
}

// deadlines tells of each read that ended at its deadline.
type deadlines struct {
	net.Conn
	expired func()
}

func (d *deadlines) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		d.expired()
	}
	return n, err
}

func TestProtocolsAreTheirNames(t *testing.T) {
	for _, p := range []mcconn.Protocol{mcconn.Auto, mcconn.Meta, mcconn.Text} {
		text, err := p.MarshalText()
		var back mcconn.Protocol
		if err := errors.Join(err, back.UnmarshalText(text)); err != nil || back != p || string(text) != p.String() {
			t.Errorf("%v: %q, %v, %v", p, text, back, err)
		}
	}
	p := mcconn.Text
	if err := p.UnmarshalText(nil); err != nil || p != mcconn.Auto {
		t.Errorf("nothing: %v, %v", p, err)
	}
	if err := p.UnmarshalText([]byte("binary")); err == nil || !strings.Contains(err.Error(), `protocol "binary": want auto, meta or text`) {
		t.Errorf("binary: %v", err)
	}
}

// An error says once whom it is about, and once what was being done.
func TestWhatCannotBeReachedIsSaidOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = mcconn.Dial(t.Context(), mcconn.Config{Address: address})
	if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != address+": connect: connection refused" {
		t.Errorf("the error is %v", err)
	}
}
