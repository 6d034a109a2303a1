package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// verb is what an exchange asks for.
type verb uint8

const (
	verbGet     verb = iota // gets of keys that are there, each a command
	verbGetMany             // one get of many keys that are there
	verbSet
	verbDelete // of keys that are there
	verbMiss   // deletes of keys that are not there
)

func (v verb) String() string {
	return [...]string{"get", "get of many keys", "set", "delete", "delete of a missing key"}[v]
}

// maxBatch is the most keys in one exchange.
const maxBatch = 100

// exchange is a request, written at once, and its answers. It is the state of a
// connection: what was asked, and how much of the answers has come and was right.
type exchange struct {
	verb verb
	n    int // keys
	keys [maxBatch]uint32
	sent int // bytes of the request that are written
	at   int // the answer that comes next
	off  int // bytes of it that have come
}

// done says whether all answers have come.
func (x *exchange) done() bool { return x.at == x.n }

// dialect builds requests and knows their answers. Everything but the digits of a key
// and the windows of values is prepared; building and comparing allocate nothing.
type dialect struct {
	items *items
	flags byte // of values that are set, one digit
	// exact: values must have these flags. Otherwise any digit is right, since a key
	// may or may not have been set by the present run.
	exact bool

	get, many, set, del, miss []byte // commands for one key, without the value
	value                     []byte // the line before a value
	out                       []byte
	pieces                    [3]unix.Iovec
}

const (
	endLine = "END\r\n"
	newline = "\r\n"
	// copied is the size up to which a value is copied behind its command, which is
	// cheaper than handing over three pieces.
	copied = 4096
)

func newDialect(t *items) *dialect {
	key := keyPrefix + "00000000"
	size := strconv.Itoa(t.size)
	d := &dialect{
		items: t,
		flags: '0',
		get:   []byte("get " + key + newline),
		many:  []byte(" " + key),
		set:   []byte("set " + key + " 0 0 " + size + newline),
		del:   []byte("delete " + key + newline),
		miss:  []byte("delete " + missingPrefix + "00000000" + newline),
		value: []byte("VALUE " + key + " 0 " + size + newline),
	}
	d.out = make([]byte, 0, maxBatch*(len(d.set)+copied+len(newline)))
	return d
}

// request builds the request in d.out; whole is false when the value of a single set
// is to be written from where it lies, by [dialect.writev].
func (d *dialect) request(x *exchange) (whole bool) {
	d.out = d.out[:0]
	switch x.verb {
	case verbGet:
		for _, k := range x.keys[:x.n] {
			d.put(d.get, len("get "), k)
		}
	case verbGetMany:
		d.out = append(d.out, "get"...)
		for _, k := range x.keys[:x.n] {
			d.put(d.many, len(" "), k)
		}
		d.out = append(d.out, newline...)
	case verbSet:
		for _, k := range x.keys[:x.n] {
			flags := len(d.out) + len("set ") + keyLen + 1
			d.put(d.set, len("set "), k)
			d.out[flags] = d.flags
			if d.items.size > copied {
				return false
			}
			d.out = append(d.out, d.items.value(k)...)
			d.out = append(d.out, newline...)
		}
	case verbDelete:
		for _, k := range x.keys[:x.n] {
			d.put(d.del, len("delete "), k)
		}
	case verbMiss:
		for _, k := range x.keys[:x.n] {
			d.put(d.miss, len("delete "), k)
		}
	}
	return true
}

// put appends a command with a key's number in it; the key begins at an offset.
func (d *dialect) put(command []byte, at int, key uint32) {
	from := len(d.out)
	d.out = append(d.out, command...)
	putKey(d.out[from+at+len(keyPrefix):], key)
}

// write writes what is left of the request, or as much as the socket takes. all is
// true once all of it is written.
func (d *dialect) write(fd int, x *exchange) (all bool, err error) {
	if !d.request(x) {
		return d.writev(fd, x)
	}
	n, err := rawWrite(fd, d.out[x.sent:])
	x.sent += n
	return x.sent == len(d.out), err
}

var newlineBytes = []byte(newline)

// writev is write for one large set, whose command is in d.out.
func (d *dialect) writev(fd int, x *exchange) (all bool, err error) {
	left, skip := d.pieces[:0], x.sent
	total := 0
	for _, p := range [3][]byte{d.out, d.items.value(x.keys[0]), newlineBytes} {
		total += len(p)
		if skip < len(p) {
			left = append(left, piece(p[skip:]))
		}
		skip = max(0, skip-len(p))
	}
	n, err := rawWritev(fd, left)
	x.sent += n
	return x.sent == total, err
}

var (
	storedLine  = []byte("STORED\r\n")
	deletedLine = []byte("DELETED\r\n")
	missedLine  = []byte("NOT_FOUND\r\n")
	valueEnd    = []byte("\r\n")
	getEnd      = []byte("\r\n" + endLine)
)

// take compares what has come with what must come next.
func (d *dialect) take(x *exchange, b []byte) error {
	for len(b) > 0 {
		if x.done() {
			return fmt.Errorf("after the answer to %s of %d came another %q", x.verb, x.n, clip(b))
		}
		var length int
		var line []byte
		switch x.verb {
		case verbGet:
			length, line = len(d.value)+d.items.size+len(getEnd), getEnd
		case verbGetMany:
			length, line = len(d.value)+d.items.size+len(valueEnd), valueEnd
			if x.at == x.n-1 {
				length, line = len(d.value)+d.items.size+len(getEnd), getEnd
			}
		case verbSet:
			length, line = len(storedLine), storedLine
		case verbDelete:
			length, line = len(deletedLine), deletedLine
		case verbMiss:
			length, line = len(missedLine), missedLine
		}
		n := min(len(b), length-x.off)
		if x.verb <= verbGetMany {
			if !d.sameValue(x, b[:n], line) {
				return d.mismatch(x, b)
			}
		} else if string(b[:n]) != string(line[x.off:x.off+n]) {
			return d.mismatch(x, b)
		}
		b = b[n:]
		if x.off += n; x.off == length {
			x.at++
			x.off = 0
		}
	}
	return nil
}

// sameValue compares part of the answer to a get, from x.off on: the line before the
// value, the value, and what comes behind it.
func (d *dialect) sameValue(x *exchange, b, end []byte) bool {
	key, off := x.keys[x.at], x.off
	const flags = len("VALUE ") + keyLen + 1
	if off < len(d.value) {
		n := min(len(b), len(d.value)-off)
		putKey(d.value[len("VALUE ")+len(keyPrefix):], key)
		d.value[flags] = d.flags
		if i := flags - off; !d.exact && i >= 0 && i < n && b[i] >= '0' && b[i] <= '9' {
			d.value[flags] = b[i]
		}
		if string(b[:n]) != string(d.value[off:off+n]) {
			return false
		}
		b, off = b[n:], off+n
	}
	if len(b) == 0 {
		return true
	}
	off -= len(d.value)
	if off < d.items.size {
		n := min(len(b), d.items.size-off)
		if string(b[:n]) != string(d.items.value(key)[off:off+n]) {
			return false
		}
		b, off = b[n:], off+n
	}
	if len(b) == 0 {
		return true
	}
	off -= d.items.size
	return string(b) == string(end[off:off+len(b)])
}

// errWrong: an answer is not what it must be.
var errWrong = errors.New("wrong answer")

func (d *dialect) mismatch(x *exchange, b []byte) error {
	prefix := keyPrefix
	if x.verb == verbMiss {
		prefix = missingPrefix
	}
	return fmt.Errorf("%w to %s %s%08x (%d of %d in the request), from byte %d: %q",
		errWrong, x.verb, prefix, x.keys[x.at], x.at+1, x.n, x.off, clip(b))
}

// clip is the beginning of what is too long to print.
func clip(b []byte) []byte {
	const most = 120
	return b[:min(len(b), most)]
}

// frameLen is the length of the header of a datagram: the request's number, the
// datagram's number and how many there are, and nothing.
const frameLen = 8

func putFrame(b []byte, id uint16) {
	binary.BigEndian.PutUint16(b, id)
	copy(b[2:frameLen], "\x00\x00\x00\x01\x00\x00")
}
