package binlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	magicGzip = []byte{0x1f, 0x8b}
	magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// Files reads log files, one behind the other: as the server wrote them, or
// compressed with gzip or zstd. Several logs may also stand in one file or stream
// behind each other.
type Files struct {
	// KeepRows keeps the images of rows events that are larger than a buffer, for
	// handlers that ask for tables; otherwise such are walked over. Set it before Run.
	KeepRows bool

	paths []string
	stdin io.Reader
	read  atomic.Int64 // bytes of the files, as they are on disk
	total int64
}

// NewFiles prepares to read the files of these names, in this order; "-" stands
// for stdin, which is not closed. It opens nothing, but looks at each file's size
// for Progress, and fails if one is not there.
func NewFiles(paths []string, stdin io.Reader) (*Files, error) {
	f := &Files{paths: paths, stdin: stdin}
	for _, p := range paths {
		if p == "-" {
			f.total = -1
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		switch {
		case info.IsDir():
			return nil, fmt.Errorf("log file %s: is a directory; name the log files in it", p)
		case !info.Mode().IsRegular():
			f.total = -1
		case f.total >= 0:
			f.total += info.Size()
		}
	}
	return f, nil
}

// Progress tells how many bytes have been read, and of how many; total is -1 if
// that cannot be known. Any goroutine may call it.
func (f *Files) Progress() (read, total int64) { return f.read.Load(), f.total }

// Run reads all files to their ends and hands what they hold to h. An error of h
// is returned as it is; a file that cannot be read gives a *CorruptError or the
// system's error, and all that came before it has been handed over.
func (f *Files) Run(ctx context.Context, h Handler) error {
	r := &filesReading{parser: parser{h: h}}
	err := newVerifier(f).follow(ctx, r.take)
	if !errors.Is(err, io.EOF) {
		return err
	}
	return r.whole("it is truncated or still being written")
}

// whole makes sure that no transaction is open where a log ends.
func (r *filesReading) whole(hint string) error {
	p := &r.parser
	if p.state == idle {
		return nil
	}
	start := p.tx.Start
	return errors.Join(p.reset(), &CorruptError{File: p.input, Offset: r.offset,
		What: fmt.Sprintf("expected the end of the transaction that began at offset %d, found the log's end: %s", start, hint)})
}

// goesOn is what whole says where another log follows. A server that crashed may leave
// such a file, but so does a copy that is not whole, and then keys are missing.
const goesOn = "it is truncated; if its server crashed there and this is all it wrote, read the logs behind it by themselves"

// filesReading is one Run.
type filesReading struct {
	parser parser
	next   string // what the log says of the file behind the one being read
	format format
	offset uint64 // how far the log has been read
}

// take hands a batch of events to the handler.
func (r *filesReading) take(b *verified) error {
	p := &r.parser
	if b.begins {
		if err := r.whole(goesOn); err != nil {
			return err
		}
		p.input, r.next = "standard input", ""
		if b.path != "-" {
			p.input, r.next = b.path, LogName(b.path)
		}
	}
	var e event
	for i := range b.runs {
		run := &b.runs[i]
		if run.walked != nil {
			if err := p.event(run.walked); err != nil {
				return err
			}
			continue
		}
		e.end = run.start
		for raw := b.buf[run.lo:run.hi]; len(raw) > 0; {
			// The verifier has found it whole, and its checksum right.
			e.header = parseHeader(raw)
			size := int(e.size)
			e.start, e.end = e.end, e.end+uint64(size)
			e.body = raw[headerSize:size:size]
			raw = raw[size:]
			if err := r.event(&e); err != nil {
				return err
			}
		}
		r.offset = e.end
	}
	r.offset = b.offset
	return p.h.Idle(b.offset)
}

// event takes one event, its checksum still on it.
func (r *filesReading) event(e *event) error {
	p := &r.parser
	if e.kind == typeFormatDescription {
		if e.start == firstOffset {
			if err := r.whole(goesOn); err != nil {
				return err
			}
		}
		f, err := parseFormat(e.header, e.body)
		if err != nil {
			return p.fail(e, err)
		}
		r.format = f
		name := r.next
		r.next = "" // a log that follows in the same stream has a name of its own
		server := ""
		if f.flavor == MariaDB {
			server = strconv.FormatUint(uint64(e.serverID), 10)
		}
		return p.enter(File{Name: name, Server: server, Created: f.created}, f.flavor)
	}
	if r.format.checksum {
		e.body = e.body[:len(e.body)-checksumSize]
	}
	if e.kind == typeRotate && e.flags&flagArtificial == 0 {
		name, _, err := rotation(e)
		if err != nil {
			return p.fail(e, err)
		}
		r.next = name
	}
	return p.event(e)
}

// LogName is the name the server knows a log file by, if nobody has changed it.
func LogName(path string) string {
	name := filepath.Base(path)
	for _, ext := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, ext)
	}
	return name
}

// decompress looks at the first bytes and reads through gzip or zstd if they say so.
func decompress(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(len(magicZstd))
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, magicGzip):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, nil, &unpackError{err}
		}
		return &unpacked{z}, func() { _ = z.Close() }, nil // reading has told all errors
	case bytes.HasPrefix(head, magicZstd):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, &unpackError{err}
		}
		return &unpacked{z}, z.Close, nil
	}
	// Reads larger than br's buffer go past it.
	return br, func() {}, nil
}

// unpacked reads from a decompressor and marks its errors as such.
type unpacked struct{ r io.Reader }

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = &unpackError{err}
	}
	return n, err
}

// unpackError is a compressed file that cannot be decompressed.
type unpackError struct{ err error }

func (e *unpackError) Error() string { return e.err.Error() }
func (e *unpackError) Unwrap() error { return e.err }

type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
