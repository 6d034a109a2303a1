package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figures is what one half measured.
type figures struct {
	reads, hits, stale int
	// staleFor is, for each stale read, how long before it began the newer version
	// had been committed. Sorted.
	staleFor []time.Duration
	// pages is how many pages there are; left, of how many the cache still held an
	// old version when all was quiet.
	pages, left int
	// orders were committed, each with a key of its own, which deleted tells: how
	// long after COMMIT's return it was first not found. Sorted. Only with mcsqueal.
	orders  int
	deleted []time.Duration
	watched bool
}

// quantile gives the value that a share q of the sorted values do not exceed
// (nearest rank), or 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// compare makes the table's rows.
func compare(without, with *figures) []row {
	both := func(label string, figure func(f *figures) cell) row {
		return row{label, figure(without), figure(with)}
	}
	judged := func(text string, f *figures, bad int) cell {
		switch {
		case bad == 0:
			return cell{text, green}
		case f.watched:
			return cell{text, plain}
		}
		return cell{text, red}
	}
	staleness := func(q float64) func(f *figures) cell {
		return func(f *figures) cell {
			if f.stale == 0 {
				return nothing
			}
			return judged(span(quantile(f.staleFor, q)), f, f.stale)
		}
	}
	latency := func(q float64) func(f *figures) cell {
		return func(f *figures) cell {
			if len(f.deleted) == 0 {
				return nothing
			}
			return cell{span(quantile(f.deleted, q)), plain}
		}
	}
	return []row{
		both("reads", func(f *figures) cell { return cell{count(f.reads), plain} }),
		both("hit rate", func(f *figures) cell { return cell{share(f.hits, f.reads), plain} }),
		both("stale reads", func(f *figures) cell { return judged(count(f.stale), f, f.stale) }),
		both("  of all reads", func(f *figures) cell { return judged(share(f.stale, f.reads), f, f.stale) }),
		both("  out of date for, median", staleness(0.5)),
		both("                   p99", staleness(0.99)),
		both("                   longest", staleness(1)),
		both("pages left stale at the end", func(f *figures) cell {
			return judged(fmt.Sprintf("%s of %s", count(f.left), count(f.pages)), f, f.left)
		}),
		both("commits", func(f *figures) cell { return cell{count(f.orders), plain} }),
		both("  their keys deleted", func(f *figures) cell {
			if !f.watched {
				return nothing
			}
			if len(f.deleted) < f.orders {
				return cell{count(len(f.deleted)), red}
			}
			return cell{count(len(f.deleted)), green}
		}),
		both("  commit to delete, median", latency(0.5)),
		both("                    p99", latency(0.99)),
	}
}

// merge joins the parts' values and sorts them.
func merge(parts [][]time.Duration) []time.Duration {
	all := slices.Concat(parts...)
	slices.Sort(all)
	return all
}
