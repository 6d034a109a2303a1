package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// blaster pipelines deletes into a cache as fast as a connection takes them: it has
// all of them ready, writes them without looking, and counts the answers' lines.
type blaster struct {
	commands []byte
	keys     int
}

func newBlaster(keys int) *blaster {
	b := &blaster{keys: keys}
	for i := range keys {
		b.commands = fmt.Appendf(b.commands, "md "+keyFormat+"\r\n", i)
	}
	return b
}

// blast tells how long it took until the last answer.
func (b *blaster) blast(ctx context.Context, addr string) (_ time.Duration, err error) {
	began := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("blaster: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the reading below
	defer stop()
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(b.commands)
		written <- err
	}()
	buf := make([]byte, 256<<10)
	for lines := 0; lines < b.keys; {
		n, err := conn.Read(buf)
		if err != nil {
			err = fmt.Errorf("blaster: after %d of %d answers: %w", lines, b.keys, err)
			return 0, errors.Join(err, conn.Close(), <-written)
		}
		lines += bytes.Count(buf[:n], []byte("\n"))
	}
	took := time.Since(began)
	if err := errors.Join(<-written, conn.Close()); err != nil {
		return 0, fmt.Errorf("blaster: %w", err)
	}
	return took, nil
}
