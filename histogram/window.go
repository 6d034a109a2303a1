package histogram

import (
	"math"
	"sync"
	"time"
)

// Window tells of what a histogram counted lately: in the last minute or so. Any
// goroutine may use it.
type Window struct {
	of *Histogram

	mu    sync.Mutex
	marks [windowMarks + 1]windowMark // a ring of what was counted before; guarded by mu
	n     int                         // how many there ever were; guarded by mu
}

const (
	// A window is so long, and moves on in so many steps.
	window      = time.Minute
	windowMarks = 6
)

// windowMark is all that had been counted by some time.
type windowMark struct {
	at     time.Time
	zero   uint64
	native []uint64
}

// NewWindow makes a window that begins now.
func NewWindow(h *Histogram) *Window {
	w := &Window{of: h}
	w.mark(time.Now())
	return w
}

// mark remembers what has been counted by now. mu is held, or nobody else has w.
func (w *Window) mark(now time.Time) {
	m := &w.marks[w.n%len(w.marks)]
	m.at = now
	m.zero, m.native = w.of.counts(m.native[:0])
	w.n++
}

// counts appends what each native bucket has counted.
func (h *Histogram) counts(to []uint64) (zero uint64, native []uint64) {
	for i := range h.native {
		to = append(to, h.native[i].Load())
	}
	return h.zero.Load(), to
}

// Lately is how many numbers were observed lately, and the quantiles q of those, as
// Histogram.Quantile gives them; each 0 if none was. It has to be asked every ten seconds
// at least for lately to be a minute.
func (w *Window) Lately(q ...float64) (count uint64, quantiles []float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if last := &w.marks[(w.n-1)%len(w.marks)]; now.Sub(last.at) >= window/windowMarks {
		w.mark(now)
	}
	before := &w.marks[max(0, w.n-len(w.marks))%len(w.marks)]
	zero, native := w.of.counts(nil)
	zero -= before.zero
	count = zero
	for i := range native {
		native[i] -= before.native[i]
		count += native[i]
	}
	quantiles = make([]float64, len(q))
	if count == 0 {
		return 0, quantiles
	}
	for i := range q {
		quantiles[i] = w.of.quantile(q[i], count, zero, native)
	}
	return count, quantiles
}

// quantile is that of so many numbers, in buckets.
func (h *Histogram) quantile(q float64, count, zero uint64, native []uint64) float64 {
	rank := max(1, uint64(math.Ceil(q*float64(count))))
	so := zero
	if so >= rank {
		return 0
	}
	for i, n := range native {
		if so += n; so >= rank {
			return math.Exp2(float64(i+h.first()) / perOctave)
		}
	}
	return math.Exp2(float64(h.options.Most))
}
