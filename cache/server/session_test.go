package server

import (
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
)

// talk gives a new session some input, as a whole, and returns what it answers.
func talk(t testing.TB, s *Session, in string) string {
	t.Helper()
	var out Output
	var all strings.Builder
	for {
		n := s.Consume([]byte(in), &out)
		in = in[n:]
		full := out.Full()
		all.WriteString(text(&out))
		out.Release(s.store)
		if s.Closing() || !full && !s.More() {
			return all.String()
		}
	}
}

func testServer(t testing.TB, options Options) *Server {
	t.Helper()
	store, err := cache.New(cache.Config{StaleTime: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Server{options: options.withDefaults(), store: store, started: time.Now(), tallies: []*tally{new(tally)}}
}

func testSession(t testing.TB) *Session {
	srv := testServer(t, Options{})
	return newSession(srv, srv.tallies[0])
}

func TestAnswers(t *testing.T) {
	s := testSession(t)
	for _, c := range []struct{ in, want string }{
		{"version\r\n", "VERSION 1.6.45\r\n"},
		{"set k 5 0 3\r\nabc\r\nget k x k\r\n", "STORED\r\nVALUE k 5 3\r\nabc\r\nVALUE k 5 3\r\nabc\r\nEND\r\n"},
		{"mg k s v f t k h O1\r\n", "VA 3 s3 f5 t-1 kk h1 O1\r\nabc\r\n"},
	} {
		if got := talk(t, s, c.in); got != c.want {
			t.Errorf("%q answers %q, want %q", c.in, got, c.want)
		}
	}
}

// As where there is no memory at all: nobody is to read on what the client has replaced.
func TestASetThatIsRefusedHalfReceivedLeavesNothing(t *testing.T) {
	s := testSession(t)
	talk(t, s, "set k 0 0 3\r\nold\r\n")
	s.server.conns.partial.Store(1 << 40)
	if got := talk(t, s, "set k 0 0 3\r\nn"); got != outOfMemory {
		t.Errorf("%q", got)
	}
	if got := talk(t, s, "ew\r\nget k\r\n"); got != "END\r\n" {
		t.Errorf("%q", got)
	}
}
