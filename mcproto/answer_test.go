package mcproto_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/mcproto"
)

// What memcached 1.6.18, 1.6.45 and its proxy say to the commands of this package,
// and what no friend says.
var answers = []struct {
	line string
	kind mcproto.Kind
	text string
}{
	{"HD\r\n", mcproto.Deleted, ""},
	{"DELETED\r\n", mcproto.Deleted, ""},
	{"NF\r\n", mcproto.NotFound, ""},
	{"NOT_FOUND\r\n", mcproto.NotFound, ""},
	{"MN\r\n", mcproto.NoOp, ""},
	{"OK\r\n", mcproto.OK, ""},
	{"VERSION 1.6.45\r\n", mcproto.Version, "1.6.45"},
	{"VERSION mcrouter 41.0.0\r\n", mcproto.Version, "mcrouter 41.0.0"},
	{"ERROR\r\n", mcproto.Error, ""},
	{"ERROR Too many open connections\r\n", mcproto.Error, "Too many open connections"},
	{"CLIENT_ERROR bad command line format\r\n", mcproto.ClientError, "bad command line format"},
	{"CLIENT_ERROR\r\n", mcproto.ClientError, ""},
	{"SERVER_ERROR backend failure\r\n", mcproto.ServerError, "backend failure"},
	{"SERVER_ERROR  two  spaces \r\n", mcproto.ServerError, " two  spaces "},
	{"SERVER_ERROR\r\n", mcproto.ServerError, ""},
	{"VERSION\r\n", mcproto.Unexpected, "VERSION"},
	{"HD \r\n", mcproto.Unexpected, "HD "},
	{"HD O1\r\n", mcproto.Unexpected, "HD O1"},
	{"HD\n", mcproto.Unexpected, "HD"},
	{"HD\r\r\n", mcproto.Unexpected, "HD\r"},
	{"hd\r\n", mcproto.Unexpected, "hd"},
	{"EX\r\n", mcproto.Unexpected, "EX"},
	{"STORED\r\n", mcproto.Unexpected, "STORED"},
	{"VALUE a 0 1\r\n", mcproto.Unexpected, "VALUE a 0 1"},
	{"HTTP/1.1 400 Bad Request\r\n", mcproto.Unexpected, "HTTP/1.1 400 Bad Request"},
	{"-ERR unknown command 'md'\r\n", mcproto.Unexpected, "-ERR unknown command 'md'"},
	{"\r\n", mcproto.Unexpected, ""},
	{"\n", mcproto.Unexpected, ""},
	{" HD\r\n", mcproto.Unexpected, " HD"},
	{"\x00\xff\r\n", mcproto.Unexpected, "\x00\xff"},
}

func TestParseAnswerSaysWhatTheLineSays(t *testing.T) {
	for _, test := range answers {
		answer, n, err := mcproto.ParseAnswer([]byte(test.line + "NF\r\n"))
		if answer.Kind != test.kind || string(answer.Text) != test.text || n != len(test.line) || err != nil {
			t.Errorf("%q: got %v %q, %d bytes, %v", test.line, answer.Kind, answer.Text, n, err)
		}
	}
}

func TestParseAnswerTakesNothingOfAPartOfALine(t *testing.T) {
	for _, test := range answers {
		for end := range test.line {
			if answer, n, err := mcproto.ParseAnswer([]byte(test.line[:end])); answer.Kind != 0 || n != 0 || err != nil {
				t.Errorf("%q: got %v, %d bytes, %v", test.line[:end], answer.Kind, n, err)
			}
		}
	}
}

func TestParseAnswerBoundsTheLine(t *testing.T) {
	longest := "SERVER_ERROR " + strings.Repeat("x", mcproto.MaxLine-len("SERVER_ERROR \r\n")) + "\r\n"
	if answer, n, err := mcproto.ParseAnswer([]byte(longest)); answer.Kind != mcproto.ServerError || n != mcproto.MaxLine || err != nil {
		t.Errorf("longest line: got %v, %d bytes, %v", answer.Kind, n, err)
	}
	if _, n, err := mcproto.ParseAnswer([]byte(longest[:mcproto.MaxLine-1])); n != 0 || err != nil {
		t.Errorf("longest line but one byte: got %d bytes, %v", n, err)
	}
	endless := bytes.Repeat([]byte{'x'}, mcproto.MaxLine)
	if _, n, err := mcproto.ParseAnswer(endless); n != 0 || !errors.Is(err, mcproto.ErrLine) {
		t.Errorf("endless line: got %d bytes, %v", n, err)
	}
	if _, n, err := mcproto.ParseAnswer(append(endless, '\r', '\n')); n != 0 || !errors.Is(err, mcproto.ErrLine) {
		t.Errorf("line that ends too late: got %d bytes, %v", n, err)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for kind, want := range map[mcproto.Kind]string{
		0: "no answer", mcproto.Deleted: "deleted", mcproto.NotFound: "not found", mcproto.NoOp: "MN",
		mcproto.ServerError: "SERVER_ERROR", mcproto.Unexpected: "unexpected answer", 200: "kind 200",
	} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// checkStream holds CountDeletes and ParseAnswer to each other on any bytes: the
// fast path says what the slow one says, and neither takes what is not there.
func checkStream(t interface {
	Helper()
	Fatalf(string, ...any)
}, stream []byte, limit int) {
	t.Helper()
	fastDeleted, fastNotFound, fast := mcproto.CountDeletes(stream, limit)
	deleted, notFound, at := 0, 0, 0
	for {
		answer, n, err := mcproto.ParseAnswer(stream[at:])
		switch {
		case err != nil && (n != 0 || len(stream)-at < mcproto.MaxLine || bytes.IndexByte(stream[at:at+mcproto.MaxLine], '\n') >= 0):
			t.Fatalf("%q: %d bytes and %v", stream[at:], n, err)
		case err == nil && n == 0 && (answer.Kind != 0 || bytes.IndexByte(stream[at:], '\n') >= 0):
			t.Fatalf("%q: took nothing of a whole line, and said %v", stream[at:], answer.Kind)
		case n > 0 && (answer.Kind == 0 || bytes.IndexByte(stream[at:], '\n') != n-1 || bytes.IndexByte(answer.Text, '\n') >= 0):
			t.Fatalf("%q: took %d bytes, said %v %q", stream[at:], n, answer.Kind, answer.Text)
		}
		if deleted+notFound == limit || answer.Kind != mcproto.Deleted && answer.Kind != mcproto.NotFound {
			break
		}
		if answer.Kind == mcproto.Deleted {
			deleted++
		} else {
			notFound++
		}
		at += n
	}
	if fastDeleted != deleted || fastNotFound != notFound || fast != at {
		t.Fatalf("%q up to %d: CountDeletes says %d deleted, %d not found, %d bytes; ParseAnswer %d, %d, %d",
			stream, limit, fastDeleted, fastNotFound, fast, deleted, notFound, at)
	}
}

func TestCountDeletesSaysWhatParseAnswerSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := rapid.SampledFrom([]string{"HD\r\n", "NF\r\n", "DELETED\r\n", "NOT_FOUND\r\n"})
		anything := rapid.Custom(func(t *rapid.T) string { return rapid.SampledFrom(answers).Draw(t, "answer").line })
		stream := strings.Join(rapid.SliceOf(rapid.OneOf(common, common, common, anything)).Draw(t, "stream"), "")
		stream = stream[:rapid.IntRange(0, len(stream)).Draw(t, "end")]
		checkStream(t, []byte(stream), rapid.IntRange(0, 40).Draw(t, "limit"))
	})
}

func FuzzAnswers(f *testing.F) {
	for _, test := range answers {
		f.Add([]byte(test.line), 3)
		f.Add([]byte("HD\r\nNF\r\n"+test.line+"DELETED\r\nNOT_FOUND\r\n"), 7)
	}
	f.Add(bytes.Repeat([]byte{'x'}, mcproto.MaxLine+1), 1)
	f.Fuzz(func(t *testing.T, stream []byte, limit int) {
		if limit < 0 {
			limit = 0
		}
		checkStream(t, stream, limit)
	})
}

func TestParsingDoesNotAllocate(t *testing.T) {
	var stream []byte
	for _, test := range answers {
		stream = append(stream, test.line...)
	}
	deletes := []byte("HD\r\nNF\r\nDELETED\r\nNOT_FOUND\r\n")
	allocs := testing.AllocsPerRun(100, func() {
		for p := stream; len(p) > 0; {
			_, n, err := mcproto.ParseAnswer(p)
			if n == 0 || err != nil {
				t.Fatal(n, err)
			}
			p = p[n:]
		}
		mcproto.CountDeletes(deletes, 4)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
