package mcconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/mcproto"
)

// What a Config's zero values stand for.
const (
	DefaultWindow  = 4
	DefaultTimeout = 5 * time.Second
)

// Config is where to connect and how. Address alone is required.
type Config struct {
	// Address is HOST:PORT ([::1]:11211 for IPv6), or the path of a Unix socket,
	// which has a slash in it.
	Address string
	// Protocol is what to speak. Zero is Auto, which costs a second connection where
	// the peer turns out to speak Text only.
	Protocol Protocol
	// Window is how many batches may be in flight. Zero is DefaultWindow.
	Window int
	// Timeout bounds connecting (with the TLS handshake), the questions Dial asks,
	// the time from one answer to the next while answers are owed, and how long a
	// write may get no further. Zero is DefaultTimeout.
	//
	// Behind memcached's proxy it should exceed the proxy's own time-out for its
	// servers (3 s unless configured): then a frozen server costs the keys that are
	// its, which are refused for now, else the connection.
	Timeout time.Duration
	// TLS, unless nil, is spoken on the connection. Without a ServerName the host
	// of Address is verified.
	TLS *tls.Config
	// Dial makes the connection, network being "tcp" or "unix". Nil is a
	// net.Dialer's DialContext, whose connections have TCP_NODELAY set.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial connects and asks the peer for its version and, unless told to speak Text,
// whether it knows the meta protocol. So a connection leads to a cache that is
// alive and that answers this client: one that turns everybody away, or wants a
// password first, says CLIENT_ERROR to every command, and would have good keys
// taken for bad ones.
//
// The context bounds Dial alone, not the connection's life. The error begins with
// the address and holds what net says, or ErrUnexpected, or the context's cause.
func Dial(ctx context.Context, config Config) (*Conn, error) {
	if config.Window <= 0 {
		config.Window = DefaultWindow
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	c, err := connect(ctx, config)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: connect: %w", config.Address, bare(err))
	}
	if err := c.greetWithin(ctx); err != nil {
		c.Close()
		if config.Protocol == Auto && errors.Is(err, errNotMeta) {
			// Who does not know "mn" has hung up or may be about to: begin afresh.
			config.Protocol = Text
			return Dial(ctx, config)
		}
		return nil, fmt.Errorf("%s: %w", config.Address, err)
	}
	return c, nil
}

// connect makes the connection of a config that has its defaults.
func connect(ctx context.Context, config Config) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	network := "tcp"
	if strings.Contains(config.Address, "/") {
		network = "unix"
	}
	dial := config.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, config.Address)
	if err != nil {
		return nil, err
	}
	raw := &patient{Conn: conn, timeout: config.Timeout, born: time.Now()}
	var stream net.Conn = raw
	if config.TLS != nil {
		if stream, err = Secure(ctx, raw, config.TLS, config.Address); err != nil {
			return nil, err
		}
	}
	return newConn(config, raw, stream), nil
}

// Secure speaks TLS on a connection to address, whose host is verified unless config has
// a ServerName. If it fails, the connection is closed.
func Secure(ctx context.Context, conn net.Conn, config *tls.Config, address string) (net.Conn, error) {
	secure := tls.Client(conn, verifying(config, address))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one that tells
		return nil, fmt.Errorf("TLS handshake: %w", bare(err))
	}
	return secure, nil
}

// verifying is config with a name to verify: that of address, unless it has one.
func verifying(config *tls.Config, address string) *tls.Config {
	if config.ServerName != "" || config.InsecureSkipVerify {
		return config
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return config // a Unix socket: the handshake says that a name is missing
	}
	config = config.Clone()
	config.ServerName = host
	return config
}

// errNotMeta is in greet's error when the peer is a cache and only the meta
// protocol is what it does not know.
var errNotMeta = errors.New("the peer does not speak the meta protocol: set protocol to text or auto")

// greetWithin is greet within the Timeout and the context. The read deadline that
// it sets stands until extend moves it.
func (c *Conn) greetWithin(ctx context.Context) error {
	if err := c.stream.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return bare(err)
	}
	stop := context.AfterFunc(ctx, c.Close)
	err := c.greet()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// greet asks a fresh connection's peer for its version and, unless Text is to be
// spoken, whether it knows the meta protocol, which makes Auto Meta. The version
// comes first, so that a peer that turns everybody away ("ERROR Too many open
// connections", or a reset) is not taken for one that only does not know "mn"; and
// by itself, since a peer that hangs up on the second of two commands may take the
// answer to the first with it.
func (c *Conn) greet() error {
	version, err := c.ask(mcproto.CommandVersion, mcproto.Version)
	if err != nil {
		return fmt.Errorf("%w; is it a cache that lets this host in?", err)
	}
	c.version = string(version[:min(len(version), maxMessage)])
	if c.protocol == Text {
		return nil
	}
	_, err = c.ask(mcproto.CommandNoOp, mcproto.NoOp)
	switch {
	case err == nil:
		c.protocol = Meta
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
		return err
	}
	// It said something else, or hung up.
	return fmt.Errorf("%w; %w", err, errNotMeta)
}

// ask writes a command and reads its answer, within the deadline that is set. The
// answer must be of the kind want; its text is good until the next read.
func (c *Conn) ask(command string, want mcproto.Kind) ([]byte, error) {
	name := strings.TrimSuffix(command, "\r\n")
	if _, err := c.stream.Write([]byte(command)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, bare(err))
	}
	for {
		answer, n, err := mcproto.ParseAnswer(c.buf[c.r:c.w])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if n > 0 && answer.Kind != want {
			return nil, unexpected(name, want.String(), c.buf[c.r:c.w])
		}
		c.r += n
		if n > 0 {
			return answer.Text, nil
		}
		n, err = c.stream.Read(c.buf[c.w:])
		c.w += n
		if n == 0 && err != nil {
			return nil, fmt.Errorf("%s: %w", name, bare(err))
		}
	}
}
