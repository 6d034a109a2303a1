package preflight

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/mcconn"
)

// talk is a connection on which questions are asked that are no deletes.
type talk struct {
	conn    net.Conn
	answers *bufio.Reader
	stop    func() bool
}

// dial connects to a cache or router. The context bounds the connection's whole life.
func dial(ctx context.Context, address string, timeout time.Duration, secure *tls.Config) (*talk, error) {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		if conn, err = mcconn.Secure(ctx, conn, secure, address); err != nil {
			return nil, err
		}
	}
	t := &talk{conn: conn, answers: bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		_ = conn.Close() // it is of no use
		return nil, err
	}
	t.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return t, nil
}

func (t *talk) close() {
	t.stop()
	_ = t.conn.Close() // it has said what was asked
}

// most is how many lines an answer may have.
const most = 1000

// line asks for one line.
func (t *talk) line(command string) (string, error) {
	if _, err := t.conn.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	return t.next()
}

func (t *talk) next() (string, error) {
	line, err := t.answers.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// lines asks for lines that end with END, or with an error.
func (t *talk) lines(command string) ([]string, error) {
	line, err := t.line(command)
	var all []string
	for {
		switch {
		case err != nil:
			return nil, err
		case line == "END":
			return all, nil
		case line == "ERROR", strings.HasPrefix(line, "CLIENT_ERROR"), strings.HasPrefix(line, "SERVER_ERROR"):
			return all, fmt.Errorf("%s: it said %q", command, line)
		case len(all) == most:
			return nil, fmt.Errorf("%s: an answer that does not end", command)
		}
		all = append(all, line)
		line, err = t.next()
	}
}
