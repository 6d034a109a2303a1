package main

import (
	"errors"
	"fmt"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/extract"
)

// extractor is a binlog.Handler that takes the keys out of every transaction, as
// the pipeline does, and counts them: reading and extracting, and nothing behind.
type extractor struct {
	tags     *extract.Tags
	seen     extract.Distinct
	keys     int
	onKey    func([]byte)
	refused  func(extract.Refusal)
	refusals int
}

func newExtractor() (*extractor, error) {
	tags, err := extract.NewTags([]string{"mc"})
	if err != nil {
		return nil, err
	}
	e := &extractor{tags: tags}
	e.onKey = func(key []byte) {
		if e.seen.Add(key) {
			e.keys++
		}
	}
	e.refused = func(extract.Refusal) { e.refusals++ }
	return e, nil
}

// check fails unless exactly so many keys were found.
func (e *extractor) check(keys int) error {
	if e.keys != keys || e.refusals > 0 {
		return fmt.Errorf("%d keys were found, expected %d, and %d refused", e.keys, keys, e.refusals)
	}
	return nil
}

func (e *extractor) Begin(*binlog.Transaction) error {
	e.seen.Reset()
	return nil
}

func (e *extractor) Statement(s *binlog.Statement) error {
	e.tags.Keys(s.Text, extract.LexingFor(s.SQLMode, s.Collation), e.onKey, e.refused)
	return nil
}

func (e *extractor) File(binlog.File) error            { return nil }
func (e *extractor) Previous(*binlog.GTIDSet) error    { return nil }
func (e *extractor) Table(*binlog.Table) (bool, error) { return false, nil }
func (e *extractor) Rows(*binlog.Rows) error           { return nil }
func (e *extractor) End(*binlog.Transaction) error     { return nil }
func (e *extractor) Broken() error                     { return nil }
func (e *extractor) Moved() (binlog.Position, error)   { return binlog.Position{}, errMoved }
func (e *extractor) Checkpoint(string) error           { return nil }
func (e *extractor) Idle(uint64) error                 { return nil }
func (e *extractor) Warn(binlog.Warning)               {}

var errMoved = errors.New("the server crashed during the measurement")
