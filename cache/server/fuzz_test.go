package server

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzSession gives one session any bytes at once, and another the same in pieces: neither
// may fail, and both must answer the same.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"set k 5 0 3\r\nabc\r\nget k x\r\ngets k\r\ndelete k\r\n",
		"mg k N30 v c t\r\nms k 3 T10 c\r\nabc\r\nmd k I\r\nmg k v s f l h O1 k q\r\nmn\r\n",
		"lease-get k\r\nlease-set k 1 0 0 1\r\nx\r\ndelete k 5\r\nadd k 0 0 1\r\nx\r\n",
		"incr k 1\r\nms k 1\r\n9\r\nincr k 1\r\nma k N0 J5 D3 v\r\nappend k 0 0 2\r\nxy\r\n",
		"ms Zm9v 3 b k\r\nabc\r\nme foo\r\nlru_crawler metadump all\r\n",
		"stats\r\nstats items\r\nstats slabs\r\nstats conns\r\nstats settings\r\nstats cachedump 1 5\r\n",
		"set big 0 0 70000\r\n" + strings.Repeat("x", 70000) + "\r\nget big\r\nset k 0 0 3\r\nabcd\r\nquit\r\n",
		"flush_all 5\r\nverbosity 1\r\ngat 5 k\r\ntouch k 1\r\ncas k 0 0 1 1\r\nx\r\nwatch\r\nshutdown\r\n\x80",
	} {
		f.Add([]byte(seed), uint16(3))
		f.Add([]byte(seed), uint16(1000))
	}
	srv := testServer(f, Options{})
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		var whole, pieces string
		same := func() bool {
			srv.store.Flush()
			whole = feed(t, srv, in, len(in))
			srv.store.Flush()
			pieces = feed(t, srv, in, int(cut)+1)
			return token.ReplaceAllString(whole, "#") == token.ReplaceAllString(pieces, "#")
		}
		// Answers tell how many seconds items have to live, or were not asked for.
		for again := true; again; {
			now := srv.store.Now()
			again = !same() && srv.store.Now() != now
		}
		for line := range bytes.SplitSeq(in, []byte("\n")) {
			if len(line) > lineBound {
				return // whether that is too long depends on how much of it came at once
			}
		}
		// What a listing or the statistics say depends on when they are asked.
		if strings.Contains(whole, "STAT ") || strings.Contains(whole, "exp=") || strings.Contains(whole, "pipeline") || strings.Contains(pieces, "OK\r\n") {
			return
		}
		if whole, pieces = token.ReplaceAllString(whole, "#"), token.ReplaceAllString(pieces, "#"); whole != pieces {
			t.Errorf("at once: %q\nin pieces of %d: %q", whole, int(cut)+1, pieces)
		}
	})
}

// feed gives a new session some input in pieces, as a transport would.
func feed(t *testing.T, srv *Server, in []byte, size int) string {
	s := newSession(srv, srv.tallies[0])
	defer s.Close()
	var out Output
	var all strings.Builder
	var kept []byte
	for first := true; first || len(in) > 0; first = false {
		n := min(size, len(in))
		kept = append(kept, in[:n]...)
		in = in[n:]
		for {
			n := s.Consume(kept, &out)
			if n < 0 || n > len(kept) {
				t.Fatalf("Consume took %d of %d bytes", n, len(kept))
			}
			kept = kept[n:]
			full := out.Full()
			if out.Len() > 2*outputBound+(1<<20) {
				t.Fatalf("%d bytes of answers are gathered", out.Len())
			}
			all.WriteString(text(&out))
			out.Release(srv.store)
			if s.Closing() {
				return all.String()
			}
			if !full && !s.More() {
				break
			}
		}
		if len(kept) > inputBound {
			t.Fatalf("%d bytes of an unfinished command are kept", len(kept))
		}
	}
	return all.String()
}

// text is all that an output holds.
func text(out *Output) string {
	var all strings.Builder
	at := 0
	for _, p := range out.pins {
		all.Write(out.Bytes[at:p.at])
		at = p.at
		all.Write(p.data)
	}
	all.Write(out.Bytes[at:])
	return all.String()
}
