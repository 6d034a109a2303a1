package harness

import (
	"fmt"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Wire is what connections of mcsqueal lead through, so that they can be cut and slowed.
type Wire struct {
	proxy *toxiproxy.Proxy
}

// NewWire leads to a server, on a port that stays its own while it is cut.
func NewWire(t *testing.T, server string) *Wire {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &Wire{proxy: toxiproxy.NewProxy(api, t.Name(), fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t)), server)}
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.Stop)
	return w
}

// Addr is host:port at which it begins.
func (w *Wire) Addr() string { return w.proxy.Listen }

// Cut ends every connection; none is let in before Mend.
func (w *Wire) Cut() { w.proxy.Stop() }

// Mend lets connections in again.
func (w *Wire) Mend(t *testing.T) {
	t.Helper()
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
}

// Spoil does something to what comes from the server (downstream) or goes to it
// (upstream), on every connection: one of toxiproxy's toxics with one attribute.
func (w *Wire) Spoil(t *testing.T, direction, toxic, attribute string, value int) {
	t.Helper()
	_, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": %q, "type": %q, "stream": %q, "attributes": {%q: %d}}`, toxic, toxic, direction, attribute, value)))
	if err != nil {
		t.Fatalf("%s: %v", toxic, err)
	}
}

// Swallow lets connections be and nothing through, in one direction, until Restore of
// "timeout".
func (w *Wire) Swallow(t *testing.T, direction string) {
	t.Helper()
	w.Spoil(t, direction, "timeout", "timeout", 0)
}

// Restore takes a toxic off again.
func (w *Wire) Restore(t *testing.T, toxic string) {
	t.Helper()
	if err := w.proxy.Toxics.RemoveToxic(t.Context(), toxic); err != nil {
		t.Fatalf("%s: %v", toxic, err)
	}
}
