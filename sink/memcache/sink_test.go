package memcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// What is refused for now, however much there is, keeps no key from being named that is
// lost for good; nor does one reason another.
func TestEveryReasonAKeyIsSetAsideForIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		s := New(Config{Cluster: "east", Targets: []string{"a:1"}, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		for i := range 1000 {
			s.refusedNow(fmt.Appendf(nil, "delete busy%d\r\n", i), "out of memory")
		}
		for i := range 1000 {
			s.setKeyAside(fmt.Appendf(nil, "long%d", i), "too long")
			s.setKeyAside(fmt.Appendf(nil, "odd%d", i), "bad format")
		}
		time.Sleep(time.Second)
		s.setKeyAside([]byte("last"), "too long")
		s.logRest()
		for _, line := range []string{
			`level=WARN msg="key refused for now.* key=busy0 reason="out of memory" more=0`,
			`level=ERROR msg="key set aside.* cluster=east key=long0 reason="too long" more=0`,
			`level=ERROR msg="key set aside.* key=odd0 reason="bad format" more=0`,
			`level=ERROR msg="key set aside.* key=last reason="too long" more=999`,
			`level=ERROR msg="more keys set aside.* keys=999 reason="bad format"`,
			`level=WARN msg="more keys were refused.* keys=999 reason="out of memory"`,
		} {
			if n := len(regexp.MustCompile(line).FindAllString(said.String(), -1)); n != 1 {
				t.Errorf("%d lines match %s, want 1", n, line)
			}
		}
		if n := strings.Count(said.String(), "\n"); n != 6 {
			t.Errorf("%d lines in all, want 6:\n%s", n, said.String())
		}
		if n := s.SetAside(); n != 2001 {
			t.Errorf("%d keys set aside, want 2001", n)
		}
	})
}

// A cache that is away for an hour is no reason for a line a second.
func TestAnOutageIsSaidAtOnceAndThenEverMoreSeldom(t *testing.T) {
	for _, c := range []struct {
		name    string
		servers bool
		targets []string
		says    string
		lines   int
	}{
		// At 0 s, 1 s, 3 s, 7 s, …, 63 s, and then every minute.
		{"a server", true, []string{"a:1"}, `msg="server cannot be reached; it is tried again until it can" cluster=east server=a:1 failures=[0-9]+ error="a:1: connect: refused"`, 12},
		{"a router", false, []string{"a:1"}, `msg="router cannot be reached; it is tried again until one can" cluster=east router=a:1 failures=[0-9]+ error="a:1: connect: refused"`, 12},
		{"two routers", false, []string{"a:1", "b:1"}, `msg="router cannot be reached; .* router=a:1 failures=[0-9]+ next=b:1 |router=b:1 failures=[0-9]+ next=a:1 `, 24},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				s := New(Config{
					Cluster: "east", Targets: c.targets, Servers: c.servers, Logger: slog.New(slog.NewTextHandler(&said, nil)),
					Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") },
				})
				cursor, err := batcher.NewLog(batcher.Config{}).NewCursor(binlog.Position{})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithTimeout(t.Context(), 6*time.Minute+30*time.Second)
				defer stop()
				if err := s.Run(ctx, cursor); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the sink has ended with %v", err)
				}
				n := len(regexp.MustCompile(c.says).FindAllString(said.String(), -1))
				if n != strings.Count(said.String(), "\n") || n < c.lines-3 || n > c.lines+1 {
					t.Errorf("%d lines match %s, want all, about %d:\n%s", n, c.says, c.lines, said.String())
				}
			})
		})
	}
}
