package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// memoryReport is what each server kept.
type memoryReport struct {
	megabytes [2]int // -m
	rows      []memoryRow
}

type memoryRow struct {
	what     string
	figures  [2][]float64
	resident [2]int64 // at most
	percent  bool
}

// contents is a way of filling and asking that ends in one figure.
type contents struct {
	what    string
	percent bool
	run     func(ctx context.Context, addr string, size memorySize) (float64, error)
}

// memorySize is how much is done.
type memorySize struct {
	megabytes int
	items     int // that fit, about
}

var memoryContents = []contents{
	{"items kept", false, itemsKept},
	{"hits, Zipf", true, zipfHits},
	{"hits, Zipf with scans", true, scanHits},
	{"hits, sizes that drift", true, driftHits},
}

// memory compares what the servers keep in the same resident memory. memcached's is
// what it is with a -m; mccache's -m is then chosen so that it becomes as large.
func (b *bench) memory(ctx context.Context) error {
	if err := pin(os.Getpid(), -1); err != nil {
		return err
	}
	size := memorySize{megabytes: 256}
	if b.brief {
		size.megabytes = 64
	}
	size.items = size.megabytes << 20 / (meanSize + 100)
	r := &memoryReport{megabytes: [2]int{size.megabytes, size.megabytes}}
	b.report.memory = r
	if err := b.equalize(ctx, r, size); err != nil {
		return err
	}
	for _, c := range memoryContents {
		row := memoryRow{what: c.what, percent: c.percent}
		// Two programs move memory and order items by the clock: the one run is not the
		// other, least of all on a busy machine.
		for round := range min(3, b.rounds) {
			for side := range b.starters {
				if round%2 == 1 {
					side = 1 - side
				}
				figure, size, err := b.content(ctx, c, side, size)
				if err != nil {
					return err
				}
				row.figures[side] = append(row.figures[side], figure)
				row.resident[side] = max(row.resident[side], size)
			}
		}
		b.say("%s: %v, resident %d and %d MiB", row.what, row.figures, row.resident[0]>>20, row.resident[1]>>20)
		r.rows = append(r.rows, row)
	}
	return nil
}

// equalize finds the -m at which mccache, filled, is as large as memcached.
func (b *bench) equalize(ctx context.Context, r *memoryReport, size memorySize) error {
	first := memoryContents[0]
	_, theirs, err := b.content(ctx, first, 0, size)
	if err != nil {
		return err
	}
	const attempts, near = 4, 0.01
	for range attempts {
		_, ours, err := b.content(ctx, first, 1, size)
		if err != nil {
			return err
		}
		off := float64(ours)/float64(theirs) - 1
		if off < near && off > -near {
			return nil
		}
		r.megabytes[1] -= int(off * float64(theirs) / (1 << 20))
	}
	return nil
}

// content runs one content on one side: its figure, and how large the server became.
func (b *bench) content(ctx context.Context, c contents, side int, size memorySize) (figure float64, large int64, err error) {
	m, err := b.starters[side].start(ctx, false, "-m", strconv.Itoa(b.report.memory.megabytes[side]))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if figure, err = c.run(ctx, m.Addr(), size); err != nil {
		return 0, 0, fmt.Errorf("%s: %s: %w", b.starters[side].name, c.what, err)
	}
	large, err = resident(m.Pid())
	return figure, large, err
}

// batched calls a function with up to fifty keys at a time.
func batched(ctx context.Context, keys []uint32, call func([]uint32) error) error {
	for part := range slices.Chunk(keys, 50) {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := call(part); err != nil {
			return err
		}
	}
	return nil
}

// upFrom are n keys from one on.
func upFrom(first uint32, n int) []uint32 {
	keys := make([]uint32, n)
	for i := range keys {
		keys[i] = first + uint32(i)
	}
	return keys
}

// itemsKept sets three times what fits, each key once, and counts what is there.
func itemsKept(ctx context.Context, addr string, size memorySize) (kept float64, err error) {
	a, err := dialAside(ctx, addr, newSized(1))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	keys := upFrom(0, 3*size.items)
	if err := batched(ctx, keys, a.set); err != nil {
		return 0, err
	}
	err = batched(ctx, keys, a.get)
	return float64(a.hits), err
}

// The keys of the Zipf loads: eight times what fits, asked for so often that what is
// popular has long been there.
func zipfKeys(size memorySize) (z *zipf, asked int) {
	return newZipf(8*size.items, 7), 12 * size.items
}

// distinct sorts out keys that come twice in one request.
func distinct(keys []uint32) []uint32 {
	slices.Sort(keys)
	return slices.Compact(keys)
}

func zipfHits(ctx context.Context, addr string, size memorySize) (float64, error) {
	return hits(ctx, addr, size, 0)
}

// scanHits is zipfHits with somebody who reads everything once, a fifth of what fits at
// a time, between every tenth of the requests. What the scans hit does not count.
func scanHits(ctx context.Context, addr string, size memorySize) (float64, error) {
	return hits(ctx, addr, size, size.items/2)
}

func hits(ctx context.Context, addr string, size memorySize, scan int) (ratio float64, err error) {
	a, err := dialAside(ctx, addr, newSized(1))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	z, asked := zipfKeys(size)
	const parts = 24
	cold := uint32(1 << 30)
	counted, hit := 0, 0
	for part := range parts {
		if err := batched(ctx, z.list(asked/parts), func(keys []uint32) error { return a.read(distinct(keys)) }); err != nil {
			return 0, err
		}
		if part >= parts/3 { // before, it is being filled
			counted, hit = counted+a.asked, hit+a.hits
		}
		if err := batched(ctx, upFrom(cold, scan), a.read); err != nil {
			return 0, err
		}
		cold += uint32(scan)
		a.asked, a.hits = 0, 0
	}
	return float64(hit) / float64(counted), nil
}

// driftHits asks for other keys in each of five phases, whose sizes are others too: the
// memory must move from the small to the large and back. All of it counts.
func driftHits(ctx context.Context, addr string, size memorySize) (ratio float64, err error) {
	asked, hit := 0, 0
	for phase, factor := range []float64{1, 0.25, 4, 0.5, 2} {
		if err := func() (err error) {
			a, err := dialAside(ctx, addr, newSized(factor))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.close()) }()
			fit := int(float64(size.items) / factor)
			z := newZipf(8*fit, uint64(phase))
			offset := uint32(phase) << 28
			err = batched(ctx, z.list(6*fit), func(keys []uint32) error {
				for i := range keys {
					keys[i] += offset
				}
				return a.read(distinct(keys))
			})
			asked, hit = asked+a.asked, hit+a.hits
			return err
		}(); err != nil {
			return 0, err
		}
	}
	return float64(hit) / float64(asked), nil
}

// memoryNoise is by how much two runs of the same server differ.
const memoryNoise = 0.003

// memoryMarkdown writes the table of what was kept.
func (p *report) memoryMarkdown(w io.Writer, names [2]string) {
	fmt.Fprintf(w, "%s\n\n", p.machine)
	table(w, "", names[0], names[1], "ratio", "spread", "resident", "", "goal", "met")
	for _, r := range p.memory.rows {
		ratio := ratioOf(r.figures[1], r.figures[0])
		met := "no"
		if ratio.median >= 1-memoryNoise {
			met = "yes"
		}
		figure := number
		if r.percent {
			figure = func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }
		}
		cells(w, r.what, figure(median(r.figures[0])), figure(median(r.figures[1])),
			fmt.Sprintf("%.3f", ratio.median), fmt.Sprintf("%.3f–%.3f", ratio.least, ratio.most),
			mib(r.resident[0]), mib(r.resident[1]), "≥ 1", met)
	}
	fmt.Fprintf(w, "\nWith `-m %d` and `-m %d`, at which both were equally large, filled with values of the paper's sizes (median %d B, mean %d B). Items kept: of three times as many as fit, each set once. Hits: a look-aside client asks for keys by Zipf's law (0.99) among eight times as many as fit, and sets what is missing; scans read half of what fits, once, two dozen times in between; sizes that drift are other keys in each of five phases, of 1, ¼, 4, ½ and 2 times the size. Every value that comes is compared. Medians of three rounds; the same server differs from itself by up to %.1f %%: so much less is still no worse.\n",
		p.memory.megabytes[0], p.memory.megabytes[1], medianSize, meanSize, 100*memoryNoise)
}

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
