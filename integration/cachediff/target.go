package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds every exchange with a server. One that does not answer within it
// hangs.
const patience = time.Minute

// A target is one of the two servers that are compared. It belongs to one goroutine
// at a time.
type target struct {
	name string
	addr string

	control net.Conn
	reader  *bufio.Reader
	own     map[string]int // what this program's own commands added to counters

	// clock is the second in which the item behind now expires.
	clock int64
}

// reach connects to a server.
func reach(ctx context.Context, name, addr string) (*target, error) {
	t := &target{name: name, addr: addr, own: make(map[string]int), clock: time.Now().Add(1000 * time.Hour).Unix()}
	var err error
	if t.control, err = t.dial(ctx); err != nil {
		return nil, err
	}
	t.reader = bufio.NewReader(t.control)
	return t, nil
}

func (t *target) close() error { return t.control.Close() }

func (t *target) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.name, err)
	}
	return conn, nil
}

// ask sends a command and returns the first line of the answer.
func (t *target) ask(text string) (string, error) {
	if err := t.control.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(t.control, text); err != nil {
		return "", fmt.Errorf("ask %s for %s: %w", t.name, command(text), err)
	}
	return t.line(text)
}

func (t *target) line(text string) (string, error) {
	line, err := t.reader.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("ask %s for %s: %w", t.name, command(text), err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// about returns what me says of a key, as name=value; nil if there is no such item. It
// leaves no trace but in cmd_meta.
func (t *target) about(key string) (map[string]string, error) {
	t.own["cmd_meta"]++
	line, err := t.ask("me " + key + "\r\n")
	if err != nil || line == "EN" {
		return nil, err
	}
	fields := strings.Fields(line)
	if fields[0] != "ME" {
		return nil, fmt.Errorf("ask %s about %q: it says %q", t.name, key, line)
	}
	about := make(map[string]string)
	for _, f := range fields[2:] {
		name, value, _ := strings.Cut(f, "=")
		about[name] = value
	}
	return about, nil
}

// id returns the CAS id of a key; 1, which no item has, if there is none.
func (t *target) id(key string) (uint64, error) {
	about, err := t.about(key)
	if err != nil || about == nil {
		return 1, err
	}
	id, err := strconv.ParseUint(about["cas"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ask %s about %q: cas: %w", t.name, key, err)
	}
	return id, nil
}

// errClockless: the server drops at once what is stored. memcached does so in the last
// second before a delayed flush_all is due.
var errClockless = errors.New("it drops what is stored")

// now reads the server's clock, in whole seconds: that which makes items expire.
func (t *target) now() (int64, error) {
	const key = "cachediff:clock"
	for range 2 {
		about, err := t.about(key)
		if err != nil {
			return 0, err
		}
		if about != nil {
			left, err := strconv.ParseInt(about["exp"], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("ask %s for the time: %w", t.name, err)
			}
			return t.clock - left, nil
		}
		line, err := t.ask(fmt.Sprintf("ms %s 0 T%d\r\n\r\n", key, t.clock))
		if err != nil {
			return 0, err
		}
		if line != "HD" {
			return 0, fmt.Errorf("put a clock into %s: it says %q", t.name, line)
		}
		t.own["cmd_set"]++
		t.own["total_items"]++
	}
	return 0, fmt.Errorf("read the clock of %s: %w", t.name, errClockless)
}

// time is now, once there is one.
func (t *target) time(ctx context.Context) (int64, error) {
	for {
		now, err := t.now()
		if !errors.Is(err, errClockless) {
			return now, err
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// tick waits until the clock moves, and says when that was seen.
func (t *target) tick(ctx context.Context) (time.Time, error) {
	before, err := t.time(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		now, err := t.time(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if now != before {
			return time.Now(), nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, fmt.Errorf("the clock of %s has stood still for %v", t.name, patience)
}

// counters returns the general statistics, and their names in order.
func (t *target) counters(sub string) (map[string]string, []string, error) {
	text := strings.TrimRight("stats "+sub, " ") + "\r\n"
	values := make(map[string]string)
	var names []string
	line, err := t.ask(text)
	for ; err == nil && line != "END"; line, err = t.line(text) {
		fields := strings.SplitN(line, " ", 3)
		if fields[0] != "STAT" || len(fields) < 2 {
			return nil, nil, fmt.Errorf("ask %s for %s: it says %q", t.name, command(text), line)
		}
		fields = append(fields, "")
		values[fields[1]] = fields[2]
		names = append(names, fields[1])
	}
	return values, names, err
}

// send sends bytes on a connection of their own, in the pieces that the cut says,
// half-closes it, and returns everything the server says until it closes too. A
// connection that the server breaks off is one that it has closed.
func (t *target) send(ctx context.Context, text []byte, c cut, cuts uint64) ([]byte, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func() {
		err := pieces(ctx, conn, text, c, cuts)
		if half, ok := conn.(*net.TCPConn); ok && err == nil {
			err = half.CloseWrite()
		}
		written <- err
	}()
	if c == unread {
		if err := pause(ctx, 3*time.Millisecond); err != nil {
			return nil, errors.Join(err, conn.Close(), <-written)
		}
	}
	answer, err := io.ReadAll(conn)
	if broken(err) {
		err = nil
	}
	if err != nil {
		// So that the writer ends, too.
		return answer, errors.Join(fmt.Errorf("%s does not end the connection: %w; so far it said %v", t.name, err, parse(answer)), conn.Close(), <-written)
	}
	if err := <-written; err != nil && !broken(err) {
		return answer, fmt.Errorf("write to %s: %w", t.name, err)
	}
	return answer, nil
}

// pieces writes a text.
func pieces(ctx context.Context, w io.Writer, text []byte, c cut, cuts uint64) error {
	random := rand.New(rand.NewPCG(cuts, 0))
	for len(text) > 0 {
		n := len(text)
		switch {
		case c == few:
			n = 1 + random.IntN(n)
		case c == crumbs && len(text) < 2000:
			n = min(n, 1+random.IntN(5))
		}
		if _, err := w.Write(text[:n]); err != nil {
			return err
		}
		if text = text[n:]; c == few && len(text) > 0 && random.IntN(2) == 0 {
			// Long enough, mostly, for the server to have taken the piece by itself.
			if err := pause(ctx, 200*time.Microsecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// broken tells whether the other side has closed before it had read everything.
func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
