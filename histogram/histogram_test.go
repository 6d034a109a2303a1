package histogram

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

// told is what a collector tells, with what differs from one library to the other taken
// out: spans, which may hold empty buckets or not, written out.
func told(t testing.TB, c prometheus.Collector) (*dto.Histogram, map[int32]int64) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	h := families[0].GetMetric()[0].GetHistogram()
	buckets := make(map[int32]int64)
	index, count, delta := int32(0), int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			count += h.GetPositiveDelta()[delta]
			if count > 0 {
				buckets[index] = count
			}
			delta++
			index++
		}
	}
	if delta != len(h.GetPositiveDelta()) {
		t.Fatalf("%d deltas, and spans for %d", len(h.GetPositiveDelta()), delta)
	}
	h.PositiveSpan, h.PositiveDelta, h.CreatedTimestamp = nil, nil, nil
	return h, buckets
}

// client_golang's histogram, which takes one observation at a time, is asked for the
// same.
func TestItSaysWhatClientGolangSays(t *testing.T) {
	for name, o := range map[string]Options{"seconds": Seconds(), "sizes": Sizes()} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				ours := New(nil, "x", "X.", o, "")
				theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
					Name: "x", Help: "X.", Buckets: o.Classic, NativeHistogramBucketFactor: 1.1,
					NativeHistogramZeroThreshold: math.Exp2(float64(o.Least)),
				})
				most := int64(math.Exp2(float64(o.Most)) / o.Unit)
				for range rapid.IntRange(0, 20).Draw(rt, "observations") {
					// Of every magnitude, and at every power of two.
					value := min(most, rapid.Int64Range(0, 1<<rapid.IntRange(0, 40).Draw(rt, "bits")).Draw(rt, "value"))
					n := rapid.IntRange(1, 5).Draw(rt, "times")
					ours.Of("").Observe(value, uint64(n))
					for range n {
						theirs.Observe(float64(value) * o.Unit)
					}
				}
				got, gotBuckets := told(t, ours)
				want, wantBuckets := told(t, theirs)
				if math.Abs(got.GetSampleSum()-want.GetSampleSum()) > 1e-9*want.GetSampleSum() {
					rt.Errorf("sum %v, want %v", got.GetSampleSum(), want.GetSampleSum())
				}
				got.SampleSum, want.SampleSum = nil, nil
				if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
					rt.Error(diff)
				}
				if diff := cmp.Diff(wantBuckets, gotBuckets); diff != "" {
					rt.Error(diff)
				}
			})
		})
	}
}

func TestWhatIsOutOfReachCountsAtItsEnds(t *testing.T) {
	h := New(nil, "x", "X.", Seconds(), "")
	h.Of("").Observe(-time.Hour.Microseconds(), 2)
	h.Of("").Observe((100 * 24 * time.Hour).Microseconds(), 3)
	h.Of("").Observe(5, 0)
	got, buckets := told(t, h)
	if got.GetSampleCount() != 5 || got.GetZeroCount() != 2 || got.GetSampleSum() != 3*(100*24*time.Hour).Seconds() {
		t.Errorf("told %v", got)
	}
	if diff := cmp.Diff(map[int32]int64{160: 3}, buckets); diff != "" {
		t.Error(diff)
	}
}

func TestEachLabelHasItsOwn(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	v := New(r, "x_seconds", "X.", Seconds(), "cluster")
	v.Of("east")
	v.Of("west").Observe(1000, 7)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, m := range families[0].GetMetric() {
		counts[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
	}
	if diff := cmp.Diff(map[string]uint64{"east": 0, "west": 7}, counts); diff != "" {
		t.Error(diff)
	}
}

func TestQuantilesAreNear(t *testing.T) {
	h := New(nil, "x", "X.", Seconds(), "").Of("")
	if q := h.Quantile(.5); !math.IsNaN(q) {
		t.Errorf("of nothing %v", q)
	}
	for i := range int64(1000) {
		h.Observe((i+1)*1000, 1)
	}
	for _, q := range []float64{.01, .5, .99, 1} {
		if got := h.Quantile(q); got < q || got > q*1.1 {
			t.Errorf("quantile %v is %v", q, got)
		}
	}
	if h.Count() != 1000 {
		t.Errorf("%d were observed", h.Count())
	}
}

// What is long ago does not count as lately.
func TestAWindowTellsOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil, "x", "X.", Seconds(), "").Of("")
		h.Observe(time.Hour.Microseconds(), 1000)
		w := NewWindow(h)
		if n, q := w.Lately(.5); n != 0 || q[0] != 0 {
			t.Errorf("of nothing %d, %v", n, q)
		}
		h.Observe(1000, 99)
		h.Observe(1_000_000, 2)
		if n, q := w.Lately(.5, .99); n != 101 || q[0] < .001 || q[0] > .0011 || q[1] < 1 || q[1] > 1.1 {
			t.Errorf("of 101 %d, %v", n, q)
		}
		for range 90 {
			time.Sleep(time.Second)
			h.Observe(10_000, 1)
			w.Lately()
		}
		if n, q := w.Lately(1); n < 55 || n > 75 || q[0] < .01 || q[0] > .011 {
			t.Errorf("of a minute %d, %v", n, q)
		}
	})
}

func TestObservingAllocatesNothing(t *testing.T) {
	h := New(nil, "x", "X.", Seconds(), "").Of("")
	v := int64(0)
	if n := testing.AllocsPerRun(1000, func() { v += 977; h.Observe(v, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkObserve is what a thousand observations cost, at once and one by one, beside
// client_golang's.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []uint64{1, 1000} {
		b.Run(fmt.Sprintf("ours/%d at once", n), func(b *testing.B) {
			h := New(nil, "x", "X.", Seconds(), "").Of("")
			v := int64(0)
			for b.Loop() {
				v = (v + 977) % 1e6
				h.Observe(v, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/observation")
		})
	}
	b.Run("client_golang/1 at once", func(b *testing.B) {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "x", Help: "X.", Buckets: Seconds().Classic, NativeHistogramBucketFactor: 1.1,
		})
		v := int64(0)
		for b.Loop() {
			v = (v + 977) % 1e6
			h.Observe(float64(v) * 1e-6)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/observation")
	})
}
