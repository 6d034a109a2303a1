//go:build amd64 || arm64 || loong64 || ppc64le || riscv64

package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
)

// A list of the keys of a class that has hardly any looks at all items and says next to
// nothing: it must not go on until it is through.
func TestAListThatSaysNothingLetsOthersHaveTheirTurn(t *testing.T) {
	store, err := cache.New(cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(Options{Threads: 1, Endpoints: []Endpoint{{Network: "tcp", Host: "127.0.0.1"}}}, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(srv, srv.tallies[0])
	for i := range 60_000 {
		talk(t, s, fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i))
	}
	talk(t, s, fmt.Sprintf("set large 0 0 50000\r\n%050000d\r\n", 0))
	talk(t, s, fmt.Sprintf("set huge 0 0 60000\r\n%060000d\r\n", 0))
	e := store.Lock([]byte("large"))
	it, _ := e.Plain()
	class := it.Class()
	e.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	conn, err := net.Dial("tcp", srv.listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, c := range []struct{ command, first, found string }{
		{"lru_crawler metadump", "OK\r\n", "key=large "},
		{"lru_crawler mgdump", "OK\r\n", "mg large\r\n"},
		{"stats cachedump", "", "ITEM large [50000 b; 0 s]\r\n"},
	} {
		before := srv.conns.yields.Load()
		limit := ""
		if c.first == "" {
			limit = " 10"
		}
		if _, err := fmt.Fprintf(conn, "%s %d%s\r\nmn\r\n", c.command, class, limit); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for !strings.HasSuffix(all.String(), "MN\r\n") {
			line, err := in.ReadString('\n')
			all.WriteString(line)
			if err != nil {
				t.Fatalf("%s: %v after %q", c.command, err, all.String())
			}
		}
		got := all.String()
		if !strings.HasPrefix(got, c.first+c.found) || strings.Count(got, "\n") != strings.Count(c.first, "\n")+3 {
			t.Errorf("%s says %q", c.command, got)
		}
		if srv.conns.yields.Load() == before {
			t.Errorf("%s went through 60,000 items in one turn", c.command)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestACachedumpEndsAtItsLimit(t *testing.T) {
	s := testSession(t)
	for i := range 50 {
		talk(t, s, fmt.Sprintf("set k%d 0 0 1\r\nv\r\n", i))
	}
	if got := talk(t, s, "stats cachedump 1 7\r\nmn\r\n"); strings.Count(got, "ITEM k") != 7 || !strings.HasSuffix(got, "]\r\nEND\r\nMN\r\n") {
		t.Errorf("%q", got)
	}
	if got := talk(t, s, "stats cachedump 1 0\r\n"); strings.Count(got, "ITEM k") != 50 {
		t.Errorf("without a limit %q", got)
	}
}
