package integration

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// recorder leads to a server, and notes what it is sent.
type recorder struct {
	addr string
	sent harness.Transcript
}

// record takes the first port that is free.
func record(t *testing.T, server string) *recorder {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: listener.Addr().String()}
	// Those who connect are gone before: they are cleaned up first.
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed by the test's end
			}
			connections.Go(func() { r.serve(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		connections.Wait()
	})
	return r
}

// serve passes one connection on until either side ends it.
func (r *recorder) serve(client net.Conn, server string) {
	defer client.Close()
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
