package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// endingAnswered is what a server says to the ending of a step.
var endingAnswered = bytes.Repeat([]byte("MN\r\n"), strings.Count(ending, "mn"))

// print shows a finding: what to send, what each server says, and how to have it again.
func (f finding) print(out io.Writer, subject, reference string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "seed %d, %v: %d commands, of %d\n", f.seed, f.profile, f.words(), f.original.words())
	for i, s := range f.steps {
		fmt.Fprintf(&text, "  step %d, %v\n", i+1, s.cut)
		for _, c := range s.commands {
			fmt.Fprintf(&text, "    > %v\n", c)
		}
		if i >= len(f.answers) {
			continue
		}
		for side, name := range []string{subject, reference} {
			var said []string
			answer := bytes.TrimPrefix(f.answers[i][side], []byte("MN\r\n")) // to the opening
			for _, r := range parse(bytes.TrimSuffix(answer, endingAnswered)) {
				said = append(said, r.String())
			}
			fmt.Fprintf(&text, "    %s: %s\n", name, strings.ReplaceAll(strings.Join(said, " | "), string(f.naming), ""))
		}
	}
	fmt.Fprintf(&text, "  different in step %d: %s\n", f.at+1, f.different)
	_, err := io.WriteString(out, text.String())
	return err
}

// alike tells whether two findings look as if they had one cause: the last commands and
// what was said, but for numbers and keys.
func (f finding) alike(other finding) bool { return f.shape() == other.shape() }

// varying is what may be another in each finding of one cause.
var varying = regexp.MustCompile(`\d+|«[^»]*»|k\w*:\w*|answer \d+`)

func (f finding) shape() string {
	last := ""
	if n := f.words(); n > 0 {
		last, _, _ = strings.Cut(strings.TrimPrefix(string(f.command(n-1)), string(alone)), " ")
	}
	return last + varying.ReplaceAllString(f.different, "#")
}
