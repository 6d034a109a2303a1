package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// cache is as little of a memcached as a delete needs: it says when each one came
// and answers that the key was there. What it does is cheap, so that what is in
// front of it is measured.
type cache struct {
	listener net.Listener
	// heard is told of the deletes that one read brought, by their keys, and when it
	// returned. It is called by one goroutine for each connection.
	heard func(now time.Time, keys [][]byte)
	conns sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // guarded by mu; nil once closed
	err  error                 // guarded by mu: the first thing that went wrong
}

// startCache listens on a free port. The caller closes it.
func startCache(ctx context.Context, heard func(now time.Time, keys [][]byte)) (*cache, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a cache: %w", err)
	}
	c := &cache{listener: l, heard: heard, open: make(map[net.Conn]struct{})}
	c.conns.Go(c.accept)
	return c, nil
}

func (c *cache) addr() string { return c.listener.Addr().String() }

func (c *cache) port() int {
	if a, ok := c.listener.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// close ends all connections and tells what went wrong on any.
func (c *cache) close() error {
	err := c.listener.Close()
	c.mu.Lock()
	for conn := range c.open {
		_ = conn.Close() // ends its goroutine
	}
	c.open = nil
	c.mu.Unlock()
	c.conns.Wait()
	return errors.Join(err, c.err)
}

func (c *cache) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		c.mu.Lock()
		if c.open == nil {
			_ = conn.Close()
		} else {
			c.open[conn] = struct{}{}
			c.conns.Go(func() { c.serve(conn) })
		}
		c.mu.Unlock()
	}
}

func (c *cache) serve(conn net.Conn) {
	err := c.answer(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.open != nil && c.err == nil {
		c.err = fmt.Errorf("cache: %w", err)
	}
	delete(c.open, conn)
	_ = conn.Close() // whoever was there has gone; what went wrong is known by now
}

// answer reads commands and answers them until the connection ends.
func (c *cache) answer(conn net.Conn) error {
	buf := make([]byte, 256<<10)
	held := 0
	var keys [][]byte
	var answers []byte
	for {
		n, err := conn.Read(buf[held:])
		now := time.Now()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil // gone, perhaps without having read its last answers
		}
		if err != nil {
			return err
		}
		keys, answers = keys[:0], answers[:0]
		rest := buf[:held+n]
		for {
			line, behind, whole := bytes.Cut(rest, []byte("\r\n"))
			if !whole {
				break
			}
			rest = behind
			verb, key, _ := bytes.Cut(line, []byte(" "))
			switch string(verb) {
			case "md":
				answers = append(answers, "HD\r\n"...)
			case "delete":
				answers = append(answers, "DELETED\r\n"...)
			case "mn":
				answers = append(answers, "MN\r\n"...)
				continue
			case "version":
				answers = append(answers, "VERSION 1.6.0\r\n"...)
				continue
			default:
				return fmt.Errorf("it was asked %q", line)
			}
			keys = append(keys, key)
		}
		if len(keys) > 0 {
			c.heard(now, keys)
		}
		if _, err := conn.Write(answers); err != nil {
			return err
		}
		held = copy(buf, rest)
		if held == len(buf) {
			return errors.New("a line without an end")
		}
	}
}
