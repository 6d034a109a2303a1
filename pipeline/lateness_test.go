package pipeline

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/histogram"
)

func newHistogram() *histogram.Histogram {
	return histogram.New(nil, "x_seconds", "X.", histogram.Seconds(), "").Of("")
}

// Held together or not, every transaction counts, and as late as it was to within what
// a histogram tells apart.
func TestEveryTransactionCountsAsLateAsItWas(t *testing.T) {
	together, each := newHistogram(), newHistogram()
	l := lateness{to: together}
	for i := range int64(10_000) {
		late := 1000 + i%7*9 + i/1000*50_000
		if i%1000 == 500 {
			late = -5
		}
		l.add(late)
		each.Observe(late, 1)
	}
	l.tell()
	l.tell()
	if together.Count() != each.Count() {
		t.Errorf("%d count, want %d", together.Count(), each.Count())
	}
	for _, q := range []float64{0, .1, .5, .9, 1} {
		if got, want := together.Quantile(q), each.Quantile(q); got < want/1.1 || got > want*1.1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	nobody := lateness{}
	nobody.add(5)
	nobody.tell()
}

func TestBurstsThatWaitTakeNoMoreRoomAndAreAllTold(t *testing.T) {
	var b bursts
	for read := range int64(200) {
		for range 3 {
			b.add(read * 1000)
		}
	}
	to := newHistogram()
	b.tell(to, 1_000_000)
	if to.Count() != 600 {
		t.Errorf("%d are told, want 600", to.Count())
	}
	if first := to.Quantile(1); first < 1 || first > 1.1 {
		t.Errorf("the first has waited for %v s, want 1", first)
	}
	if last := to.Quantile(0); last < .9 || last > 1 {
		t.Errorf("the last counts as having waited for %v s; those there is no room for count as the last that had some", last)
	}
	b.tell(nil, 1_000_000)
}

func TestTellingLatenessAllocatesNothing(t *testing.T) {
	l := lateness{to: newHistogram()}
	var b bursts
	v := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		v += 977
		l.add(v)
		l.tell()
		b.add(v)
		b.tell(l.to, v)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
