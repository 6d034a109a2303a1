package memcache

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what every cluster's caches answered.
type Metrics struct {
	deletes *prometheus.CounterVec
	batches *prometheus.CounterVec
	retries *prometheus.CounterVec
	lost    *prometheus.CounterVec
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
	return &Metrics{
		deletes: counter("deletes_total", "Answers to deletes, by cluster and result: deleted, not_found, refused (will be tried again), set_aside (never sent again).", "cluster", "result"),
		batches: counter("batches_total", "Batches of deletes written, by cluster.", "cluster"),
		retries: counter("retried_deletes_total", "Deletes sent again after a cache refused them, by cluster.", "cluster"),
		lost:    counter("connections_lost_total", "Connections to routers and servers that ended or could not be made, by cluster.", "cluster"),
	}
}

// counters is one cluster's part of the metrics, looked up once.
type counters struct {
	deleted, notFound, refused, setAside, batches, retried, lost prometheus.Counter
}

func (m *Metrics) of(cluster string) counters {
	return counters{
		deleted:  m.deletes.WithLabelValues(cluster, ResultDeleted),
		notFound: m.deletes.WithLabelValues(cluster, ResultNotFound),
		refused:  m.deletes.WithLabelValues(cluster, ResultRefused),
		setAside: m.deletes.WithLabelValues(cluster, ResultSetAside),
		batches:  m.batches.WithLabelValues(cluster),
		retried:  m.retries.WithLabelValues(cluster),
		lost:     m.lost.WithLabelValues(cluster),
	}
}

// Forget removes what is counted for a cluster that is no more. No Sink of it is at
// work any more.
func (m *Metrics) Forget(cluster string) {
	for _, vec := range []*prometheus.CounterVec{m.deletes, m.batches, m.retries, m.lost} {
		vec.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
	}
}
