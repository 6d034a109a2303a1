package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
)

// aside is a look-aside client: it gets keys, many in a request, and sets those that
// were not there. It compares every value with what it must be.
type aside struct {
	*sized
	conn net.Conn
	in   *bufio.Reader
	out  []byte

	asked, hits   int
	refused, sets int
	missing       []uint32
}

func dialAside(ctx context.Context, addr string, s *sized) (*aside, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("open a connection: %w", err)
	}
	return &aside{sized: s, conn: conn, in: bufio.NewReaderSize(conn, 256<<10)}, nil
}

func (a *aside) close() error { return a.conn.Close() }

// key appends a key.
func (a *aside) key(key uint32) {
	a.out = append(a.out, keyPrefix+"00000000"...)
	putKey(a.out[len(a.out)-8:], key)
}

// get asks for keys, distinct ones, and notes those that are missing.
func (a *aside) get(keys []uint32) error {
	a.out = append(a.out[:0], "get"...)
	for _, k := range keys {
		a.out = append(a.out, ' ')
		a.key(k)
	}
	if _, err := a.conn.Write(append(a.out, newline...)); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	a.missing = a.missing[:0]
	next := 0 // the answers come in the order of the keys
	for {
		line, err := a.in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("get: %w", err)
		}
		if string(line) == endLine {
			break
		}
		text, ok := bytes.CutPrefix(line, []byte("VALUE "+keyPrefix))
		fields := bytes.Fields(text)
		if !ok || len(fields) != 3 {
			return fmt.Errorf("get: %w: %q", errWrong, clip(line))
		}
		key, err := strconv.ParseUint(string(fields[0]), 16, 32)
		if err != nil {
			return fmt.Errorf("get: %w: %q", errWrong, clip(line))
		}
		size, err := strconv.Atoi(string(fields[2]))
		if want := a.size(uint32(key)); err != nil || size != want {
			return fmt.Errorf("get: %w: %q, want %d bytes", errWrong, clip(line), want)
		}
		for next < len(keys) && keys[next] != uint32(key) {
			a.missing = append(a.missing, keys[next])
			next++
		}
		if next == len(keys) {
			return fmt.Errorf("get: %w: %08x was not asked, or came twice", errWrong, key)
		}
		next++
		if err := a.same(a.value(uint32(key))); err != nil {
			return fmt.Errorf("get %08x: %w", key, err)
		}
	}
	a.missing = append(a.missing, keys[next:]...)
	a.asked += len(keys)
	a.hits += len(keys) - len(a.missing)
	return nil
}

// same reads a value and compares it.
func (a *aside) same(want []byte) error {
	for len(want) > 0 {
		b, err := a.in.Peek(min(len(want), a.in.Size()))
		if err != nil {
			return err
		}
		if !bytes.Equal(b, want[:len(b)]) {
			return fmt.Errorf("%w: another value: %q", errWrong, clip(b))
		}
		want = want[len(b):]
		if _, err := a.in.Discard(len(b)); err != nil {
			return err
		}
	}
	var end [2]byte
	if _, err := a.in.Read(end[:1]); err != nil {
		return err
	}
	if _, err := a.in.Read(end[1:]); err != nil {
		return err
	}
	if string(end[:]) != newline {
		return fmt.Errorf("%w: behind the value is %q", errWrong, end)
	}
	return nil
}

// set stores keys, pipelined. A server that has no memory for one refuses it.
func (a *aside) set(keys []uint32) error {
	const most = 64 << 10 // on the way at once: nobody waits for the other with full buffers
	for len(keys) > 0 {
		a.out = a.out[:0]
		n := 0
		for n < len(keys) && (n == 0 || len(a.out) < most) {
			v := a.value(keys[n])
			a.out = append(a.out, "set "...)
			a.key(keys[n])
			a.out = append(a.out, " 0 0 "...)
			a.out = strconv.AppendInt(a.out, int64(len(v)), 10)
			a.out = append(a.out, newline...)
			a.out = append(a.out, v...)
			a.out = append(a.out, newline...)
			n++
		}
		if _, err := a.conn.Write(a.out); err != nil {
			return fmt.Errorf("set: %w", err)
		}
		for range n {
			line, err := a.in.ReadSlice('\n')
			switch {
			case err != nil:
				return fmt.Errorf("set: %w", err)
			case bytes.HasPrefix(line, []byte("SERVER_ERROR out of memory")):
				a.refused++
			case string(line) != "STORED\r\n":
				return fmt.Errorf("set: %w: %q", errWrong, clip(line))
			}
		}
		a.sets += n
		keys = keys[n:]
	}
	return nil
}

// read gets keys and sets what is missing, as an application would.
func (a *aside) read(keys []uint32) error {
	if err := a.get(keys); err != nil {
		return err
	}
	return a.set(a.missing)
}
