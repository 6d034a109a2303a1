package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	// Place is where it was said: "FILE:LINE" or "--flag"; empty when nobody said
	// anything, as for a value that is missing.
	Place string
	// Field is the path of the value, like clusters[0].window; empty when it is about
	// the file as a whole, or when Place is the flag.
	Field string
	// Text says what is wrong and how to mend it.
	Text string
}

// String is the mistake on one line: place, field, text.
func (m Mistake) String() string {
	var b strings.Builder
	for _, part := range []string{m.Place, m.Field} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	b.WriteString(m.Text)
	return b.String()
}

// Error is everything that was found wrong with a configuration, at least one
// mistake. It means that whoever wrote the configuration has to change it.
type Error struct {
	Mistakes []Mistake
}

// Error is the mistakes, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// mistakes gathers what is wrong, so that all of it can be told at once.
type mistakes []Mistake

func (m *mistakes) add(place, field, format string, args ...any) {
	*m = append(*m, Mistake{Place: place, Field: field, Text: fmt.Sprintf(format, args...)})
}

// err is an *Error, or nil when there are no mistakes.
func (m mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return &Error{Mistakes: m}
}
