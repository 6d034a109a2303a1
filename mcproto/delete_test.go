package mcproto_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/mcproto"
)

func TestDeletesAreTheLinesOfTheProtocol(t *testing.T) {
	for _, test := range []struct {
		name   string
		append func(dst []byte, key string) ([]byte, error)
		want   string
	}{
		{"meta", mcproto.AppendMetaDelete[string], "md user:1\r\n"},
		{"text", mcproto.AppendTextDelete[string], "delete user:1\r\n"},
		{"routed", routed("/east/*/"), "delete /east/*/user:1\r\n"},
		{"stale", stale(30), "md user:1 I T30\r\n"},
		{"stale longest", stale(mcproto.MaxStale), "md user:1 I T2592000\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.append([]byte("mn\r\n"), "user:1")
			if err != nil || string(got) != "mn\r\n"+test.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestStaleTakesOnlySecondsThatMemcachedTakesForSeconds(t *testing.T) {
	for _, seconds := range []int{-1, 0, mcproto.MaxStale + 1} {
		got, err := mcproto.AppendMetaStale([]byte("before"), "k", seconds)
		if !errors.Is(err, mcproto.ErrStale) || string(got) != "before" {
			t.Errorf("%d: got %q, %v", seconds, got, err)
		}
	}
}

// A key can never be anything but a key on the wire: whatever the key, either
// nothing is appended, or one line of which the key is one word.
func TestNoKeyCanForgeACommand(t *testing.T) {
	forms := map[string]struct {
		append func(dst []byte, key string) ([]byte, error)
		words  int
	}{
		"meta":   {mcproto.AppendMetaDelete[string], 2},
		"text":   {mcproto.AppendTextDelete[string], 2},
		"stale":  {stale(1), 4},
		"routed": {routed("/east/*/"), 2},
	}
	rapid.Check(t, func(t *rapid.T) {
		key := string(rapid.SliceOfN(rapid.OneOf(rapid.ByteRange('!', '~'), rapid.SampledFrom([]byte("\r\n \t\x00\x7f")), rapid.Byte()), 0, 260).Draw(t, "key"))
		for name, form := range forms {
			got, err := form.append([]byte("before"), key)
			if err != nil {
				if !errors.Is(err, mcproto.ErrKey) || string(got) != "before" {
					t.Fatalf("%s: refused with %v, left %q", name, err, got)
				}
				if mcproto.ValidKey(key) {
					t.Fatalf("%s: refused a valid key", name)
				}
				continue
			}
			command, ok := strings.CutSuffix(strings.TrimPrefix(string(got), "before"), "\r\n")
			words := strings.Split(command, " ")
			if !ok || strings.ContainsAny(command, "\r\n\x00\t\x7f") || len(words) != form.words || strings.TrimPrefix(words[1], "/east/*/") != strings.TrimPrefix(key, "/east/*/") {
				t.Fatalf("%s: key %q made %q", name, key, got)
			}
		}
	})
}

func TestAppendingDoesNotAllocate(t *testing.T) {
	key, dst := []byte("user:1234567890:friends"), make([]byte, 0, 4096)
	allocs := testing.AllocsPerRun(100, func() {
		dst, _ = mcproto.AppendMetaDelete(dst[:0], key)
		dst, _ = mcproto.AppendTextDelete(dst, key)
		dst, _ = mcproto.AppendMetaStale(dst, key, 30)
		dst, _ = mcproto.AppendRoutedDelete(dst, "/east/*/", key)
		dst, _ = mcproto.AppendMetaDelete(dst, key[:0])
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestCountDeletesStopsAtItsLimit(t *testing.T) {
	for _, test := range []struct {
		answers                 string
		limit                   int
		deleted, notFound, rest int
	}{
		{"HD\r\nNF\r\nHD\r\n", 3, 2, 1, 0},
		{"HD\r\nNF\r\nHD\r\n", 2, 1, 1, 4},
		{"HD\r\nNF\r\nHD\r\n", 1, 1, 0, 8},
		{"HD\r\nNF\r\nHD\r\n", 0, 0, 0, 12},
		{"HD\r\nNF\r\nHD\r", 9, 1, 1, 3},
		{"NOT_FOUND\r\nDELETED\r\n", 9, 1, 1, 0},
		{"NOT_FOUND\r\nDELETED\r\n", 1, 0, 1, 9},
		{"DELETED\r\nNOT_FOUND\r", 9, 1, 0, 10},
		{"HD\r\nDELETED\r\nNF\r\nNOT_FOUND\r\n", 9, 2, 2, 0},
		{"NF\r\nSERVER_ERROR no\r\nNF\r\n", 9, 0, 1, 21},
		{"HD\n\nHD\r\n", 9, 0, 0, 8},
		{"HDX\n", 9, 0, 0, 4},
		{"NOT_FOUNX\r\n", 9, 0, 0, 11},
		{"DELETED\r\r", 9, 0, 0, 9},
		{"", 9, 0, 0, 0},
	} {
		deleted, notFound, n := mcproto.CountDeletes([]byte(test.answers), test.limit)
		if deleted != test.deleted || notFound != test.notFound || len(test.answers)-n != test.rest {
			t.Errorf("%q, %d: got %d deleted, %d not found, %d bytes left", test.answers, test.limit, deleted, notFound, len(test.answers)-n)
		}
	}
}

// A route does not count towards the key's length, and is held to the same bytes.
func TestARouteIsNotPartOfTheKey(t *testing.T) {
	longest := strings.Repeat("k", mcproto.MaxKey)
	got, err := mcproto.AppendRoutedDelete(nil, "/region/cluster/", longest)
	if err != nil || string(got) != "delete /region/cluster/"+longest+"\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, route := range []string{"", "/a b/", "/a\r\nflush_all\r\n/", "/\x7f/"} {
		if got, err := mcproto.AppendRoutedDelete([]byte("before"), route, "k"); !errors.Is(err, mcproto.ErrKey) || string(got) != "before" {
			t.Errorf("%q: got %q, %v", route, got, err)
		}
	}
}

// routed is AppendRoutedDelete for that route.
func routed(route string) func([]byte, string) ([]byte, error) {
	return func(dst []byte, key string) ([]byte, error) { return mcproto.AppendRoutedDelete(dst, route, key) }
}

// stale is AppendMetaStale for that many seconds.
func stale(seconds int) func([]byte, string) ([]byte, error) {
	return func(dst []byte, key string) ([]byte, error) { return mcproto.AppendMetaStale(dst, key, seconds) }
}

func BenchmarkAppendMetaDelete(b *testing.B) {
	key, dst := []byte("user:1234567890:friends"), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = mcproto.AppendMetaDelete(dst[:0], key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCountDeletes counts 10,000 answers a time: the target is 20 million a
// second, with ParseAnswer beside it for comparison.
func BenchmarkCountDeletes(b *testing.B) {
	const n = 10_000
	for _, stream := range []struct{ name, answers string }{
		{"meta", "NF\r\nNF\r\nNF\r\nHD\r\n"},
		{"text", "NOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nDELETED\r\n"},
	} {
		answers := bytes.Repeat([]byte(stream.answers), n/4)
		report := func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Manswers/s")
		}
		b.Run(stream.name, func(b *testing.B) {
			for b.Loop() {
				if deleted, notFound, _ := mcproto.CountDeletes(answers, n); deleted != n/4 || notFound != n-n/4 {
					b.Fatal(deleted, notFound)
				}
			}
			report(b)
		})
		b.Run(stream.name+"-ParseAnswer", func(b *testing.B) {
			for b.Loop() {
				count := 0
				for p := answers; ; count++ {
					_, n, err := mcproto.ParseAnswer(p)
					if err != nil {
						b.Fatal(err)
					}
					if n == 0 {
						break
					}
					p = p[n:]
				}
				if count != n {
					b.Fatal(count)
				}
			}
			report(b)
		})
	}
}
