// Package stdout prints what would be deleted instead of deleting it: a line of
// JSON for each invalidation. What comes in is a cursor's batches; what goes out
// is text, for people and for programs that read lines. It is the sink of a dry
// run.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/extract"
)

// Cluster is where an invalidation would go.
type Cluster struct {
	Name string
	// Match, if set, lets only keys through that it matches.
	Match *regexp.Regexp
	// Action is what would be done with the key, as the configuration has it.
	Action string
}

// Config says what is printed and where.
type Config struct {
	// Clusters are those that the keys would go to. None: keys are printed
	// without clusters, all of them, as deletes.
	Clusters []Cluster
	// Match, if set, lets only keys through that it matches.
	Match *regexp.Regexp
	Out   io.Writer
}

// Sink prints invalidations. Its lines are
//
//	{"key":"user:1","action":"delete","cause":"tag","schema":"shop","table":"users","gtid":"…","log":"bin.000003","pos":1234,"time":"2026-01-02T03:04:05.678901Z","clusters":["east"]}
//
// with what is not known left out. The key is percent-encoded where it must be.
type Sink struct {
	cfg     Config
	actions []string // the distinct actions of the clusters
	scratch []byte
}

// New makes a Sink.
func New(cfg Config) *Sink {
	s := &Sink{cfg: cfg}
	for _, c := range cfg.Clusters {
		known := false
		for _, a := range s.actions {
			known = known || a == c.Action
		}
		if !known {
			s.actions = append(s.actions, c.Action)
		}
	}
	if len(s.actions) == 0 {
		s.actions = []string{"delete"}
	}
	return s
}

// Run prints until the cursor has nothing more, the context ends, or writing
// fails.
func (s *Sink) Run(ctx context.Context, cursor *batcher.Cursor) error {
	var b batcher.Batch
	for {
		err := cursor.Next(ctx, &b, batcher.Limits{}, s.encode)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(b.Wire) > 0 {
			if _, err := s.cfg.Out.Write(b.Wire); err != nil {
				return fmt.Errorf("print invalidations: %w", err)
			}
		}
		if _, err := cursor.Ack(&b, 0); err != nil {
			return err
		}
	}
}

// encode prints one invalidation: a line for each action that a cluster takes.
func (s *Sink) encode(dst []byte, inv *batcher.Invalidation) []byte {
	if s.cfg.Match != nil && !s.cfg.Match.Match(inv.Key) {
		return dst
	}
	for _, action := range s.actions {
		dst = s.line(dst, action, inv)
	}
	return dst
}

func (s *Sink) line(dst []byte, action string, inv *batcher.Invalidation) []byte {
	start := len(dst)
	dst = append(dst, `{"key":"`...)
	s.scratch = extract.AppendEscaped(s.scratch[:0], inv.Key)
	dst = appendText(dst, s.scratch)
	dst = append(dst, `","action":"`...)
	dst = appendText(dst, []byte(action))
	dst = append(dst, `","cause":"`...)
	dst = append(dst, inv.Cause.String()...)
	dst = append(dst, '"')
	dst = appendField(dst, "schema", inv.Schema)
	dst = appendField(dst, "table", inv.Table)
	if !inv.GTID.IsZero() {
		s.scratch = inv.GTID.Append(s.scratch[:0])
		dst = appendField(dst, "gtid", s.scratch)
	}
	dst = appendField(dst, "log", []byte(inv.File.Name))
	dst = append(dst, `,"pos":`...)
	dst = strconv.AppendUint(dst, inv.Start, 10)
	if inv.Time != 0 {
		dst = append(dst, `,"time":"`...)
		dst = time.UnixMicro(inv.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if len(s.cfg.Clusters) > 0 {
		dst = append(dst, `,"clusters":[`...)
		n := 0
		for i := range s.cfg.Clusters {
			c := &s.cfg.Clusters[i]
			if c.Action != action || c.Match != nil && !c.Match.Match(inv.Key) {
				continue
			}
			if n > 0 {
				dst = append(dst, ',')
			}
			n++
			dst = append(dst, '"')
			dst = appendText(dst, []byte(c.Name))
			dst = append(dst, '"')
		}
		if n == 0 {
			return dst[:start] // no cluster wants it
		}
		dst = append(dst, ']')
	}
	return append(dst, '}', '\n')
}

func appendField(dst []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":"`...)
	dst = appendText(dst, value)
	return append(dst, '"')
}

// appendText appends the inside of a JSON string; bytes that are not UTF-8 become
// U+FFFD, as in encoding/json.
func appendText(dst, s []byte) []byte {
	if plain(s) {
		return append(dst, s...)
	}
	const hex = "0123456789abcdef"
	for i, r := range string(s) {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r == 0xfffd:
			dst = append(dst, "\ufffd"...)
		default:
			n := 1
			for n < len(s)-i && s[i+n]&0xc0 == 0x80 {
				n++
			}
			dst = append(dst, s[i:i+n]...)
		}
	}
	return dst
}

// plain tells whether nothing in s needs a second look, as in nearly all names and
// keys.
func plain(s []byte) bool {
	for _, c := range s {
		if c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
