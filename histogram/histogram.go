// Package histogram counts how long things took and how large they were, where they
// are too many for a lock or an allocation each. What comes in is numbers, any of them
// many times at once; what goes out is a Prometheus histogram with native buckets, and
// classic ones for who has no use for those. It keeps watching out of the hot path's
// way: an observation is three atomic additions, however often it is made.
//
// client_golang's own histograms take one observation at a time, and a batch has a
// thousand; a test holds this one to saying exactly what they say.
package histogram

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// schema is the native buckets' resolution: perOctave of them between a number and its
// double, each a twelfth wider than the one before.
const (
	schema    = 3
	perOctave = 1 << schema
)

// bounds are the upper bounds of the native buckets from 0.5 on; the next is 1.
var bounds = func() (b [perOctave]float64) {
	for i := range b {
		b[i] = math.Exp2(float64(i)/perOctave) / 2
	}
	return b
}()

// Options are what a histogram is made with.
type Options struct {
	// Unit is what one of the whole numbers that are observed is worth: 1e-6 where
	// microseconds are observed and seconds are told.
	Unit float64
	// Least and Most are the exponents of the smallest and the largest number that is
	// told apart, as powers of two of what is told. What is smaller counts as zero, what
	// is larger as the largest.
	Least, Most int
	// Classic are the upper bounds of the classic buckets, as they are told, in order.
	Classic []float64
}

// Seconds are for times, observed in microseconds: from one of them to twelve days.
func Seconds() Options {
	return Options{Unit: 1e-6, Least: -20, Most: 20, Classic: []float64{
		.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600,
	}}
}

// Sizes are for numbers of things, up to a million.
func Sizes() Options {
	return Options{Unit: 1, Least: -1, Most: 20, Classic: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}}
}

// Histogram is one of them. Any goroutine may use it. It is a prometheus.Metric, for a
// collector to hand on.
type Histogram struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	options Options

	zero    atomic.Uint64
	native  []atomic.Uint64
	classic []atomic.Uint64 // each one's own, and behind them what is larger
	sum     atomic.Uint64   // in units
}

// Vec is histograms of one name, told apart by the value of one label or of none. It is
// a prometheus.Collector. Any goroutine may use it.
type Vec struct {
	desc    *prometheus.Desc
	label   string
	options Options

	mu  sync.Mutex
	all map[string]*Histogram // by the label's value; guarded by mu
}

// New makes the histograms of a name and registers them at r, unless r is nil. Without
// a label (empty) there is one, that of the value "".
func New(r prometheus.Registerer, name, help string, o Options, label string) *Vec {
	var labels []string
	if label != "" {
		labels = []string{label}
	}
	v := &Vec{desc: prometheus.NewDesc(name, help, labels, nil), label: label, options: o, all: make(map[string]*Histogram)}
	if label == "" {
		v.Of("")
	}
	if r != nil {
		r.MustRegister(v)
	}
	return v
}

// Of is the histogram of a value of the label, told from then on even if it is empty.
func (v *Vec) Of(value string) *Histogram {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.all[value]
	if h == nil {
		o := v.options
		h = &Histogram{
			desc: v.desc, options: o,
			native:  make([]atomic.Uint64, (o.Most-o.Least)*perOctave),
			classic: make([]atomic.Uint64, len(o.Classic)+1),
		}
		if v.label != "" {
			h.labels = []*dto.LabelPair{{Name: proto.String(v.label), Value: proto.String(value)}}
		}
		v.all[value] = h
	}
	return h
}

// Forget removes the histogram of a value, which nobody is to observe with any more.
func (v *Vec) Forget(value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, value)
}

// Describe implements prometheus.Collector.
func (v *Vec) Describe(out chan<- *prometheus.Desc) { out <- v.desc }

// Collect implements prometheus.Collector.
func (v *Vec) Collect(out chan<- prometheus.Metric) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.all {
		out <- h
	}
}

// Observe counts a number n times. One below zero counts as zero: two machines' clocks
// never agree. It allocates nothing. BenchmarkObserve guards it.
func (h *Histogram) Observe(value int64, n uint64) {
	if n == 0 {
		return
	}
	value = max(0, value)
	h.sum.Add(uint64(value) * n)
	told := float64(value) * h.options.Unit
	h.bucket(told).Add(n)
	i, _ := slices.BinarySearch(h.options.Classic, told)
	h.classic[i].Add(n)
}

// bucket is the native bucket of a number.
func (h *Histogram) bucket(told float64) *atomic.Uint64 {
	fraction, exponent := math.Frexp(told)
	within, _ := slices.BinarySearch(bounds[:], fraction)
	i := within + (exponent-1)*perOctave - h.first()
	if told == 0 || i < 0 {
		return &h.zero
	}
	return &h.native[min(i, len(h.native)-1)]
}

// first is the number of the first native bucket, whose upper bound is 2 to the power
// of first/perOctave.
func (h *Histogram) first() int { return h.options.Least*perOctave + 1 }

// Desc implements prometheus.Metric.
func (h *Histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements prometheus.Metric. What is observed meanwhile is in it or not, and
// the count is always that of the buckets.
func (h *Histogram) Write(m *dto.Metric) error {
	d := &dto.Histogram{
		Schema:        proto.Int32(schema),
		ZeroThreshold: proto.Float64(math.Ldexp(1, h.options.Least)),
	}
	zero := h.zero.Load()
	d.ZeroCount = proto.Uint64(zero)
	count := zero + h.spans(d)
	d.SampleCount = proto.Uint64(count)
	d.SampleSum = proto.Float64(float64(h.sum.Load()) * h.options.Unit)
	var so uint64
	for i, bound := range h.options.Classic {
		so = min(so+h.classic[i].Load(), count)
		d.Bucket = append(d.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(so), UpperBound: proto.Float64(bound)})
	}
	m.Label, m.Histogram = h.labels, d
	return nil
}

// spans writes the native buckets that are not empty, and adds them up. Two that are
// close go into one span, for a few empty ones are shorter than a span.
func (h *Histogram) spans(d *dto.Histogram) (count uint64) {
	const near = 2
	var last int64 // the count of the bucket before
	end := 0       // index behind the last span's last bucket
	for i := range h.native {
		n := h.native[i].Load()
		if n == 0 {
			continue
		}
		count += n
		index := i + h.first()
		gap := index - end
		if len(d.PositiveSpan) == 0 || gap > near {
			d.PositiveSpan = append(d.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(gap)), Length: proto.Uint32(0)})
		} else {
			for range gap {
				d.PositiveDelta = append(d.PositiveDelta, -last)
				last = 0
				*d.PositiveSpan[len(d.PositiveSpan)-1].Length++
			}
		}
		*d.PositiveSpan[len(d.PositiveSpan)-1].Length++
		d.PositiveDelta = append(d.PositiveDelta, int64(n)-last)
		last, end = int64(n), index+1
	}
	return count
}

// Count is how many numbers were observed.
func (h *Histogram) Count() uint64 {
	n := h.zero.Load()
	for i := range h.native {
		n += h.native[i].Load()
	}
	return n
}

// Quantile is a number that a share q of those observed do not exceed, to within a
// twelfth; not a number if none was. It is for people: Prometheus has its own.
func (h *Histogram) Quantile(q float64) float64 {
	zero, native := h.counts(nil)
	count := zero
	for _, n := range native {
		count += n
	}
	if count == 0 {
		return math.NaN()
	}
	return h.quantile(q, count, zero, native)
}
