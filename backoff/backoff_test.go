package backoff_test

import (
	"context"
	"errors"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/backoff"
	"github.com/mcsqueal/mcsqueal/integration/goroutines"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

func TestCeilingsDoubleFromMinToMaxAndBeginAgainAfterReset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := backoff.Backoff{
			Min: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "min")),
			Max: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "max")),
		}
		first, limit := b.Min, b.Max
		if first == 0 {
			first = backoff.DefaultMin
		}
		if limit == 0 {
			limit = backoff.DefaultMax
		}
		limit = max(first, limit)
		ceiling := first
		for i := range rapid.IntRange(1, 100).Draw(t, "failures") {
			if d := b.Next(); d <= 0 || d > ceiling {
				t.Fatalf("failure %d: waited %v, ceiling %v", i+1, d, ceiling)
			}
			if ceiling *= 2; ceiling > limit || ceiling < 0 {
				ceiling = limit
			}
		}
		b.Reset()
		if d := b.Next(); d > first {
			t.Fatalf("after Reset: waited %v, ceiling %v", d, first)
		}
	})
}

// A last ceiling of an odd number comes where doubling passes it, and no failure before.
func TestTheLastCeilingIsNotReachedEarly(t *testing.T) {
	for range 100 {
		b := backoff.Backoff{Min: 1, Max: 3}
		b.Next()
		if d := b.Next(); d > 2 {
			t.Fatalf("failure 2: waited %v, ceiling 2ns", d)
		}
	}
}

// Delays are spread over all of the way to the ceiling: that is what keeps many
// daemons from coming back in step.
func TestDelaysFillTheWholeRange(t *testing.T) {
	const draws = 10_000
	b := backoff.Backoff{Min: time.Second, Max: time.Second}
	var quarters [4]int
	for range draws {
		quarters[min(3, int(4*b.Next()/time.Second))]++
	}
	for i, n := range quarters {
		// 2500 ± 43 is the standard deviation: ten of those are beyond chance.
		if n < 2070 || n > 2930 {
			t.Errorf("quarter %d: %d of %d", i, n, draws)
		}
	}
}

func TestTheCeilingIsReachedAndKept(t *testing.T) {
	b := backoff.Backoff{Min: time.Millisecond, Max: time.Second}
	var longest time.Duration
	for range 1000 {
		longest = max(longest, b.Next())
	}
	if longest < 900*time.Millisecond {
		t.Errorf("the longest of 1000 delays was %v", longest)
	}
}

func TestWaitWaitsAndIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{Min: time.Minute, Max: time.Minute}
		start := time.Now()
		if err := b.Wait(t.Context()); err != nil || time.Since(start) == 0 || time.Since(start) > time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gaveUp)
		if err := b.Wait(ctx); !errors.Is(err, gaveUp) {
			t.Errorf("with a context that is done: %v", err)
		}
	})
}
