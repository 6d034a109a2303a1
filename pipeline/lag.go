package pipeline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
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
	unackedDesc = prometheus.NewDesc("mcsqueal_unacknowledged_bytes",
		"How much of the Log a cluster has not acknowledged; the connection of it that is furthest behind. At mcsqueal_log_capacity_bytes it falls behind the others.", []string{"cluster"}, nil)
	usedDesc = prometheus.NewDesc("mcsqueal_log_used_bytes",
		"How much of the main reading's Log holds what its fastest cluster has not acknowledged, in whole chunks. When it is full, reading pauses.", nil, nil)
	capacityDesc = prometheus.NewDesc("mcsqueal_log_capacity_bytes",
		"The bound of the main reading's Log.", nil, nil)
	privateDesc = prometheus.NewDesc("mcsqueal_catch_up_readings",
		"Readings of the log by which clusters catch up, beside the main one.", nil, nil)
	tailingDesc = prometheus.NewDesc("mcsqueal_source_tailing",
		"1 while the source's log is being read, 0 while the source is connected to or waited for.", nil, nil)
	heardDesc = prometheus.NewDesc("mcsqueal_source_heard_timestamp_seconds",
		"When something last came from the source, a heartbeat at least, in seconds since 1970; 0: nothing yet.", nil, nil)
	visibilityDesc = prometheus.NewDesc("mcsqueal_visibility_wait_seconds",
		"How long commits that are in the log have been waited for to be readable on the source; 0 if none are.", nil, nil)
)

// Describe implements prometheus.Collector.
func (Lags) Describe(out chan<- *prometheus.Desc) {
	out <- lagDesc
	out <- refusedDesc
	out <- stateDesc
	out <- visibilityDesc
	out <- unackedDesc
	out <- usedDesc
	out <- capacityDesc
	out <- privateDesc
	out <- tailingDesc
	out <- heardDesc
}

// Collect implements prometheus.Collector.
func (l Lags) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, c := range l.p.clusters {
		lag := c.lag()
		age := 0.0
		if lag.Oldest != 0 {
			age = max(0, now.Sub(time.UnixMicro(lag.Oldest)).Seconds())
		}
		gauge(lagDesc, age, c.Name)
		gauge(refusedDesc, float64(lag.Refused), c.Name)
		gauge(unackedDesc, float64(lag.Bytes), c.Name)
		is := c.doing()
		for d, name := range doingNames {
			gauge(stateDesc, oneIf(doing(d) == is), c.Name, name)
		}
	}
	gauge(visibilityDesc, l.p.unreadable(now).Seconds())
	main, private := l.p.readings()
	gauge(privateDesc, float64(private))
	var used, capacity int64
	if main != nil {
		capacity = main.reading.log.Capacity()
		used = capacity - main.reading.log.Free()
	}
	gauge(usedDesc, float64(used))
	gauge(capacityDesc, float64(capacity))
	if state, ok := main.source(); ok {
		heard := 0.0
		if !state.Heard.IsZero() {
			heard = seconds(state.Heard.UnixMicro())
		}
		gauge(tailingDesc, oneIf(state.Tailing))
		gauge(heardDesc, heard)
	}
}

// readings are the main one, nil before it has begun, and how many others there are.
func (p *Pipeline) readings() (main *stream, private int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.main, len(p.private)
}

// source is what the stream's source is at; not ok where it is none that could tell,
// like log files.
func (s *stream) source() (state binlog.LiveState, ok bool) {
	if s == nil {
		return state, false
	}
	live, ok := s.reading.source.(interface{ State() binlog.LiveState })
	if !ok {
		return state, false
	}
	return live.State(), true
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds makes seconds of microseconds.
func seconds(micros int64) float64 { return float64(micros) / 1e6 }

// lag is how far the cluster is behind: its lane that is furthest, and what all of them
// refuse.
func (c *cluster) lag() (all batcher.Lag) {
	for _, lane := range c.lanes {
		lag := lane.lag()
		all.Refused += lag.Refused
		all.Bytes = max(all.Bytes, lag.Bytes)
		if lag.Oldest != 0 && (all.Oldest == 0 || lag.Oldest < all.Oldest) {
			all.Oldest = lag.Oldest
		}
	}
	return all
}

// lag is how far the lane's first cursor is behind. Between streams it is what it was.
func (l *lane) lag() batcher.Lag {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cursors == nil {
		return l.lagged
	}
	return l.cursors[0].Lag()
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
