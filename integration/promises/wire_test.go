package promises

import (
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
