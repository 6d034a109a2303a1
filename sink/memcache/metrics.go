package memcache

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/histogram"
)

// Metrics counts what every cluster's caches answered, and how long it took. Each is
// told by cluster. docs/metrics.md has them all.
type Metrics struct {
	deletes, batches, retries, made, lost *prometheus.CounterVec
	inFlight                              *prometheus.GaugeVec
	sizes, sinceVisible, sinceCommit      *histogram.Vec
}

// Results of a delete, as the label "result" has them.
const (
	ResultDeleted  = "deleted"
	ResultNotFound = "not_found"
	ResultRefused  = "refused"   // SERVER_ERROR: tried again
	ResultSetAside = "set_aside" // CLIENT_ERROR, or no key once prefixed: never to be sent again
)

// NewMetrics makes the metrics and registers them at r, unless r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mcsqueal", Name: name, Help: help}, labels)
		if r != nil {
			r.MustRegister(c)
		}
		return c
	}
	m := &Metrics{
		deletes: counter("deletes_total", "Answers to deletes, by cluster and result: deleted, not_found, refused (will be tried again), set_aside (never sent again).", "cluster", "result"),
		batches: counter("batches_total", "Batches of deletes written, by cluster.", "cluster"),
		retries: counter("retried_deletes_total", "Deletes sent again after a cache refused them, by cluster.", "cluster"),
		made:    counter("connections_total", "Connections made to routers and servers, by cluster.", "cluster"),
		lost:    counter("connections_lost_total", "Connections to routers and servers that ended or could not be made, by cluster.", "cluster"),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "mcsqueal", Name: "deletes_in_flight", Help: "Deletes that were sent and have no answer yet, by cluster.",
		}, []string{"cluster"}),
		sizes: histogram.New(r, "mcsqueal_batch_deletes", "Deletes in a batch, which goes out in one write, by cluster.", histogram.Sizes(), "cluster"),
		sinceVisible: histogram.New(r, "mcsqueal_visible_to_acknowledged_seconds",
			"From when a commit could be read on the source to the answer to its delete, for each delete, by cluster. Those of one batch count as late as the oldest.", histogram.Seconds(), "cluster"),
		sinceCommit: histogram.New(r, "mcsqueal_commit_to_acknowledged_seconds",
			"From a commit, by the source's clock, to the answer to its delete, for each delete, by cluster. Those of one batch count as late as the oldest.", histogram.Seconds(), "cluster"),
	}
	if r != nil {
		r.MustRegister(m.inFlight)
	}
	return m
}

// counters is one cluster's part of the metrics, looked up once.
type counters struct {
	deleted, notFound, refused, setAside, batches, retried, made, lost prometheus.Counter
	inFlight                                                           prometheus.Gauge
	sizes, sinceVisible, sinceCommit                                   *histogram.Histogram
}

func (m *Metrics) of(cluster string) counters {
	return counters{
		deleted:      m.deletes.WithLabelValues(cluster, ResultDeleted),
		notFound:     m.deletes.WithLabelValues(cluster, ResultNotFound),
		refused:      m.deletes.WithLabelValues(cluster, ResultRefused),
		setAside:     m.deletes.WithLabelValues(cluster, ResultSetAside),
		batches:      m.batches.WithLabelValues(cluster),
		retried:      m.retries.WithLabelValues(cluster),
		made:         m.made.WithLabelValues(cluster),
		lost:         m.lost.WithLabelValues(cluster),
		inFlight:     m.inFlight.WithLabelValues(cluster),
		sizes:        m.sizes.Of(cluster),
		sinceVisible: m.sinceVisible.Of(cluster),
		sinceCommit:  m.sinceCommit.Of(cluster),
	}
}

// Totals are what a cluster's metrics have come to.
type Totals struct {
	Deleted, NotFound, Refused, SetAside, Batches, Lost, InFlight uint64
}

// Totals are those of the Sink's cluster, of all its Sinks together.
func (s *Sink) Totals() Totals {
	c := &s.counters
	return Totals{
		Deleted: value(c.deleted), NotFound: value(c.notFound), Refused: value(c.refused), SetAside: value(c.setAside),
		Batches: value(c.batches), Lost: value(c.lost), InFlight: value(c.inFlight),
	}
}

// value is what a counter or a gauge of whole things has come to.
func value(m prometheus.Metric) uint64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		return 0 // neither has any
	}
	return uint64(max(0, d.GetCounter().GetValue()+d.GetGauge().GetValue()))
}

// Windows tell how late a cluster's deletes have been lately.
type Windows struct{ SinceVisible, SinceCommit *histogram.Window }

// Windows are those of the Sink's cluster, of all its Sinks together, from now on.
func (s *Sink) Windows() Windows {
	return Windows{histogram.NewWindow(s.counters.sinceVisible), histogram.NewWindow(s.counters.sinceCommit)}
}

// delay is since when deletes have been due, in microseconds since 1970; 0 where that
// is not known.
type delay struct{ committed, visible int64 }

func delayOf(b *batcher.Batch) delay { return delay{b.Time, b.Visible} }

// delivered takes note of n deletes that a cache has carried out.
func (c *counters) delivered(d delay, n int, now int64) {
	if n <= 0 {
		return
	}
	if d.visible != 0 {
		c.sinceVisible.Observe(now-d.visible, uint64(n))
	}
	if d.committed != 0 {
		c.sinceCommit.Observe(now-d.committed, uint64(n))
	}
}

// Forget removes what is counted for a cluster that is no more. No Sink of it is at
// work any more.
func (m *Metrics) Forget(cluster string) {
	for _, vec := range []*prometheus.CounterVec{m.deletes, m.batches, m.retries, m.made, m.lost} {
		vec.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
	}
	m.inFlight.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
	for _, vec := range []*histogram.Vec{m.sizes, m.sinceVisible, m.sinceCommit} {
		vec.Forget(cluster)
	}
}
