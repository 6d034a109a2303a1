package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/extract"
)

// Metrics counts what is read. The sinks count what is delivered.
type Metrics struct {
	transactions, keys, textless, pauses, hurried prometheus.Counter
	warnings, gaps                                *prometheus.CounterVec
	refusedTags                                   map[extract.Reason]prometheus.Counter
}

// NewMetrics makes the metrics and registers them at r, unless r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	register := func(c prometheus.Collector) {
		if r != nil {
			r.MustRegister(c)
		}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "mcsqueal", Name: name, Help: help})
		register(c)
		return c
	}
	m := &Metrics{
		transactions: counter("transactions_read_total", "Transactions read from the log, with keys or without."),
		keys:         counter("keys_read_total", "Keys found in the log, once for each transaction."),
		textless:     counter("rows_without_text_total", "Row events whose statement's text is not in the log, so that its tags are not seen."),
		pauses:       counter("reading_pauses_total", "Times the dump was closed because the Log was full."),
		hurried:      counter("redeletes_hurried_total", "Times second deletes had to leave before their delay was over, because the Log was too short for it."),
		warnings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "mcsqueal", Name: "log_warnings_total",
			Help: "Things in the log that may have carried keys and could not be read as such, by kind.",
		}, []string{"kind"}),
		refusedTags: make(map[extract.Reason]prometheus.Counter),
	}
	register(m.warnings)
	m.gaps = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "mcsqueal", Name: "gaps_total",
		Help: "Times the source no longer had what a cluster needed, by cluster.",
	}, []string{"cluster"})
	register(m.gaps)
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "mcsqueal", Name: "tags_refused_total",
		Help: "What was meant as a key in a tag and was not taken for one, by reason.",
	}, []string{"reason"})
	register(refused)
	for _, reason := range extract.Reasons() {
		m.refusedTags[reason] = refused.WithLabelValues(reason.String())
	}
	return m
}
