package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/pipeline"
	"github.com/mcsqueal/mcsqueal/release"
	"github.com/mcsqueal/mcsqueal/sink/memcache"
)

// daemonMetrics are those that a daemon's stages move.
type daemonMetrics struct {
	connections *binlog.Metrics
	read        *pipeline.Metrics
	sent        *memcache.Metrics
	reloads     *reloadMetrics
}

// newDaemonMetrics registers what a daemon tells of itself, and what every Go program
// does. docs/metrics.md is to have all of it.
func newDaemonMetrics(r prometheus.Registerer) daemonMetrics {
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "mcsqueal", Name: "build_info", Help: "Always 1; its labels say which version runs.",
			ConstLabels: prometheus.Labels{"version": release.Version(), "go": runtime.Version()},
		}, func() float64 { return 1 }),
	)
	return daemonMetrics{
		connections: binlog.NewMetrics(r), read: pipeline.NewMetrics(r), sent: memcache.NewMetrics(r), reloads: newReloadMetrics(r),
	}
}
