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
	p := &parser{h: h}
	s := &stream{buffer: newBuffer(nil), skim: p.skim}
	s.idle = func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return h.Idle(s.offset)
	}
	for _, path := range f.paths {
		if err := f.file(path, s, p); err != nil {
			return err
		}
	}
	if err := h.Idle(s.offset); err != nil {
		return err
	}
	if p.state != idle {
		start := p.tx.Start
		return errors.Join(p.reset(), &CorruptError{File: s.name, Offset: s.offset,
			What: fmt.Sprintf("expected the end of the transaction that began at offset %d, found the log's end: it is truncated or still being written", start)})
	}
	return nil
}

func (f *Files) file(path string, s *stream, p *parser) error {
	in := f.stdin
	name := "standard input"
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("log file: %w", err)
		}
		defer func() { _ = file.Close() }() // read only
		in, name = file, path
	}
	r, closer, err := decompress(&counted{r: in, n: &f.read})
	var packed *unpackError
	if errors.As(err, &packed) {
		return &CorruptError{File: name, What: "expected a compressed log", Err: packed.err}
	}
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	defer closer()
	s.r, s.name, p.input = r, name, name
	s.lo, s.hi, s.offset = 0, 0, 0
	s.format = format{}
	if err := s.begin(); err != nil {
		return err
	}
	next := "" // what the log says of the file behind this one
	if path != "-" {
		next = logName(path)
	}
	var e event
	for {
		err := s.next(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch e.kind {
		case typeFormatDescription:
			server := ""
			if s.format.flavor == MariaDB {
				server = strconv.FormatUint(uint64(e.serverID), 10)
			}
			if err := p.enter(File{Name: next, Server: server, Created: s.format.created}); err != nil {
				return err
			}
		case typeRotate:
			if e.flags&flagArtificial == 0 {
				if next, _, err = rotation(&e); err != nil {
					return p.fail(&e, err)
				}
			}
		}
		if s.format.version == "" {
			return &CorruptError{File: s.name, Offset: e.start, What: fmt.Sprintf("expected a format description event first, found one of type %d", e.kind)}
		}
		if err := p.event(&e); err != nil {
			return err
		}
	}
}

// logName is the name the server knows a log file by.
func logName(path string) string {
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
