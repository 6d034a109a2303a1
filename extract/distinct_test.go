package extract

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestDistinctIsASet compares with a map, over transactions of any size.
func TestDistinctIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Distinct
		key := rapid.OneOf(
			rapid.StringMatching(`[ab]{1,3}`),
			rapid.StringMatching(`user:[0-9]{1,3}`),
			rapid.StringN(0, 250, 250),
		)
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			known := map[string]bool{}
			for _, k := range rapid.SliceOfN(key, 0, 200).Draw(t, "keys") {
				if got, want := d.Add([]byte(k)), !known[k]; got != want {
					t.Fatalf("Add(%q) is %v, want %v after %d keys", k, got, want, len(known))
				}
				known[k] = true
			}
			d.Reset()
		}
	})
}

func TestDistinctRemembersTheFirst65536(t *testing.T) {
	var d Distinct
	key := make([]byte, 8)
	numbered := func(i int) []byte { return binary.BigEndian.AppendUint64(key[:0], uint64(i)) }
	for i := range maxDistinct {
		if !d.Add(numbered(i)) {
			t.Fatalf("key %d is known", i)
		}
	}
	for i := range maxDistinct {
		if d.Add(numbered(i)) {
			t.Fatalf("key %d is forgotten", i)
		}
	}
	for range 2 {
		if !d.Add(numbered(maxDistinct)) {
			t.Error("a key behind the last one remembered counts as known")
		}
	}
	if d.Add(numbered(0)) {
		t.Error("the first key is forgotten")
	}
}

// TestDistinctIsBounded: with keys of any length, and gives it back.
func TestDistinctIsBounded(t *testing.T) {
	var d Distinct
	tail := strings.Repeat("x", 245)
	for i := range 4 * maxDistinct {
		d.Add(fmt.Appendf(nil, "%05x%s", i, tail))
	}
	if n := cap(d.bytes) + 4*cap(d.ends) + 4*cap(d.table); n > 24<<20 {
		t.Errorf("%d bytes for the longest keys", n)
	}
	for i := range 100 {
		d.Add(append(make([]byte, 1<<20), byte(i)))
	}
	if n := cap(d.bytes); n > 24<<20 {
		t.Errorf("%d bytes for keys that are none", n)
	}
	d.Reset()
	if n := cap(d.bytes) + 4*cap(d.ends) + 4*cap(d.table); n > 1<<17 {
		t.Errorf("%d bytes are kept after Reset", n)
	}
	if !d.Add([]byte(fmt.Sprintf("%05x%s", 1, tail))) {
		t.Error("a key is remembered after Reset")
	}
}

func TestDistinctAllocatesNothing(t *testing.T) {
	for _, n := range []int{1, fewKeys, 100, 1000} {
		var d Distinct
		var keys [][]byte
		for i := range n {
			keys = append(keys, fmt.Appendf(nil, "user:%d", i))
		}
		if allocs := testing.AllocsPerRun(100, func() {
			for range 2 {
				for _, k := range keys {
					d.Add(k)
				}
			}
			d.Reset()
		}); allocs != 0 {
			t.Errorf("%v allocations for a transaction of %d keys", allocs, n)
		}
	}
}

// BenchmarkDistinct adds every key twice and resets: ns for a transaction.
func BenchmarkDistinct(b *testing.B) {
	for _, n := range []int{1, 4, fewKeys, 20, 100, 1000, maxDistinct} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			var d Distinct
			var keys [][]byte
			for i := range n {
				keys = append(keys, fmt.Appendf(nil, "user:%d:profile", i))
			}
			b.ReportAllocs()
			for b.Loop() {
				for range 2 {
					for _, k := range keys {
						d.Add(k)
					}
				}
				d.Reset()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*n), "ns/key")
		})
	}
}
