package server

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered are the series of a server, by name and label.
func gathered(t *testing.T, srv *Server) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(srv))
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range all {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += fmt.Sprintf("{%s=%s}", l.GetName(), l.GetValue())
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

func TestMetricsCountWhatHappens(t *testing.T) {
	r := startServer(t, Options{})
	c := r.dial(t)
	c.say("set k 0 0 5\r\nhello\r\nget k\r\nget none\r\ndelete none\r\nlease-get k2\r\nlease-get k2\r\nlease-set k2 7 0 0 1\r\nx\r\nmn\r\n")
	text := c.hearsUpTo("MN\r\n")
	got := gathered(t, r.Server)
	for name, want := range map[string]float64{
		"mccache_items": 2, "mccache_items_stored_total": 2, "mccache_commands_total{command=set}": 2,
		"mccache_hits_total{command=get}": 1, "mccache_misses_total{command=delete}": 1,
		"mccache_lease_tokens_total{kind=granted}": 1, "mccache_lease_hot_misses_total": 1, "mccache_lease_fills_total{result=refused}": 1,
		"mccache_connections": 1, "mccache_connections_accepted_total": 1, "mccache_memory_limit_bytes": 64 << 20,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v, after\n%s", name, value, want, text)
		}
	}
}

// The names and labels are what dashboards and alerts are written by.
func TestEveryMetricIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cache.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("`(mccache_[a-z_]+)").FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, m[1])
	}
	var there []string
	for name := range gathered(t, testServer(t, Options{})) {
		there = append(there, strings.Split(name, "{")[0])
	}
	slices.Sort(documented)
	slices.Sort(there)
	if there, documented := slices.Compact(there), slices.Compact(documented); !slices.Equal(there, documented) {
		t.Errorf("the server has\n%s\ndocs/cache.md has\n%s", strings.Join(there, "\n"), strings.Join(documented, "\n"))
	}
}
