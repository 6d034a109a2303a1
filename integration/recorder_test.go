package integration

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/peer"
)

// recorder leads to a server, and notes what it is sent.
type recorder struct {
	addr string
	sent harness.Transcript
}

// record takes the first port that is free.
func record(t *testing.T, server string) *recorder {
	t.Helper()
	r := &recorder{}
	r.addr = peer.Listen(t, func(client net.Conn) { r.serve(client, server) })
	return r
}

// serve passes one connection on until either side ends it.
func (r *recorder) serve(client net.Conn, server string) {
	upstream, err := (&net.Dialer{}).Dial("tcp", server)
	if err != nil {
		return // which the client sees
	}
	defer upstream.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, upstream)
		_ = client.Close()
	})
	_, _ = io.Copy(io.MultiWriter(upstream, &r.sent), client)
	_ = upstream.Close()
	back.Wait()
}
