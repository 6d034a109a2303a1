package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Reading files takes two goroutines: one reads, walks the events' headers and sums
// their checksums; the other, which runs the handler, follows with what they say.
//
//	file ─► verifier ─── batches: a buffer, and where in it whole events stand ──► Run
//	           ▲                                                                    │
//	           └──────────────────── batches that are done with ◄───────────────────┘
//
// What the verifier has seen of an event is not handed over: to take a header apart
// again costs less than to carry it from one core to another.

// batchesAhead is how many batches there are: what is read ahead is bounded by
// their buffers.
const batchesAhead = 4

// verified is a buffer with events whose checksums are right.
type verified struct {
	buf  []byte
	runs []run
	// path is the file they stand in, begins whether these are its first.
	path   string
	begins bool
	// offset is the end of the last event.
	offset uint64
	// err is what came behind the last event: io.EOF at the end of the last file.
	err error
}

// run is whole events that stand one behind the other, in the buffer and in the log.
type run struct {
	lo, hi int    // in the buffer
	start  uint64 // offset in the log
	// walked, if set, is all there is: an event that was walked over.
	walked *event
}

// add takes the events between two places in the buffer, of which the first begins at
// start in the log.
func (b *verified) add(lo, hi int, start uint64) {
	if n := len(b.runs); n > 0 {
		if last := &b.runs[n-1]; last.walked == nil && last.hi == lo && last.start+uint64(lo-last.lo) == start {
			last.hi = hi
			return
		}
	}
	b.runs = append(b.runs, run{lo: lo, hi: hi, start: start})
}

// walk takes an event that was walked over.
func (b *verified) walk(e event) { b.runs = append(b.runs, run{walked: &e}) }

// verifier is the goroutine that reads ahead.
type verifier struct {
	files *Files
	out   chan *verified // closed by the verifier
	free  chan *verified // never closed
	quit  chan struct{}  // closed by the one who follows
	s     stream
	batch *verified
}

// errQuit: whoever follows wants no more.
var errQuit = errors.New("no more is wanted")

func newVerifier(f *Files) *verifier {
	v := &verifier{
		files: f, quit: make(chan struct{}),
		out: make(chan *verified, batchesAhead), free: make(chan *verified, batchesAhead),
	}
	for range batchesAhead {
		v.free <- new(verified) // with a buffer once it is needed
	}
	v.s.turn = v.turn
	v.s.skim = func(h header, _ []byte) bool { return isRows(h.kind) && !f.KeepRows }
	return v
}

// run verifies all files.
func (v *verifier) run() {
	defer close(v.out)
	err := v.begin()
	for _, path := range v.files.paths {
		if err != nil {
			break
		}
		err = v.file(path)
	}
	if errors.Is(err, errQuit) {
		return
	}
	if err == nil {
		err = io.EOF
	}
	v.batch.err = err
	_ = v.send() // it is the last, and has its error with it
}

// begin takes the first buffer.
func (v *verifier) begin() error {
	select {
	case v.batch = <-v.free:
	case <-v.quit:
		return errQuit
	}
	v.batch.buf = make([]byte, bufferSize)
	v.s.buf = v.batch.buf
	return nil
}

// send hands the batch over.
func (v *verifier) send() error {
	v.batch.offset = v.s.offset
	v.batch.buf = v.s.buf
	select {
	case v.out <- v.batch:
		return nil
	case <-v.quit:
		return errQuit
	}
}

// turn hands over what stands in the buffer before it is filled again, and goes on
// in a fresh one.
func (v *verifier) turn() ([]byte, error) {
	if len(v.batch.runs) == 0 {
		return v.s.buf, nil // nobody needs what stood in it
	}
	return v.fresh()
}

// fresh hands the batch over and begins another.
func (v *verifier) fresh() ([]byte, error) {
	path := v.batch.path
	if err := v.send(); err != nil {
		return nil, err
	}
	select {
	case v.batch = <-v.free:
	case <-v.quit:
		return nil, errQuit
	}
	b := v.batch
	b.runs, b.path, b.begins, b.err = b.runs[:0], path, false, nil
	if len(b.buf) != bufferSize {
		b.buf = make([]byte, bufferSize) // it had grown for a huge event
	}
	return b.buf, nil
}

// file verifies one file.
func (v *verifier) file(path string) error {
	in, name := v.files.stdin, "standard input"
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("log file: %w", err)
		}
		defer func() { _ = file.Close() }() // read only
		in, name = file, path
	}
	r, closer, err := decompress(&counted{r: in, n: &v.files.read})
	var packed *unpackError
	if errors.As(err, &packed) {
		return &CorruptError{File: name, What: "expected a compressed log", Err: packed.err}
	}
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	defer closer()
	s := &v.s
	if v.batch.path != "" {
		// What is left of the file before.
		if s.buf, err = v.fresh(); err != nil {
			return err
		}
	}
	v.batch.path, v.batch.begins = path, true
	s.r, s.name = r, name
	s.lo, s.hi, s.offset = 0, 0, 0
	s.format = format{}
	if err := s.begin(); err != nil {
		return err
	}
	var e event
	for {
		if lo, start := s.lo, s.offset; s.skip() {
			v.batch.add(lo, s.lo, start)
		}
		if err := s.next(&e); err != nil {
			switch {
			case !errors.Is(err, io.EOF):
				return err
			case s.format.version == "":
				return s.corrupt("expected a format description event, found the end: the log is truncated", nil)
			}
			return nil
		}
		switch {
		case s.format.version == "":
			return &CorruptError{File: name, Offset: e.start, What: fmt.Sprintf("expected a format description event first, found one of type %d", e.kind)}
		case e.partial:
			v.batch.walk(e)
		default:
			v.batch.add(s.lo-int(e.size), s.lo, e.start)
		}
	}
}

// follow hands the batches to take, one after the other, until the files end, take
// fails or the context ends. A verifier that waits for its input then may outlive
// it, until that gives something or ends; it hands nothing over any more.
func (v *verifier) follow(ctx context.Context, take func(*verified) error) error {
	var running sync.WaitGroup
	running.Go(v.run)
	defer func() {
		close(v.quit)
		if ctx.Err() == nil {
			running.Wait()
		}
	}()
	for {
		select {
		case b := <-v.out:
			if err := take(b); err != nil {
				return err
			}
			if b.err != nil {
				return b.err
			}
			v.free <- b
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
