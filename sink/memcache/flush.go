package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

// flushAgain is when a flush is repeated: under concurrent gets some items can
// survive the first.
const flushAgain = 2 * time.Second

// Flush empties cache servers with flush_all, and once more two seconds later, over
// TLS if that is not nil. It is for servers, not for routers: memcached's proxy closes the connection at it
// and flushes nothing. It returns nil once every server has said OK twice; a server
// that cannot be reached or says something else is an error that names it.
func Flush(ctx context.Context, servers []string, timeout time.Duration, secure *tls.Config) error {
	for again := range 2 {
		if again > 0 {
			t := time.NewTimer(flushAgain)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return context.Cause(ctx)
			}
		}
		var all errgroup.Group
		for _, server := range servers {
			all.Go(func() error {
				if err := flush(ctx, server, timeout, secure); err != nil {
					return fmt.Errorf("flush_all at %s: %w", server, err)
				}
				return nil
			})
		}
		if err := all.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func flush(ctx context.Context, server string, timeout time.Duration, secure *tls.Config) (err error) {
	answer, err := ask(ctx, server, timeout, secure, mcproto.CommandFlushAll)
	if err != nil {
		return err
	}
	if answer[0].Kind != mcproto.OK {
		return fmt.Errorf("expected OK, it said %q", answer[0].Text)
	}
	return nil
}

// ask sends commands on a connection of its own and reads an answer to each.
func ask(ctx context.Context, server string, timeout time.Duration, secure *tls.Config, commands ...string) (answers []answer, err error) {
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	network := "tcp"
	if strings.Contains(server, "/") {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		if conn, err = mcconn.Secure(ctx, conn, secure, server); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 0, 4096)
	for _, command := range commands {
		if _, err := conn.Write([]byte(command)); err != nil {
			return answers, err
		}
		for {
			a, n, err := mcproto.ParseAnswer(buf)
			if err != nil {
				return answers, err
			}
			if n > 0 {
				answers = append(answers, answer{Kind: a.Kind, Text: string(buf[:n])})
				buf = append(buf[:0], buf[n:]...)
				break
			}
			if len(buf) == cap(buf) {
				return answers, errors.New("an answer that does not end")
			}
			m, err := conn.Read(buf[len(buf):cap(buf)])
			if err != nil {
				return answers, err
			}
			buf = buf[:len(buf)+m]
		}
	}
	return answers, nil
}

// answer is one line, kept.
type answer struct {
	Kind mcproto.Kind
	Text string
}
