package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/cache"
)

// NewCollector reads a server's counters whenever it is asked. docs/cache.md lists them.
func NewCollector(srv *Server) prometheus.Collector { return collector{srv} }

type collector struct{ srv *Server }

// snapshot is what the series of one answer are read from.
type snapshot struct {
	*counts
	conns   *connCounts
	store   cache.Stats
	leases  cache.LeaseStats
	classes cache.ClassCounts // of all classes of values
}

func (srv *Server) snapshot() *snapshot {
	s := &snapshot{counts: srv.counted(), conns: &srv.conns, store: srv.store.Stats(), leases: srv.store.LeaseStats()}
	for _, c := range srv.store.Classes() {
		if c.Side {
			continue
		}
		s.classes.Evictions += c.Evictions
		s.classes.EvictedUnread += c.EvictedUnread
		s.classes.Expired += c.Expired
		s.classes.OutOfMemory += c.OutOfMemory
	}
	return s
}

// family is a metric: its series differ in the value of one label, or there is one.
type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	series []series
}

type series struct {
	label string
	read  func(s *snapshot) uint64
}

func counter(name, help string, read func(s *snapshot) uint64) family {
	return family{prometheus.NewDesc("mccache_"+name+"_total", help, nil, nil), prometheus.CounterValue, []series{{"", read}}}
}

func counters(name, label, help string, all ...series) family {
	return family{prometheus.NewDesc("mccache_"+name+"_total", help, []string{label}, nil), prometheus.CounterValue, all}
}

func gauge(name, help string, read func(s *snapshot) uint64) family {
	return family{prometheus.NewDesc("mccache_"+name, help, nil, nil), prometheus.GaugeValue, []series{{"", read}}}
}

// positive is n, which may be below 0 for a moment while others count.
func positive(n int64) uint64 { return uint64(max(n, 0)) }

var families = []family{
	counters("commands", "command", "Commands, by memcached's counters of them. A meta command counts under what it does, too.",
		series{"get", func(s *snapshot) uint64 { return s.cmdGet }}, series{"set", func(s *snapshot) uint64 { return s.cmdSet }},
		series{"touch", func(s *snapshot) uint64 { return s.cmdTouch }}, series{"flush", func(s *snapshot) uint64 { return s.cmdFlush }},
		series{"meta", func(s *snapshot) uint64 { return s.cmdMeta }}),
	counters("hits", "command", "Commands whose key was there.",
		series{"get", func(s *snapshot) uint64 { return s.getHits }}, series{"delete", func(s *snapshot) uint64 { return s.deleteHits }},
		series{"incr", func(s *snapshot) uint64 { return s.incrHits }}, series{"decr", func(s *snapshot) uint64 { return s.decrHits }},
		series{"cas", func(s *snapshot) uint64 { return s.casHits }}, series{"touch", func(s *snapshot) uint64 { return s.touchHits }}),
	counters("misses", "command", "Commands whose key was not there.",
		series{"get", func(s *snapshot) uint64 { return s.getMisses }}, series{"delete", func(s *snapshot) uint64 { return s.deleteMisses }},
		series{"incr", func(s *snapshot) uint64 { return s.incrMisses }}, series{"decr", func(s *snapshot) uint64 { return s.decrMisses }},
		series{"cas", func(s *snapshot) uint64 { return s.casMisses }}, series{"touch", func(s *snapshot) uint64 { return s.touchMisses }}),
	counter("cas_mismatches", "Values that were not stored because another version was there.", func(s *snapshot) uint64 { return s.casBadval }),
	counters("stores_refused", "reason", "Values that were not stored.",
		series{"too_large", func(s *snapshot) uint64 { return s.storeTooLarge }}, series{"no_memory", func(s *snapshot) uint64 { return s.storeNoMemory }}),
	counter("logins", "Attempts to say who one is.", func(s *snapshot) uint64 { return s.authCmds }),
	counter("logins_failed", "Of these, those with a wrong name or password.", func(s *snapshot) uint64 { return s.authErrors }),
	counter("read_bytes", "Bytes of commands.", func(s *snapshot) uint64 { return s.bytesRead }),
	counter("written_bytes", "Bytes of answers.", func(s *snapshot) uint64 { return s.bytesWritten }),

	gauge("items", "Items, and stubs for those that are being fetched.", func(s *snapshot) uint64 { return positive(s.store.Items) }),
	gauge("item_bytes", "What they take.", func(s *snapshot) uint64 { return positive(s.store.Bytes) }),
	gauge("index_bytes", "What finding them takes.", func(s *snapshot) uint64 { return positive(s.store.IndexBytes) }),
	gauge("memory_limit_bytes", "What items and index may take.", func(s *snapshot) uint64 { return positive(s.store.Limit) }),
	counter("items_stored", "Items stored, and stubs made.", func(s *snapshot) uint64 { return s.store.TotalItems }),
	counter("evictions", "Items that went before their time.", func(s *snapshot) uint64 { return s.classes.Evictions }),
	counter("evictions_unread", "Of these, those that nobody had read.", func(s *snapshot) uint64 { return s.classes.EvictedUnread }),
	counter("expired_unread", "Items whose time ended before anybody read them.", func(s *snapshot) uint64 { return s.classes.Expired }),
	counter("pages_moved", "Pages of memory that went from one size class to another.", func(s *snapshot) uint64 { return s.store.PagesMoved }),

	counters("lease_tokens", "kind", "Tokens handed out: granted to the first reader, regranted after the interval, void from the outset for want of memory.",
		series{"granted", func(s *snapshot) uint64 { return s.leases.Granted }}, series{"regranted", func(s *snapshot) uint64 { return s.leases.Regranted }},
		series{"void", func(s *snapshot) uint64 { return s.leases.NoStub }}),
	counter("lease_hot_misses", "Readers who were told to wait.", func(s *snapshot) uint64 { return s.leases.HotMisses }),
	counters("lease_fills", "result", "Values that came with a token: stored, or refused since it was void.",
		series{"stored", func(s *snapshot) uint64 { return s.leases.Filled }}, series{"refused", func(s *snapshot) uint64 { return s.leases.Refused }}),
	counter("stale_hits", "Stale values handed out.", func(s *snapshot) uint64 { return s.leases.StaleHits }),
	gauge("stale_bytes", "What deleted values take that are kept.", func(s *snapshot) uint64 { return positive(s.store.StaleBytes) }),
	counter("holdoff_refusals", "Adds refused by a hold-off.", func(s *snapshot) uint64 { return s.leases.HoldoffRefused }),
	counter("holdoffs_displaced", "Hold-offs without a place: every add was refused instead.", func(s *snapshot) uint64 { return s.leases.HoldoffsDisplaced }),

	gauge("connections", "Connections of clients.", func(s *snapshot) uint64 { return positive(s.conns.current.Load()) }),
	counter("connections_accepted", "Connections accepted.", func(s *snapshot) uint64 { return s.conns.total.Load() }),
	counters("connections_closed", "reason", "Connections that the server ended: over the limit of -c, idle for idle_timeout, or slow: they held memory that was scarce, and moved next to nothing.",
		series{"limit", func(s *snapshot) uint64 { return s.conns.rejected.Load() }}, series{"idle", func(s *snapshot) uint64 { return s.conns.idleKicks.Load() }},
		series{"slow", func(s *snapshot) uint64 { return s.conns.slowCuts.Load() }}),
	{prometheus.NewDesc("mccache_connections_held_bytes", "Memory that clients make the server hold: unfinished commands and unsent answers, values being sent, values being received.", []string{"what"}, nil), prometheus.GaugeValue, []series{
		{"text", func(s *snapshot) uint64 { return positive(s.conns.held.Load()) }}, {"sending", func(s *snapshot) uint64 { return positive(s.conns.pinned.Load()) }},
		{"receiving", func(s *snapshot) uint64 { return positive(s.conns.partial.Load()) }}}},
	counter("accept_pauses", "Times that nobody was accepted: the limit, or the system, had no more.", func(s *snapshot) uint64 { return s.conns.disabled.Load() }),
	counter("turns_cut", "Times that a connection with more to do had to let others go first.", func(s *snapshot) uint64 { return s.conns.yields.Load() }),
	counters("tls_errors", "when", "Encrypted connections that failed, in agreeing or afterwards.",
		series{"handshake", func(s *snapshot) uint64 { return s.conns.handshakeErrors.Load() }}, series{"later", func(s *snapshot) uint64 { return s.conns.protocolErrors.Load() }}),
	counter("datagrams", "Datagrams that came.", func(s *snapshot) uint64 { return s.conns.datagrams.Load() }),
	counter("datagrams_malformed", "Of these, those that were no requests.", func(s *snapshot) uint64 { return s.conns.badDatagrams.Load() }),
}

// Describe is for the registry.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range families {
		out <- f.desc
	}
}

// Collect is for the registry.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.srv.snapshot()
	for _, f := range families {
		for _, one := range f.series {
			var labels []string
			if one.label != "" {
				labels = []string{one.label}
			}
			out <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(one.read(s)), labels...)
		}
	}
}
