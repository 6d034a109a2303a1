package mcproto

import (
	"bytes"
	"fmt"
	"strconv"
)

// MaxLine is the greatest length of an answer's line that is waited for, in bytes,
// its end included. What memcached and its routers say to the commands of this
// package stays far below it.
const MaxLine = 2048

// ErrLine is what [ParseAnswer] returns when a peer sends [MaxLine] bytes without
// ending its line: it is no cache, or no friend.
var ErrLine = fmt.Errorf("an answer's line of more than %d bytes", MaxLine)

// Kind is what an answer says. The zero value says nothing: no answer has it.
type Kind uint8

// What a peer may answer to the commands of this package.
const (
	// Deleted: the key was there and the command was carried out.
	// "HD" (meta), "DELETED" (text).
	Deleted Kind = iota + 1
	// NotFound: the key was not there. "NF" (meta), "NOT_FOUND" (text).
	NotFound
	// NoOp: everything before the "mn" has been answered. "MN".
	NoOp
	// OK: done. "OK".
	OK
	// Version: the peer's version is the Text. "VERSION 1.6.45".
	Version
	// Error: the peer does not know the command. "ERROR", the Text mostly empty.
	// memcached also greets so whom it turns away ("ERROR Too many open
	// connections").
	Error
	// ClientError: the peer knows the command and will never take this one; the
	// Text says why. "CLIENT_ERROR bad command line format".
	ClientError
	// ServerError: the peer cannot carry out the command now; the Text says why.
	// "SERVER_ERROR out of memory", a proxy's "SERVER_ERROR backend failure".
	ServerError
	// Unexpected: a line that is none of the above; the Text is all of it.
	Unexpected
)

var kindNames = [...]string{"no answer", "deleted", "not found", "MN", "OK", "VERSION", "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "unexpected answer"}

// String is the kind's name for people.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Answer is one line a peer sent. The zero value is none.
type Answer struct {
	Kind Kind
	// Text is what the line says beyond its kind, without the line's end: the
	// version, why something was refused, or the whole line if it is Unexpected.
	// It lies in the parsed bytes and lives as long as they do.
	Text []byte
}

// ParseAnswer takes the answer that b starts with and says how many bytes it took.
// While the line's end is not there yet it takes none: n is 0, the Answer is zero,
// and the same bytes are to be given again with more behind them. The error is
// [ErrLine] or nil.
//
// Lines end in "\r\n"; one that ends in a bare "\n" is [Unexpected].
func ParseAnswer(b []byte) (a Answer, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), MaxLine)], '\n')
	if end < 0 {
		if len(b) >= MaxLine {
			return Answer{}, 0, ErrLine
		}
		return Answer{}, 0, nil
	}
	line := b[:end]
	if end == 0 || line[end-1] != '\r' {
		return Answer{Unexpected, line}, end + 1, nil
	}
	return parseLine(line[:end-1]), end + 1, nil
}

// parseLine is the answer of a line without its end.
func parseLine(line []byte) Answer {
	word, text := line, line[len(line):]
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		word, text = line[:i], line[i+1:]
		switch string(word) {
		case "VERSION":
			return Answer{Version, text}
		case "ERROR":
			return Answer{Error, text}
		case "CLIENT_ERROR":
			return Answer{ClientError, text}
		case "SERVER_ERROR":
			return Answer{ServerError, text}
		}
		return Answer{Unexpected, line}
	}
	switch string(word) {
	case "HD", "DELETED":
		return Answer{Deleted, text}
	case "NF", "NOT_FOUND":
		return Answer{NotFound, text}
	case "MN":
		return Answer{NoOp, text}
	case "OK":
		return Answer{OK, text}
	case "ERROR":
		return Answer{Error, text}
	case "CLIENT_ERROR": // said without a reason by some routers
		return Answer{ClientError, text}
	case "SERVER_ERROR":
		return Answer{ServerError, text}
	}
	return Answer{Unexpected, line}
}
