package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/extract"
)

// benchLexing takes the keys out of single statements, beside one search for a name
// over the same text: what it costs to look at each byte once, as fast as can be.
func benchLexing(ctx context.Context, w *workbench) error {
	const tag = "/* mc: user:12345 user:12345:friends */"
	shapes := []struct {
		name string
		keys int
		text func(size int) string
	}{
		{"no tag", 0, func(size int) string { return insertOf(size, "") }},
		{"two keys behind the verb", 2, func(size int) string { return insertOf(size, tag) }},
		{"two keys behind rows", 2, func(size int) string { return insertOf(size-len(tag), "") + " " + tag }},
		{"two keys behind one value", 2, func(size int) string {
			const head, tail = "UPDATE documents SET body = '", "' WHERE id = 1 " + tag
			return head + strings.Repeat(`some words of it, and \'some\' more\n`, size/36+1)[:max(0, size-len(head)-len(tail))/36*36] + tail
		}},
	}
	for _, size := range []int{200, 2 << 10, 1 << 20} {
		for _, s := range shapes {
			text := []byte(s.text(size))
			e, err := newExtractor()
			if err != nil {
				return err
			}
			// That many statements take about a tenth of a second.
			n := max(10, w.scaled(300<<20)/(len(text)+1000))
			results, err := interleave(ctx, w.rounds(),
				side{"extract.Tags", once(func(context.Context) (float64, error) {
					e.keys = 0
					began := time.Now()
					for range n {
						e.seen.Reset()
						e.tags.Keys(text, extract.Lexing{}, e.onKey, e.refused)
					}
					took := time.Since(began)
					return float64(took.Nanoseconds()) / float64(n), e.check(n * s.keys)
				})},
				side{"bytes.Index", once(func(context.Context) (float64, error) {
					missing, found := []byte("m~"), 0
					began := time.Now()
					for range n {
						found += 1 + bytes.Index(text, missing)
					}
					took := time.Since(began)
					if found > 0 {
						return 0, fmt.Errorf("%q is in the text", missing)
					}
					return float64(took.Nanoseconds()) / float64(n), nil
				})})
			if err != nil {
				return err
			}
			w.table.compare(fmt.Sprintf("%s of text, %s", sizeOf(size), s.name), "ns", results[0][0], "bytes.Index", results[1][0], target{})
		}
	}
	w.table.note("For one statement: lexing it as far as need be, its keys decoded, and none of them twice. bytes.Index looks for a name of two bytes that is not there.")
	return nil
}

func sizeOf(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// insertOf gives an INSERT of about size bytes with many rows, and a tag behind its
// verb if there is one.
func insertOf(size int, tag string) string {
	var b strings.Builder
	b.WriteString("INSERT " + tag + " INTO shop.orders (id, customer, note, price) VALUES ")
	for i := 0; b.Len() < size-30 || i == 0; i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, 'Customer %d', 'it\\'s a note', %d.50)", i, i, i)
	}
	return b.String()
}
