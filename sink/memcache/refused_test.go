package memcache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/mcconn"
)

// refuser is a cache that refuses the first deletes for now, and takes the rest.
type refuser struct {
	refuses atomic.Int64 // how many more
	taken   chan string  // keys
}

// serve answers until the connection ends.
func (r *refuser) serve(conn net.Conn) {
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		verb, key, _ := strings.Cut(lines.Text(), " ")
		answer := "VERSION 1.6.0"
		switch {
		case verb != "delete":
		case r.refuses.Add(-1) >= 0:
			answer = "SERVER_ERROR backend failure"
		default:
			answer = "DELETED"
			r.taken <- key
		}
		if _, err := fmt.Fprintf(conn, "%s\r\n", answer); err != nil {
			return
		}
	}
}

// Nothing else happens while a key is refused: no commit comes that would have the
// sender look at what waits to be tried again.
func TestRefusedKeyIsTriedAgainOnAnIdleSource(t *testing.T) {
	for _, refusedMax := range []int{1, 100} {
		t.Run(fmt.Sprintf("refused_max %d", refusedMax), func(t *testing.T) {
			r := &refuser{taken: make(chan string, 10)}
			r.refuses.Store(3)
			s := New(Config{Targets: []string{peer.Listen(t, r.serve)}, Protocol: mcconn.Text, RefusedMax: refusedMax})
			log := batcher.NewLog(batcher.Config{})
			log.SetVisible(batcher.AllVisible)
			cursor, err := log.NewCursor(binlog.Position{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx, cursor) }()
			w := log.Writer()
			if _, err := w.Begin(batcher.Transaction{}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.Key([]byte("k")), w.End(100)); err != nil {
				t.Fatal(err)
			}
			w.Publish()
			select {
			case key := <-r.taken:
				if key != "k" {
					t.Errorf("key %q was taken, want k", key)
				}
			case <-time.After(2 * time.Minute):
				t.Error("a key that was refused is not tried again")
			}
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the sink has ended with %v", err)
			}
		})
	}
}
