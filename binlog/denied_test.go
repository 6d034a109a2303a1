package binlog

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// silent reads, and says nothing.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func TestAPortThatIsNoServersIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		says  string
	}{
		"silent":        {silent, "says nothing, as a MySQL or MariaDB server would"},
		"hanging up":    {func(net.Conn) {}, "ends them without a word"},
		"of a shell":    {func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); silent(c) }, `is no MySQL or MariaDB server: it said "SSH-2.0-OpenSSH_9.2`},
		"of few words":  {func(c net.Conn) { _, _ = io.WriteString(c, "?\r\n") }, `is no MySQL or MariaDB server: it said "?`},
		"of many words": {func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 400 ", 1000)) }, `is no MySQL or MariaDB server: it said "HTTP/1.1`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := connectPiped(t.Context(), c.serve, 300*time.Millisecond)
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "db:3306") {
					t.Errorf("got %v, want %q", err, c.says)
				}
			})
		})
	}
	t.Run("not waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer stop()
			err := connectPiped(ctx, silent, 0)
			if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "says nothing") {
				t.Errorf("got %v, want the context's end alone", err)
			}
		})
	})
}

// connectPiped connects, through a pipe, to what serve plays.
func connectPiped(ctx context.Context, serve func(net.Conn), timeout time.Duration) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	_, err := Connect(ctx, ServerConfig{Address: "db:3306", User: "mcsqueal", Timeout: timeout, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		serving.Go(func() {
			defer func() { _ = theirs.Close() }()
			serve(theirs)
		})
		return ours, nil
	}})
	return err
}

func TestAnAccountCanStandInAStatement(t *testing.T) {
	for current, want := range map[string]string{
		"mcsqueal@127.0.0.1": "'mcsqueal'@'127.0.0.1'",
		"a@b@%":              "'a@b'@'%'",
		"it's@%":             "'it''s'@'%'",
		"@localhost":         "''@'localhost'",
	} {
		if got := quoteAccount(current); got != want {
			t.Errorf("%s: %s, want %s", current, got, want)
		}
	}
}
