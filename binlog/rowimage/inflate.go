package rowimage

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

// maxInflated bounds what a compressed event may say it holds: an event is at most
// 1 GiB on both servers.
const maxInflated = 1<<30 + 1<<20

// inflater takes apart what MariaDB compresses: a byte with the algorithm and how
// many bytes the length has, the length in big-endian order, and a zlib stream, or a
// bare deflate stream. It keeps its buffer.
type inflater struct {
	buf bytes.Buffer
}

const (
	// inflaterKeeps bounds what is kept between events: there are many inflaters.
	inflaterKeeps = 64 << 10
	methodMask    = 0xf0
	methodZlib    = 0x80
	noWrap        = 0x08 // the stream has no zlib header
	lengthMask    = 0x07
)

var errInflate = errors.New("what is compressed in it cannot be read")

// release gives a large buffer back.
func (f *inflater) release() {
	if f.buf.Cap() > inflaterKeeps {
		f.buf = bytes.Buffer{}
	}
}

// rows gives the row images of a compressed rows event (log_bin_compress;
// Rows_log_event::uncompress_buf in sql/log_event.cc).
func (f *inflater) rows(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0]&methodMask != methodZlib {
		return nil, errInflate
	}
	b, err := f.inflate(b, false, maxInflated, true)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInflate, err)
	}
	return b, nil
}

// column gives the value of a COMPRESSED column, or as much of it as a key could
// use (sql/field_comp.cc). In front of a value that is not compressed stands a zero.
func (f *inflater) column(b []byte, limit int) ([]byte, error) {
	switch {
	case len(b) == 0:
		return b, nil
	case b[0] == 0:
		return b[1:], nil
	case b[0]&methodMask != methodZlib:
		return nil, fmt.Errorf("it is compressed by method %#x, which this version does not know", b[0])
	}
	b, err := f.inflate(b, b[0]&noWrap != 0, 4*limit+4, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInflate, err)
	}
	return b, nil
}

// inflate gives as much as limit of a stream; whole says that more is an error.
func (f *inflater) inflate(b []byte, bare bool, limit int, whole bool) ([]byte, error) {
	n := int(b[0] & lengthMask)
	if len(b) < 1+n || n > 4 {
		return nil, errShort
	}
	size := int(bigEndian(b[1 : 1+n]))
	if size > limit && whole {
		return nil, fmt.Errorf("it says that it holds %d bytes, expected at most %d", size, limit)
	}
	in := bytes.NewReader(b[1+n:])
	var z io.ReadCloser
	if bare {
		z = flate.NewReader(in)
	} else {
		var err error
		if z, err = zlib.NewReader(in); err != nil {
			return nil, err
		}
	}
	defer func() { _ = z.Close() }() // reading has told all errors
	f.buf.Reset()
	// Grown as it comes: the length is only the log's word for it.
	want := min(size, limit)
	if _, err := io.Copy(&f.buf, io.LimitReader(z, int64(want)+1)); err != nil {
		return nil, err
	}
	if f.buf.Len() < want || f.buf.Len() > want && size <= limit {
		return nil, errors.New("it is not as long as its header says")
	}
	return f.buf.Bytes(), nil
}
