package server

import "github.com/prometheus/client_golang/prometheus"

// NewCollector reads a server's counters whenever it is asked.
func NewCollector(srv *Server) prometheus.Collector { return collector{srv} }

type collector struct{ srv *Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mccache_"+name, help, labels, nil)
}

var (
	connectionsDesc  = desc("connections", "Connections of clients now.")
	acceptedDesc     = desc("connections_accepted_total", "Connections that were accepted.")
	refusedDesc      = desc("connections_refused_total", "Connections that were over the limit.")
	idleClosedDesc   = desc("connections_closed_idle_total", "Connections closed because nothing came for idle_timeout.")
	slowClosedDesc   = desc("connections_closed_slow_total", "Connections closed because they held memory, of which there was too little left, and moved next to nothing.")
	heldDesc         = desc("connections_held_bytes", "Memory that clients make the server hold, by what for.", "what")
	turnsDesc        = desc("turns_cut_total", "Times that a connection had to let others have their turn.")
	handshakesDesc   = desc("tls_handshake_errors_total", "Connections that failed to agree on encryption.")
	datagramsDesc    = desc("datagrams_total", "Datagrams that came.")
	badDatagramsDesc = desc("datagrams_malformed_total", "Datagrams that were no requests and were dropped.")
	pausesDesc       = desc("accept_pauses_total", "Times that no connection could be accepted, or none was to be.")
)

// Describe is for the registry.
func (c collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect is for the registry.
func (c collector) Collect(out chan<- prometheus.Metric) {
	n := &c.srv.conns
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(connectionsDesc, n.current.Load())
	gauge(heldDesc, n.held.Load(), "commands and answers")
	gauge(heldDesc, n.pinned.Load(), "values being sent")
	gauge(heldDesc, n.partial.Load(), "values being received")
	counter(acceptedDesc, n.total.Load())
	counter(refusedDesc, n.rejected.Load())
	counter(idleClosedDesc, n.idleKicks.Load())
	counter(slowClosedDesc, n.slowCuts.Load())
	counter(turnsDesc, n.yields.Load())
	counter(handshakesDesc, n.handshakeErrors.Load())
	counter(datagramsDesc, n.datagrams.Load())
	counter(badDatagramsDesc, n.badDatagrams.Load())
	counter(pausesDesc, n.disabled.Load())
}
