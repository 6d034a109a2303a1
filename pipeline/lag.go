package pipeline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Lags tells, whenever it is asked, how far each cluster is behind and why. Register it
// where the Pipeline's other metrics are. Any goroutine may use it, as long as it likes.
type Lags struct{ p *Pipeline }

// Lags are the Pipeline's.
func (p *Pipeline) Lags() Lags { return Lags{p} }

var (
	lagDesc = prometheus.NewDesc("mcsqueal_lag_seconds",
		"Age of the oldest commit that a cluster has not acknowledged whole, or refuses keys of; 0 if there is none.", []string{"cluster"}, nil)
	refusedDesc = prometheus.NewDesc("mcsqueal_refused_keys",
		"Keys that a cluster's caches refuse for now; they are tried again.", []string{"cluster"}, nil)
	stateDesc = prometheus.NewDesc("mcsqueal_cluster_state",
		"1 for what a cluster is at, 0 for everything else: in_step, catching_up, waiting (for a reading of the log) or gap.", []string{"cluster", "state"}, nil)
	visibilityDesc = prometheus.NewDesc("mcsqueal_visibility_wait_seconds",
		"How long commits that are in the log have been waited for to be readable on the source; 0 if none are.", nil, nil)
)

// Describe implements prometheus.Collector.
func (Lags) Describe(out chan<- *prometheus.Desc) {
	out <- lagDesc
	out <- refusedDesc
	out <- stateDesc
	out <- visibilityDesc
}

// Collect implements prometheus.Collector.
func (l Lags) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, c := range l.p.clusters {
		var oldest int64
		refused := 0
		for _, lane := range c.lanes {
			at, n := lane.lag()
			if refused += n; at != 0 && (oldest == 0 || at < oldest) {
				oldest = at
			}
		}
		age := 0.0
		if oldest != 0 {
			age = max(0, now.Sub(time.UnixMicro(oldest)).Seconds())
		}
		gauge(lagDesc, age, c.Name)
		gauge(refusedDesc, float64(refused), c.Name)
		is := c.doing()
		for d, name := range map[doing]string{inStep: "in_step", catchingUp: "catching_up", waiting: "waiting", atGap: "gap"} {
			v := 0.0
			if d == is {
				v = 1
			}
			gauge(stateDesc, v, c.Name, name)
		}
	}
	gauge(visibilityDesc, l.p.unreadable(now).Seconds())
}

// lag is when the oldest transaction was committed that the lane has not acknowledged
// whole, in microseconds since 1970, 0 if there is none; and how many keys are refused.
// Between streams it is what it was.
func (l *lane) lag() (oldest int64, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cursors == nil {
		return l.oldest, l.refused
	}
	lag := l.cursors[0].Lag()
	return lag.Oldest, lag.Refused
}

// unreadable is how long the main reading's barrier has been waiting by now.
func (p *Pipeline) unreadable(now time.Time) time.Duration {
	p.mu.Lock()
	main := p.main
	p.mu.Unlock()
	if main == nil {
		return 0
	}
	since := main.waits.Load()
	if since == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMicro(since)))
}
