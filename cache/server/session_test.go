package server

import (
	"fmt"
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
		{"mg ab=c b k\r\nmg a=cd b k\r\n", "EN kabA= b\r\nEN kaAc= b\r\n"},
		{"mg YQ==YQ== b k\r\nmg YQ==Y b\r\nmg a=== b\r\n", "EN kYQ== b\r\n" + badKey + badKey},
		{"set n 0 0 1\r\n5\r\nincr n 0000000000000000000001\r\nincr n 00000000000000000000001\r\n", "STORED\r\n6\r\nCLIENT_ERROR invalid numeric delta argument\r\n"},
		{"verbosity 00000000001\r\nverbosity 000000000001\r\n", "OK\r\n" + badFormat},
		{"stats cachedump 0 0\r\nslabs automove freeratio\r\n", "END\r\nERROR\r\n"},
		{"cache_memlimit 1000000\r\n", fmt.Sprintf("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust: this server can have %d at most\r\n", s.store.MaxMemory()>>20)},
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

func TestASessionSaysThatItsValuesAreLarge(t *testing.T) {
	s := testSession(t)
	large := strings.Repeat("v", bulkFrom)
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"get k\r\n", false},
		{fmt.Sprintf("set k 0 0 %d\r\n%s\r\n", len(large), large), true},
		{"get x\r\n", true},
		{"set k 0 0 1\r\nv\r\n", false},
		{fmt.Sprintf("ms k %d\r\n%s\r\n", len(large), large), true},
		// What is refused is read in large pieces, for it is not kept.
		{"set k 0 0 100000000\r\nbegin", false},
	} {
		talk(t, s, c.in)
		if got := s.Bulk(); got != c.want {
			t.Errorf("after %.30q: %v, want %v", c.in, got, c.want)
		}
	}
}
