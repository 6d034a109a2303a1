package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

// tailCommand makes this program the bare tailer.
const tailCommand = "tail"

// startTailer starts the bare tailer as a process of its own, as mcsqueal is one.
func startTailer(ctx context.Context, from place, cache string) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return start(ctx, nil, self, tailCommand, from.addr, strconv.FormatBool(from.maria), from.file, strconv.FormatUint(uint64(from.offset), 10), cache)
}

// tail is the bare tailer: it reads a server's log and sends a delete for each
// statement that names a key, at once, and does nothing else: no checksums, no SQL,
// no position, no waiting until the commit can be read. It runs until the context
// ends.
func tail(ctx context.Context, args []string) error {
	const wanted = 5
	if len(args) != wanted {
		return fmt.Errorf("%s: %d arguments, expected %d", tailCommand, len(args), wanted)
	}
	maria, err := strconv.ParseBool(args[1])
	if err != nil {
		return fmt.Errorf("%s: %w", tailCommand, err)
	}
	offset, err := strconv.ParseUint(args[3], 10, 32)
	if err != nil {
		return fmt.Errorf("%s: %w", tailCommand, err)
	}
	dump, err := openDump(ctx, place{args[0], maria, args[2], uint32(offset)}, 74, false)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[4])
	if err != nil {
		return errors.Join(err, dump.close())
	}
	stop := context.AfterFunc(ctx, func() { _ = dump.close() }) // ends the reading below
	defer stop()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(io.Discard, conn) // a connection that breaks is found by writing, too
	}()
	err = tailInto(dump, conn)
	if ctx.Err() != nil {
		err = nil // it was told to end
	}
	_ = conn.Close() // ends the goroutine
	<-answered
	return err
}

func tailInto(dump *dumpReader, conn net.Conn) error {
	const (
		typeAt       = 4
		headerSize   = 19
		rowsQuery    = 29
		annotateRows = 160
	)
	var command []byte
	for {
		event, err := dump.next()
		if err != nil {
			return err
		}
		if kind := event[typeAt]; kind != rowsQuery && kind != annotateRows {
			continue
		}
		_, key, found := bytes.Cut(event[headerSize:], []byte("mc: "))
		if !found {
			continue
		}
		key, _, _ = bytes.Cut(key, []byte(" "))
		command = append(command[:0], "md "...)
		command = append(command, key...)
		command = append(command, "\r\n"...)
		if _, err := conn.Write(command); err != nil {
			return err
		}
	}
}
