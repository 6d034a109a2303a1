package binlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// CorruptError says where a log could not be read and what was expected there.
type CorruptError struct {
	File   string // as the reader knows it; may be empty
	Offset uint64 // of the event, or of what stands in an event's place
	What   string // what was expected and what was found
	Err    error  // the cause, if it is another's error
}

func (e *CorruptError) Error() string {
	name := e.File
	if name == "" {
		name = "the log"
	}
	s := fmt.Sprintf("%s, offset %d: %s", name, e.Offset, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CorruptError) Unwrap() error { return e.Err }

const (
	// bufferSize holds some thousand small events or one of the usual large ones,
	// and stays in a core's cache.
	bufferSize = 256 << 10
	// skimmed is how much of an event that is walked over is kept for its head.
	skimmed = 256
	// hugeBuffer is given back once the event that needed it is done with.
	hugeBuffer = 4 << 20
)

// The first four bytes of a log file: in the clear, and encrypted by MySQL
// (binlog_encryption).
var (
	magic          = []byte{0xfe, 'b', 'i', 'n'}
	magicEncrypted = []byte{0xfd, 'b', 'i', 'n'}
)

// magicWord is magic where an event's timestamp stands.
const magicWord = uint32(0xfe) | 'b'<<8 | 'i'<<16 | 'n'<<24

// buffer is the read side that files and connections share: one slice, filled
// from r, in which events stand contiguously.
type buffer struct {
	r      io.Reader
	buf    []byte
	lo, hi int
	// idle, if set, is called before a read that may block: all that has arrived
	// has been handed over.
	idle func() error
	// turn, if set, is called before a read too: it takes the buffer away, with the
	// events that stand in it, and gives another.
	turn func() ([]byte, error)
}

func newBuffer(r io.Reader) buffer {
	return buffer{r: r, buf: make([]byte, bufferSize)}
}

// need makes at least n bytes available. It fails with io.EOF only if there are
// none at all, with io.ErrUnexpectedEOF if there are fewer.
func (b *buffer) need(n int) error {
	if b.hi-b.lo >= n {
		return nil
	}
	return b.fill(n)
}

func (b *buffer) fill(n int) error {
	if b.turn == nil && len(b.buf) > hugeBuffer && n <= bufferSize && b.hi-b.lo <= bufferSize {
		// The huge event that needed it is done with.
		smaller := make([]byte, bufferSize)
		b.hi = copy(smaller, b.buf[b.lo:b.hi])
		b.lo, b.buf = 0, smaller
	}
	if err := b.turnNow(); err != nil {
		return err
	}
	for b.hi-b.lo < n {
		if b.lo > 0 {
			b.hi = copy(b.buf, b.buf[b.lo:b.hi])
			b.lo = 0
		}
		if b.hi == len(b.buf) {
			bigger := make([]byte, grown(len(b.buf), n))
			copy(bigger, b.buf)
			b.buf = bigger
		}
		if b.idle != nil {
			if err := b.idle(); err != nil {
				return err
			}
		}
		m, err := b.r.Read(b.buf[b.hi:])
		b.hi += m
		if err != nil && b.hi-b.lo < n {
			if errors.Is(err, io.EOF) && b.hi > b.lo {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// trusted is how many times what has come a size is believed to be true.
const trusted = 64

// grown is how large a buffer is to be that has become full on the way to n bytes.
// It is doubled at first: a size that lies cannot have memory which no bytes back. Once
// some of an event has come it is grown to the whole at once, for copies of an event
// that is a good part of the memory would be as large as it.
func grown(full, n int) int {
	if n/trusted <= full {
		return n
	}
	return min(n, 2*full)
}

// turnNow goes on in another buffer, if there is somebody who gives it.
func (b *buffer) turnNow() error {
	if b.turn == nil {
		return nil
	}
	fresh, err := b.turn()
	if err != nil {
		return err
	}
	for len(fresh) < b.hi-b.lo {
		fresh = make([]byte, b.hi-b.lo)
	}
	b.hi = copy(fresh, b.buf[b.lo:b.hi])
	b.lo, b.buf = 0, fresh
	return nil
}

// stream reads events that stand one behind the other, as in a log file or in a
// compressed transaction.
type stream struct {
	buffer
	name string // for errors
	// offset is where the next event starts.
	offset uint64
	format format
	// bare: no checksums, whatever the format says (compressed transactions).
	bare bool
	// skim tells whether an event larger than the buffer may be walked over: all
	// that is kept of it is its beginning.
	skim func(h header, head []byte) bool
	head [skimmed]byte
}

func (s *stream) corrupt(what string, err error) error {
	return &CorruptError{File: s.name, Offset: s.offset, What: what, Err: err}
}

// next reads one event into e. At the end of the input, between two events, it
// fails with io.EOF. This is the hot path of reading files: BenchmarkFiles in
// bench guards it.
func (s *stream) next(e *event) error {
	if s.hi-s.lo < headerSize {
		if err := s.fill(headerSize); err != nil {
			return s.readError(err, "an event's header of 19 bytes")
		}
	}
	h := parseHeader(s.buf[s.lo:])
	if h.timestamp == magicWord && s.anotherFile() {
		return s.next(e)
	}
	if h.size < headerSize || h.size > maxEventSize {
		return s.corrupt(fmt.Sprintf("expected an event's size between %d and %d, found %d", headerSize, maxEventSize, h.size), nil)
	}
	size := int(h.size)
	e.header = h
	e.start = s.offset
	e.end = s.offset + uint64(size)
	e.partial = false
	if s.hi-s.lo < size {
		if size > len(s.buf) && s.skim != nil {
			if err := s.need(headerSize + skimmed); err != nil {
				return s.readError(err, fmt.Sprintf("an event of %d bytes", size))
			}
			if s.skim(h, s.buf[s.lo+headerSize:s.lo+headerSize+skimmed]) {
				return s.walkOver(e, size)
			}
		}
		if err := s.fill(size); err != nil {
			return s.readError(err, fmt.Sprintf("an event of %d bytes", size))
		}
	}
	raw := s.buf[s.lo : s.lo+size]
	body := raw[headerSize:]
	if h.kind == typeFormatDescription {
		f, err := parseFormat(h, body)
		if err != nil {
			return s.corrupt("expected a format description", err)
		}
		s.format = f
		// The flag is set in place while the file is written, behind the checksum's back.
		raw[17] &^= flagInUse
	}
	// A format description always has a checksum, whatever it says of the events
	// behind it (Format_description_log_event::write). It is what says that they
	// have one, so it is not to be taken on trust.
	described := h.kind == typeFormatDescription
	if (s.format.checksum || described) && !s.bare {
		if size < headerSize+checksumSize {
			return s.corrupt(fmt.Sprintf("expected an event with a checksum, found %d bytes", size), nil)
		}
		cut := size - checksumSize
		if want, got := binary.LittleEndian.Uint32(raw[cut:]), checksum(raw[:cut]); got != want {
			return s.corrupt(checksumError(want, got, size), nil)
		}
		body = raw[headerSize:cut]
	}
	e.body = body
	s.lo += size
	s.offset = e.end
	return nil
}

// skip steps over the events that stand whole in the buffer and hold nothing special,
// as long as their checksums are right, and tells whether there were any. What it
// stops at is for next, which also says what is wrong with it.
func (s *stream) skip() bool {
	if s.format.version == "" {
		return false
	}
	const kindAt, sizeAt = 4, 9
	buf, lo := s.buf[:s.hi], s.lo
	for len(buf)-lo >= headerSize {
		size := int(binary.LittleEndian.Uint32(buf[lo+sizeAt:]))
		if size < headerSize+checksumSize || size > len(buf)-lo ||
			buf[lo+kindAt] == typeFormatDescription || binary.LittleEndian.Uint32(buf[lo:]) == magicWord {
			break
		}
		if s.format.checksum {
			cut := lo + size - checksumSize
			if binary.LittleEndian.Uint32(buf[cut:]) != checksum(buf[lo:cut]) {
				break
			}
		}
		lo += size
	}
	if lo == s.lo {
		return false
	}
	s.offset += uint64(lo - s.lo)
	s.lo = lo
	return true
}

// begin reads the four bytes in front of the first event.
func (s *stream) begin() error {
	if err := s.need(len(magic)); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.corrupt(fmt.Sprintf("expected a binary log's first four bytes fe 62 69 6e, found %d bytes and the end", s.hi-s.lo), nil)
		}
		return s.readError(err, "a binary log's first four bytes")
	}
	got := s.buf[s.lo : s.lo+len(magic)]
	switch {
	case bytes.Equal(got, magic):
	case bytes.Equal(got, magicEncrypted):
		return s.corrupt("expected a binary log in the clear (fe 62 69 6e), found fd 62 69 6e", errEncrypted)
	default:
		return s.corrupt(fmt.Sprintf("expected a binary log's first four bytes fe 62 69 6e, found % x: not a binary log", got), nil)
	}
	s.lo += len(magic)
	s.offset = uint64(len(magic))
	s.format = format{}
	return nil
}

// anotherFile steps into a log file that stands behind the last one in the same
// stream. The four bytes could also be a time in September 2028; so a format
// description must follow.
func (s *stream) anotherFile() bool {
	const kind, sizeAt = 4 + 4, 4 + 9
	if s.bare || s.format.version == "" || s.need(len(magic)+headerSize) != nil || s.buf[s.lo+kind] != typeFormatDescription {
		return false
	}
	if n := binary.LittleEndian.Uint32(s.buf[s.lo+sizeAt:]); n < 80 || n > 400 {
		return false
	}
	s.lo += len(magic)
	s.offset = uint64(len(magic))
	s.format = format{}
	return true
}

// walkOver reads an event that is larger than the buffer, summing its checksum,
// and keeps its beginning.
func (s *stream) walkOver(e *event, size int) error {
	n := copy(s.head[:], s.buf[s.lo+headerSize:s.hi])
	e.body, e.partial = s.head[:n], true
	if s.turn != nil {
		e.body = bytes.Clone(e.body) // the next one may be walked over before this one is taken
	}
	sum := uint32(0)
	for left := size; left > 0; {
		if s.hi == s.lo {
			if err := s.fill(1); err != nil {
				return s.readError(noEOF(err), fmt.Sprintf("an event of %d bytes", size))
			}
		}
		part := s.buf[s.lo:min(s.hi, s.lo+left)]
		sum = crc32.Update(sum, crc32.IEEETable, part)
		s.lo += len(part)
		left -= len(part)
	}
	if s.format.checksum && !s.bare && sum != checksumResidue {
		return s.corrupt(fmt.Sprintf("checksum error in an event of %d bytes", size), nil)
	}
	s.offset = e.end
	return nil
}

// checksumResidue is the CRC32 of whatever ends in its own CRC32, least byte first.
const checksumResidue = 0x2144df1c

func checksumError(want, got uint32, size int) string {
	return fmt.Sprintf("checksum error: expected %08x as the event of %d bytes says, computed %08x", want, size, got)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *stream) readError(err error, expected string) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	var packed *unpackError
	if errors.As(err, &packed) {
		return s.corrupt("expected "+expected+" in a compressed log", packed.err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return s.corrupt(fmt.Sprintf("expected %s, found %d bytes and the end: the log is truncated", expected, s.hi-s.lo), nil)
	}
	return err
}
