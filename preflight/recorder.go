package preflight

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
)

// recorder is a slog.Handler that makes findings of warnings, and of nothing else. One
// goroutine uses it.
type recorder struct{ found []Finding }

// Enabled implements slog.Handler.
func (*recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements slog.Handler.
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	f := Finding{Level: Warn, Says: record.Message}
	var more []string
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "mend" {
			f.Mend = a.Value.String()
		} else {
			more = append(more, a.Key+" "+a.Value.String())
		}
		return true
	})
	if len(more) > 0 {
		f.Says += ": " + strings.Join(more, ", ")
	}
	r.found = append(r.found, f)
	return nil
}

// WithAttrs and WithGroup implement slog.Handler; whoever logs here uses neither.
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements slog.Handler.
func (r *recorder) WithGroup(string) slog.Handler { return r }

// apart are the errors that were joined, each by itself.
func apart(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, apart(err)...)
	}
	return all
}

// freshID is an id for a dump that must not end another's.
func freshID() uint32 { return rand.Uint32() | 1<<31 }
