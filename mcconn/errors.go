package mcconn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
)

// ErrUnexpected is in the error of a connection that ended because the peer sent
// something that is no answer to what it was sent, or that nobody had asked for.
// Such a peer is something else than its address was taken for, or out of step;
// the error's text says what to set, where that may be it.
var ErrUnexpected = errors.New("unexpected answer")

// unexpectedError is a line that does not answer the command it stands beside.
type unexpectedError struct {
	place string // what was awaited: a command or a place in a batch
	want  string
	got   string // the line's first 100 bytes at most
	hint  string // what it may mean, if anything
}

// unexpected is the error of the line that p starts with, or what there is of it.
func unexpected(place, want string, p []byte) *unexpectedError {
	p, _, _ = bytes.Cut(p[:min(len(p), 100)], []byte{'\n'})
	return &unexpectedError{place: place, want: want, got: string(bytes.TrimSuffix(p, []byte{'\r'}))}
}

func (e *unexpectedError) Error() string {
	s := fmt.Sprintf("%s: expected %s, got %q", e.place, e.want, e.got)
	if e.hint != "" {
		s += "; " + e.hint
	}
	return s
}

func (e *unexpectedError) Is(target error) bool { return target == ErrUnexpected }

// bare is err without the addresses and the system call that package net puts in front of
// it: every error here begins with the configured one, and says what was being done.
func bare(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok && call.Err != nil {
		return call.Err
	}
	return err
}
