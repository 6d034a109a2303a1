package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/preflight"
)

func TestFindingsHaveColoursOnATerminalAlone(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	defer terminal.Close()
	for _, c := range []struct {
		name string
		out  any
		env  map[string]string
		want bool
	}{
		{"a terminal", terminal, nil, true},
		{"a terminal, and NO_COLOR", terminal, map[string]string{"NO_COLOR": "1"}, false},
		{"one that cannot", terminal, map[string]string{"TERM": "dumb"}, false},
		{"a pipe", &bytes.Buffer{}, nil, false},
	} {
		env := environment{getenv: func(name string) string { return c.env[name] }}
		if f, ok := c.out.(*os.File); ok {
			env.stdout = f
		} else {
			env.stdout = c.out.(*bytes.Buffer)
		}
		if got := coloured(env); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFindingsStandUnderWhatTheyAreAbout(t *testing.T) {
	found := []preflight.Finding{
		{Level: preflight.OK, About: "source db:3306", Check: "log_bin", Says: "the binary log is on"},
		{Level: preflight.Fail, About: "source db:3306", Check: "statement_text", Says: "no text", Mend: "SET PERSIST x = ON"},
		{Level: preflight.Warn, About: "cluster east", Check: "tls", Says: "anybody", Mend: "mode: verify"},
	}
	var out bytes.Buffer
	if err := writeFindings(&out, found, false); err != nil {
		t.Fatal(err)
	}
	want := "source db:3306\n  ok    the binary log is on\n  fail  no text\n        mend: SET PERSIST x = ON\n\n" +
		"cluster east\n  warn  anybody\n        mend: mode: verify\n\n1 ok, 1 to look at, 1 to mend\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := writeFindings(&out, found, true); err != nil || !strings.Contains(out.String(), "  \x1b[31mfail\x1b[0m  no text\n") {
		t.Errorf("%v, %q", err, out.String())
	}
	out.Reset()
	if err := writeFindingsJSON(&out, found[:1]); err != nil ||
		!strings.Contains(out.String(), `"level": "ok"`) || !strings.Contains(out.String(), `"ok": true`) || strings.Contains(out.String(), "mend") {
		t.Errorf("%v, %s", err, out.String())
	}
	if err := writeFindings(full{}, found, false); err == nil {
		t.Error("what cannot be written is no error")
	}
}

// full takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
