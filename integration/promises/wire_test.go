package promises

import (
	"fmt"
	"strings"
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

// swallow lets connections be and nothing through, in one direction, until restore.
func (w *wire) swallow(t *testing.T, direction string) {
	t.Helper()
	w.spoil(t, direction, "timeout", "timeout", 0)
}

// restore takes a toxic off again.
func (w *wire) restore(t *testing.T, toxic string) {
	t.Helper()
	if err := w.proxy.Toxics.RemoveToxic(t.Context(), toxic); err != nil {
		t.Fatalf("%s: %v", toxic, err)
	}
}
