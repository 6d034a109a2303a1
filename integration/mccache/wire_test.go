package mccache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// wire is a client's connection: commands out, lines and data in.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

// connect opens a connection on which nothing may take longer than patience lasts.
func connect(ctx context.Context, addr string) (*wire, error) {
	return endpoint{addr: addr}.connect(ctx)
}

func (e endpoint) connect(ctx context.Context) (*wire, error) {
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &wire{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (w *wire) close() error { return w.conn.Close() }

// send writes a command, or several.
func (w *wire) send(format string, args ...any) error {
	if err := w.conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w.conn, format, args...)
	return err
}

// line reads a line without its end.
func (w *wire) line() (string, error) {
	s, err := w.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(s, "\r\n")
	if !ok {
		return "", fmt.Errorf("a line without a carriage return: %q", harness.Clip(s))
	}
	return line, nil
}

// data reads a value of so many bytes and the end of line behind it.
func (w *wire) data(size string) (string, error) {
	n, err := strconv.Atoi(size)
	if err != nil {
		return "", fmt.Errorf("a value's size: %w", err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(w.in, b); err != nil {
		return "", fmt.Errorf("a value of %d bytes: %w", n, err)
	}
	if string(b[n:]) != "\r\n" {
		return "", fmt.Errorf("behind a value of %d bytes is %q", n, b[n:])
	}
	return string(b[:n]), nil
}

// ask sends a command and reads the line that answers it.
func (w *wire) ask(format string, args ...any) (string, error) {
	if err := w.send(format, args...); err != nil {
		return "", err
	}
	return w.line()
}

// value is what a get finds.
type value struct{ key, data string }

// values reads the answer to a get: values, and END.
func (w *wire) values() ([]value, error) {
	var all []value
	for {
		line, err := w.line()
		if err != nil || line == "END" {
			return all, err
		}
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != "VALUE" {
			return all, fmt.Errorf("in the answer to a get: %q", harness.Clip(line))
		}
		data, err := w.data(f[3])
		if err != nil {
			return all, err
		}
		all = append(all, value{f[1], data})
	}
}

// get asks for one key.
func (w *wire) get(key string) (data string, found bool, err error) {
	if err := w.send("get %s\r\n", key); err != nil {
		return "", false, err
	}
	all, err := w.values()
	if err != nil || len(all) == 0 {
		return "", false, err
	}
	return all[0].data, true, nil
}

// set stores a value; what else than STORED comes is an error.
func (w *wire) set(key, data string) error {
	line, err := w.ask("set %s 0 0 %d\r\n%s\r\n", key, len(data), data)
	if err == nil && line != "STORED" {
		err = fmt.Errorf("set %s: %q", key, harness.Clip(line))
	}
	return err
}
