package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// link is a connection to a cache on which keys are set and looked for, many at a
// time. It goes to the cache itself, around whatever torments the daemon. After an
// error it connects anew with the next call. One goroutine may use it at a time.
type link struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

const (
	// linkPatience is how long a cache that is not known to be frozen may take.
	linkPatience = 3 * time.Second
	// atOnce is how many keys are in one request.
	atOnce = 100
)

// set stores a value under every key and gives how many of them, from the first on,
// the cache has confirmed. What the others are is not known if there is an error.
func (l *link) set(ctx context.Context, keys []string, value string) (stored int, err error) {
	err = l.with(ctx, func() error {
		var request bytes.Buffer
		for part := range parts(keys) {
			request.Reset()
			for _, key := range part {
				fmt.Fprintf(&request, "set %s 0 0 %d\r\n%s\r\n", key, len(value), value)
			}
			if _, err := l.conn.Write(request.Bytes()); err != nil {
				return err
			}
			for _, key := range part {
				answer, err := l.line()
				if err != nil {
					return err
				}
				if answer != "STORED" {
					return fmt.Errorf("set %s: the cache says %q", key, answer)
				}
				stored++
			}
		}
		return nil
	})
	return stored, err
}

// get gives the values of those of the keys that the cache has.
func (l *link) get(ctx context.Context, keys []string) (map[string]string, error) {
	values := make(map[string]string)
	err := l.with(ctx, func() error {
		for part := range parts(keys) {
			if _, err := l.conn.Write([]byte("get " + strings.Join(part, " ") + "\r\n")); err != nil {
				return err
			}
			for {
				head, err := l.line()
				if err != nil {
					return err
				}
				if head == "END" {
					break
				}
				var key string
				var flags, size int
				if _, err := fmt.Sscanf(head, "VALUE %s %d %d", &key, &flags, &size); err != nil {
					return fmt.Errorf("the cache says %q: %w", head, err)
				}
				value, err := l.line()
				if err != nil {
					return err
				}
				if len(value) != size {
					return fmt.Errorf("the cache gives %d bytes for %s instead of %d", len(value), key, size)
				}
				values[key] = value
			}
		}
		return nil
	})
	return values, err
}

// with does something on a connection that is there, within the time it may take.
func (l *link) with(ctx context.Context, do func() error) error {
	if l.conn == nil {
		conn, err := (&net.Dialer{Timeout: linkPatience}).DialContext(ctx, "tcp", l.addr)
		if err != nil {
			return err
		}
		l.conn, l.r = conn, bufio.NewReaderSize(conn, 64<<10)
	}
	err := l.conn.SetDeadline(time.Now().Add(linkPatience))
	if err == nil {
		err = do()
	}
	if err != nil {
		return errors.Join(err, l.close())
	}
	return nil
}

func (l *link) line() (string, error) {
	s, err := l.r.ReadString('\n')
	return strings.TrimSuffix(s, "\r\n"), err
}

func (l *link) close() error {
	if l.conn == nil {
		return nil
	}
	err := l.conn.Close()
	l.conn = nil
	return err
}

// parts cuts keys into what is asked for at once.
func parts(keys []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(keys) > 0 {
			n := min(atOnce, len(keys))
			if !yield(keys[:n]) {
				return
			}
			keys = keys[n:]
		}
	}
}
