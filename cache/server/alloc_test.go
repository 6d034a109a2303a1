package server

import (
	"fmt"
	"strings"
	"testing"
)

// hot are commands of the paths that traffic takes.
func hot() map[string]string {
	var keys strings.Builder
	for i := range 50 {
		fmt.Fprintf(&keys, " k%d", i)
	}
	value := strings.Repeat("v", 135)
	large := strings.Repeat("v", 60<<10)
	return map[string]string{
		"get hit": "get k1\r\n", "get miss": "get missing\r\n", "gets of 50": "gets" + keys.String() + "\r\n",
		"set": "set k1 0 0 135\r\n" + value + "\r\n", "set with expiry": "set e 0 100 135\r\n" + value + "\r\n",
		"set of 60 kB": "set large 0 0 61440\r\n" + large + "\r\n", "get of 60 kB": "get large\r\n",
		"add": "add k1 0 0 1\r\nx\r\n", "delete miss": "delete missing\r\n", "delete and set": "delete k2\r\nset k2 0 0 2\r\nxx\r\n",
		"incr": "set n 0 0 1\r\n1\r\nincr n 1\r\n", "touch": "touch k1 100\r\ntouch k1 0\r\n", "gat": "gat 0 k1\r\n",
		"mg": "mg k1 s v f t k c h l O1\r\n", "mg miss": "mg missing v\r\n", "ms": "ms k1 135 T0 c\r\n" + value + "\r\n",
		"md": "md missing\r\n", "mg vivify": "mg new N30 v c\r\nmd new\r\n", "ma": "ma counter N0\r\n", "mn": "mn\r\n",
		"lease-get": "lease-get leased\r\ndelete leased\r\n", "hold-off": "delete held 2\r\nadd held 0 0 1\r\nx\r\n",
	}
}

func TestHotPathsAllocateNothing(t *testing.T) {
	srv := testServer(t, Options{})
	s := newSession(srv, srv.tallies[0])
	for i := range 50 {
		talk(t, s, fmt.Sprintf("set k%d 0 0 135\r\n%s\r\n", i, strings.Repeat("v", 135)))
	}
	for name, command := range hot() {
		t.Run(name, func(t *testing.T) {
			in := []byte(command)
			var out Output
			if n := testing.AllocsPerRun(200, func() {
				if n := s.Consume(in, &out); n != len(in) {
					t.Fatalf("took %d of %d bytes", n, len(in))
				}
				out.Release(srv.store)
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkSession(b *testing.B) {
	srv := testServer(b, Options{})
	s := newSession(srv, srv.tallies[0])
	for i := range 50 {
		talk(b, s, fmt.Sprintf("set k%d 0 0 135\r\n%s\r\n", i, strings.Repeat("v", 135)))
	}
	for name, command := range hot() {
		b.Run(name, func(b *testing.B) {
			in := []byte(command)
			var out Output
			b.ReportAllocs()
			for b.Loop() {
				s.Consume(in, &out)
				out.Release(srv.store)
			}
		})
	}
}
