package main

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// side is one of the programs that are compared. Measuring it once gives a figure,
// or several if it has several to give.
type side struct {
	name    string
	measure func(ctx context.Context) ([]float64, error)
}

// once makes a side's measure of a function that gives one figure.
func once(measure func(ctx context.Context) (float64, error)) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) ([]float64, error) {
		v, err := measure(ctx)
		return []float64{v}, err
	}
}

// interleave measures the sides in turns, so that what else goes on in the machine
// meets all of them: forth in one round, back in the next. It gives, for each side
// and each figure, what each round measured.
func interleave(ctx context.Context, rounds int, sides ...side) ([][][]float64, error) {
	results := make([][][]float64, len(sides))
	for round := range rounds {
		for i := range sides {
			if round%2 == 1 {
				i = len(sides) - 1 - i
			}
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			figures, err := sides[i].measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			if results[i] == nil {
				results[i] = make([][]float64, len(figures))
			}
			for k, v := range figures {
				results[i][k] = append(results[i][k], v)
			}
		}
	}
	return results, nil
}

// median of a set that is not empty.
func median(set []float64) float64 { return quantile(set, 0.5) }

// quantile gives the least figure that at least a share q of the set does not
// exceed; with an even number the median is the mean of the middle two.
func quantile(set []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(set))
	n := len(sorted)
	if q == 0.5 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[min(n-1, max(0, int(math.Ceil(q*float64(n)))-1))]
}

// ratio is what one side's figure is of another's: in each round, since both were
// measured under the same conditions there, and over all rounds.
type ratio struct {
	median, least, most float64
}

func ratioOf(ours, theirs []float64) ratio {
	each := make([]float64, len(ours))
	for i := range ours {
		each[i] = ours[i] / theirs[i]
	}
	return ratio{median(each), slices.Min(each), slices.Max(each)}
}
