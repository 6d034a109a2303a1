package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen prints for people: on a terminal with colours and a status line that is
// written over, on anything else plain lines. Its methods may be called from any
// goroutine.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	colour   bool
	columns  int   // of the terminal; 0: lines may be as long as they are
	open     bool  // a status line stands, without a newline behind it
	err      error // the first that writing met
}

// width is what paragraphs are wrapped to.
const width = 92

// newScreen prints to out. A file may be a terminal; there NO_COLOR and TERM=dumb
// turn the colours off.
func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.terminal = os.Getenv("TERM") != "dumb"
		s.colour = s.terminal && os.Getenv("NO_COLOR") == ""
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.columns = columns
		}
	}
	return s
}

// style is how a text looks where there are colours (ECMA-48, SGR).
type style string

const (
	plain style = ""
	bold  style = "1"
	dim   style = "2"
	red   style = "31"
	green style = "32"
)

// paint gives the text in a style.
func (s *screen) paint(text string, as style) string {
	if !s.colour || as == plain {
		return text
	}
	return "\x1b[" + string(as) + "m" + text + "\x1b[0m"
}

// write prints; the caller holds mu.
func (s *screen) write(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.out, text)
	}
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.write(text)
}

// erase takes the status line away; the caller holds mu.
func (s *screen) erase() {
	if s.open {
		s.write("\r\x1b[K")
		s.open = false
	}
}

// clear takes the status line away.
func (s *screen) clear() { s.print("") }

// endLine ends the status line, if there is one, and leaves it.
func (s *screen) endLine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		s.write("\n")
		s.open = false
	}
}

// status says what is going on, on the line that is written over. Only a terminal
// shows it.
func (s *screen) status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.write("\r\x1b[K  " + s.paint(text, dim))
		s.open = true
	}
}

// show keeps a line up to date until the function it returns is called, which
// leaves the line as it then is.
func (s *screen) show(line func() string) (finish func()) {
	done := make(chan struct{})
	var showing sync.WaitGroup
	if s.terminal {
		showing.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				s.status(line())
				select {
				case <-tick.C:
				case <-done:
					return
				}
			}
		})
	}
	return func() {
		close(done)
		showing.Wait()
		s.print("  " + line() + "\n")
	}
}

func (s *screen) title(text string) { s.print("\n" + s.paint(text, bold) + "\n\n") }

// facts prints names and what they stand for, in two columns.
func (s *screen) facts(facts [][2]string) {
	for _, f := range facts {
		s.print("  " + s.paint(fmt.Sprintf("%-10s", f[0]), dim) + f[1] + "\n")
	}
}

// note prints a remark, each of its lines indented.
func (s *screen) note(format string, args ...any) {
	for line := range strings.SplitSeq(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n") {
		s.print("  " + line + "\n")
	}
}

// fit cuts a line that is too long for the terminal, behind a note's indentation.
func (s *screen) fit(line string) string {
	room := s.columns - 2
	if s.columns == 0 || utf8.RuneCountInString(line) <= room {
		return line
	}
	return string([]rune(line)[:max(room-1, 0)]) + "…"
}

// paragraph prints an explanation below a table, wrapped.
func (s *screen) paragraph(text string) {
	var lines strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			lines.WriteString("\n")
			column = 0
		default:
			lines.WriteString(" ")
			column++
		}
		lines.WriteString(word)
		column += n
	}
	s.print("\n")
	for line := range strings.SplitSeq(lines.String(), "\n") {
		s.print("  " + s.paint(line, dim) + "\n")
	}
}

// indented is a writer for others' remarks; each Write is whole lines.
func (s *screen) indented() io.Writer { return indentedWriter{s} }

type indentedWriter struct{ s *screen }

func (w indentedWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		w.s.print("    " + w.s.paint(strings.TrimRight(line, "\n"), dim) + "\n")
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return len(p), w.s.err
}
