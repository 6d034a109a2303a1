package pipeline

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/histogram"
)

// Metrics counts what is read, and what becomes of clusters. The sinks count what is
// delivered; Lags tells what can only be asked. docs/metrics.md has them all.
type Metrics struct {
	transactions, keys, textless, pauses, hurried, unsaved prometheus.Counter
	warnings, gaps, behind                                 *prometheus.CounterVec
	refusedTags                                            map[extract.Reason]prometheus.Counter
	untagged, rowless, unserved                            *tableCounter
	sinceCommit, sinceRead                                 *histogram.Histogram
	saved                                                  prometheus.Gauge
	newest                                                 atomic.Int64 // commit, in microseconds since 1970
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
		unsaved:      counter("checkpoint_failures_total", "Times the checkpoint could not be saved; delivery goes on."),
		sinceCommit: histogram.New(r, "mcsqueal_commit_to_read_seconds",
			"From a commit, by the source's clock, to the reading of its first event, for each transaction of the main reading.", histogram.Seconds(), "").Of(""),
		sinceRead: histogram.New(r, "mcsqueal_read_to_visible_seconds",
			"From the reading of a transaction to when everybody can read it on the source, for each transaction of the main reading; none with visibility off.", histogram.Seconds(), "").Of(""),
		saved: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "mcsqueal", Name: "checkpoint_saved_timestamp_seconds",
			Help: "When the checkpoint was last saved, in seconds since 1970; 0: not since the start. It is saved when a position has moved.",
		}),
		warnings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "mcsqueal", Name: "log_warnings_total",
			Help: "Things in the log that may have carried keys and could not be read as such, by kind.",
		}, []string{"kind"}),
		refusedTags: make(map[extract.Reason]prometheus.Counter),
	}
	register(m.warnings)
	m.gaps = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "mcsqueal", Name: "gaps_total",
		Help: "Times the source no longer had what a cluster needed, or the keys of what it had could not be told, by cluster.",
	}, []string{"cluster"})
	register(m.gaps)
	m.behind = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "mcsqueal", Name: "fallen_behind_total",
		Help: "Times a cluster's connection was a whole Log behind the others and went on from its own position, by cluster.",
	}, []string{"cluster"})
	register(m.behind)
	register(m.saved)
	register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "mcsqueal", Name: "newest_commit_timestamp_seconds",
		Help: "When the newest transaction that was read was committed, by the source's clock, in seconds since 1970; 0: none was read yet. It stands still while nobody commits.",
	}, func() float64 { return seconds(m.newest.Load()) }))
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "mcsqueal", Name: "tags_refused_total",
		Help: "What was meant as a key in a tag, or made by a rule, and was not taken for one, by reason.",
	}, []string{"reason"})
	register(refused)
	for _, reason := range extract.Reasons() {
		m.refusedTags[reason] = refused.WithLabelValues(reason.String())
	}
	byTable := func(name, help string) *tableCounter {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mcsqueal", Name: name, Help: help}, []string{"table"})
		register(vec)
		return &tableCounter{vec: vec, tables: make(map[string]prometheus.Counter)}
	}
	m.untagged = byTable("transactions_without_keys_total", "Transactions that changed rows of a table and had no key at all, by table; the first 100 tables met, then other. Of one transaction 8 tables count at most; of statements without rows, those that name a table.")
	m.rowless = byTable("rule_rowless_changes_total", "Changes to a rule's table of which the log has no rows, so that the rule saw nothing of them, by table.")
	m.unserved = byTable("rule_rows_unserved_total", "Row events of which a rule's keys could not be had for certain, or whose table is one of those under a rule's wildcards and lacks the column, by table.")
	return m
}

// Forget removes what is counted for a cluster that is no more. Nothing counts for it
// any more.
func (m *Metrics) Forget(cluster string) {
	m.gaps.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
	m.behind.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
}

// Totals are what the metrics have come to.
type Totals struct {
	Transactions, Keys, RowsWithoutText uint64
	// NewestCommit is when the last transaction that was read was committed; zero if none
	// was.
	NewestCommit time.Time
}

// Totals are those of all that was read.
func (m *Metrics) Totals() Totals {
	t := Totals{Transactions: value(m.transactions), Keys: value(m.keys), RowsWithoutText: value(m.textless)}
	if newest := m.newest.Load(); newest != 0 {
		t.NewestCommit = time.UnixMicro(newest)
	}
	return t
}

// value is what a counter of whole things has come to.
func value(m prometheus.Counter) uint64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		return 0 // it has none
	}
	return uint64(d.GetCounter().GetValue())
}

// Windows tell how late transactions have been lately.
type Windows struct{ SinceCommit, SinceRead *histogram.Window }

// Windows are those of the main reading, from now on.
func (m *Metrics) Windows() Windows {
	return Windows{histogram.NewWindow(m.sinceCommit), histogram.NewWindow(m.sinceRead)}
}

// of makes what is told of a cluster known, so that it is told before it moves.
func (m *Metrics) of(cluster string) {
	m.gaps.WithLabelValues(cluster)
	m.behind.WithLabelValues(cluster)
}

// maxTables is how many tables a metric has a label for, each.
const maxTables = 100

// tableCounter counts by table. Any goroutine may use it.
type tableCounter struct {
	mu     sync.Mutex
	vec    *prometheus.CounterVec
	tables map[string]prometheus.Counter // guarded by mu
}

// of gives the counter of a table; once there are as many as there may be, that of
// all others.
func (c *tableCounter) of(schema, table []byte) prometheus.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := string(schema) + "." + string(table)
	if counter, ok := c.tables[name]; ok {
		return counter
	}
	label := strings.ToValidUTF8(name, "\ufffd")
	if len(c.tables) >= maxTables {
		return c.vec.WithLabelValues("other")
	}
	counter := c.vec.WithLabelValues(label)
	c.tables[name] = counter
	return counter
}
