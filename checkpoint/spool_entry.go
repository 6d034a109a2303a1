package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// Statement is what caused a key, and the table that it is about, as
// batcher.Writer.Statement takes it.
type Statement struct {
	Cause         batcher.Cause
	Schema, Table []byte // empty where not known
}

// Entry is an XA transaction that has been decided upon. One of [Spool.Decide] can be
// read by any goroutine for as long as the spool keeps it; one of [Collector.OnePhase]
// belongs to the collector.
type Entry struct {
	XID binlog.XID
	// Prepare is where the transaction's own first event stands; of one phase, where
	// it has its only place.
	Prepare Place
	// Keys is how many it has, as they came in.
	Keys uint64

	rolledBack bool
	path       string // of its file, unless
	size       int64
	collector  *Collector // the keys are with it still,
	turn       uint64     // in its turn
}

// Each hands over the keys in the order in which they came, each with its statement;
// none after a rollback. What it hands over is good during the call only. An error of
// key ends it and is returned as it is; it may then be called again, and begins with
// the first key. Any other error means that not all keys have come.
//
// BenchmarkSpool guards it.
func (e *Entry) Each(key func(s Statement, key []byte) error) error {
	if e.rolledBack || e.Keys == 0 {
		return nil
	}
	var stopped error
	err := e.read(func(s Statement, k []byte) error {
		stopped = key(s, k)
		return stopped
	})
	if err == nil || stopped != nil {
		return stopped
	}
	return fmt.Errorf("read the keys of XA transaction %s: %w", e.XID, err)
}

var errGivenUp = errors.New("its collector has given them up")

func (e *Entry) read(key func(s Statement, key []byte) error) error {
	if c := e.collector; c != nil {
		if c.turn != e.turn {
			return errGivenUp
		}
		return readKeys(c.reader(), e.size, key)
	}
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	if err := readKeys(f, e.size, key); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", e.path, err), f.Close())
	}
	return f.Close()
}

func readKeys(r io.Reader, size int64, key func(s Statement, key []byte) error) error {
	rr, err := newRecordReader(r, size)
	if err != nil {
		return err
	}
	return rr.each(key)
}
