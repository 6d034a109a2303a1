package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wire is what connections of mcsqueal lead through, so that they can be cut and
// slowed.
type wire struct {
	proxy *toxiproxy.Proxy
}

// newWire leads to a server, and takes the first port that is free.
func newWire(t *testing.T, server string) *wire {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{proxy: toxiproxy.NewProxy(api, t.Name(), "127.0.0.1:0", server)}
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.Stop)
	return w
}

func (w *wire) addr() string { return w.proxy.Listen }

// cut ends every connection; none is let in before mend.
func (w *wire) cut() { w.proxy.Stop() }

func (w *wire) mend(t *testing.T) {
	t.Helper()
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
}

// spoil does something to what comes from the server (downstream) or goes to it
// (upstream), on every connection: one of toxiproxy's toxics with one attribute.
func (w *wire) spoil(t *testing.T, direction, toxic, attribute string, value int) {
	t.Helper()
	_, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": %q, "type": %q, "stream": %q, "attributes": {%q: %d}}`, toxic, toxic, direction, attribute, value)))
	if err != nil {
		t.Fatalf("%s: %v", toxic, err)
	}
}

// restore takes a toxic off again.
func (w *wire) restore(t *testing.T, toxic string) {
	t.Helper()
	if err := w.proxy.Toxics.RemoveToxic(t.Context(), toxic); err != nil {
		t.Fatalf("%s: %v", toxic, err)
	}
}

// recorder leads to a server, too, and notes what it is sent.
type recorder struct {
	addr string
	sent transcript
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
