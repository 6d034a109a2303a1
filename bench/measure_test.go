package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	for _, test := range []struct {
		set  []float64
		q    float64
		want float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{3, 1, 2}, 0, 1},
		{[]float64{3, 1, 2}, 1, 3},
		{[]float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 0.9, 9},
		{[]float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 0.99, 10},
	} {
		before := slices.Clone(test.set)
		if got := quantile(test.set, test.q); got != test.want {
			t.Errorf("quantile %v of %v: got %v, want %v", test.q, test.set, got, test.want)
		}
		if !slices.Equal(before, test.set) {
			t.Errorf("%v was changed to %v", before, test.set)
		}
	}
}

func TestSidesAreMeasuredInTurns(t *testing.T) {
	var order []string
	sided := func(name string, v float64) side {
		return side{name, func(context.Context) ([]float64, error) {
			order = append(order, name)
			return []float64{v * float64(len(order)), v}, nil
		}}
	}
	got, err := interleave(t.Context(), 3, sided("a", 1), sided("b", 10))
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(order, ""); s != "abbaab" {
		t.Errorf("order %s", s)
	}
	if !slices.Equal(got[0][0], []float64{1, 4, 5}) || !slices.Equal(got[1][0], []float64{20, 30, 60}) || !slices.Equal(got[1][1], []float64{10, 10, 10}) {
		t.Errorf("got %v", got)
	}
	if r := ratioOf(got[0][0], got[1][0]); r.median != 5.0/60 || r.least != 1.0/20 || r.most != 4.0/30 {
		t.Errorf("ratio %+v", r)
	}
}

func TestAMeasurementThatFailsEndsTheComparison(t *testing.T) {
	broken := errors.New("broken")
	_, err := interleave(t.Context(), 3, side{"this one", func(context.Context) ([]float64, error) { return nil, broken }})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "this one") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err = interleave(ctx, 3, side{"a", func(context.Context) ([]float64, error) {
		calls++
		cancel()
		return []float64{1}, nil
	}})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled: %v after %d calls", err, calls)
	}
}

func TestThePaceIsKept(t *testing.T) {
	const interval = 2 * time.Millisecond
	began := time.Now()
	var early time.Duration
	calls := 0
	if err := pace(t.Context(), 50, interval, func(i int) error {
		calls++
		early = max(early, time.Duration(i)*interval-time.Since(began))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// The two clocks were read one behind the other.
	if calls != 50 || early > time.Millisecond {
		t.Errorf("%d calls, one of them %v early", calls, early)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	err := pace(ctx, 50, interval, func(int) error { calls++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled: %v after %d calls", err, calls)
	}
}
