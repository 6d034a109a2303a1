package mccache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// mostResident is how large a mccache may be in the machine's memory: 1.1 times its -m,
// 32 MiB, and a kibibyte for each connection that is idle.
func mostResident(megabytes, idle int) int64 {
	return int64(megabytes)<<20*11/10 + 32<<20 + int64(idle)<<10
}

// sizes draws values' sizes as the paper has them (§7): half of them have at most 135
// bytes, their mean is 954.
func sizes(random *rand.Rand) int {
	const median, sigma, most = 135, 1.977, 500_000
	return min(most, int(median*math.Exp(sigma*random.NormFloat64())))
}

// overfill sets twice as many bytes as the server may keep.
func overfill(ctx context.Context, m *servers.Memcached, megabytes int) (err error) {
	w, err := connect(ctx, m.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	random := rand.New(rand.NewPCG(1, 1))
	data := strings.Repeat("v", 500_000)
	var commands strings.Builder
	for total, i := 0, 0; total < 2*megabytes<<20; {
		commands.Reset()
		n := 0
		for commands.Len() < 64<<10 {
			size := sizes(random)
			fmt.Fprintf(&commands, "set key:%09d 0 0 %d\r\n%s\r\n", i, size, data[:size])
			total += size + 70
			i++
			n++
		}
		if err := w.send("%s", commands.String()); err != nil {
			return err
		}
		for range n {
			if line, err := w.line(); err != nil || line != "STORED" {
				return fmt.Errorf("set: %q, %w", harness.Clip(line), err)
			}
		}
	}
	return nil
}

func TestMemoryStaysWithinItsBound(t *testing.T) {
	t.Parallel()
	for _, megabytes := range []int{64, 512} {
		m := start(t, "-m", strconv.Itoa(megabytes))
		empty := resident(t, m.Pid())
		if err := overfill(t.Context(), m, megabytes); err != nil {
			t.Fatal(err)
		}
		full := resident(t, m.Pid())
		items, evicted := m.Stat(t, "curr_items"), m.Stat(t, "evictions")
		t.Logf("-m %d: %s empty, %s full, with %d items", megabytes, mebibytes(empty), mebibytes(full), items)
		if most := mostResident(megabytes, 0); full > most {
			t.Errorf("-m %d: %s resident, want at most %s", megabytes, mebibytes(full), mebibytes(most))
		}
		if evicted == 0 || full < int64(megabytes)<<20*3/4 {
			t.Errorf("-m %d: it was not filled: %d evictions, %s resident", megabytes, evicted, mebibytes(full))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is asked of it, one kind of load after the other: sizes that change, values
// that expire, deletes of everything, flushes, stubs without end.
func TestMemoryStaysWithinItsBoundWhateverComes(t *testing.T) {
	t.Parallel()
	const megabytes = 64
	m := start(t, "-m", strconv.Itoa(megabytes))
	w, err := connect(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	data := strings.Repeat("v", 900_000)
	// each sends so many commands and reads a line for each.
	each := func(n int, command func(b *strings.Builder, i int)) {
		t.Helper()
		var b strings.Builder
		waiting := 0
		for i := range n {
			command(&b, i)
			waiting++
			if b.Len() < 64<<10 && i < n-1 {
				continue
			}
			if err := w.send("%s", b.String()); err != nil {
				t.Fatal(err)
			}
			for ; waiting > 0; waiting-- {
				line, err := w.line()
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, "CLIENT_ERROR") || line == "ERROR" {
					t.Fatalf("%q", harness.Clip(line))
				}
				if strings.HasPrefix(line, "VA ") { // an mg's value, which is empty, and its end
					if _, err := w.line(); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.Reset()
		}
	}
	set := func(size, ttl int, keys string) func(*strings.Builder, int) {
		return func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "set %s:%d 0 %d %d\r\n%s\r\n", keys, i, ttl, size, data[:size])
		}
	}
	for _, phase := range []struct {
		name string
		run  func()
	}{
		{"a million tiny values", func() { each(1_000_000, set(2, 0, "tiny")) }},
		{"large values", func() { each(200, set(900_000, 0, "large")) }},
		{"middling values that expire", func() { each(30_000, set(4_000, 2, "middling")) }},
		{"deletes of what was just stored", func() {
			each(100_000, func(b *strings.Builder, i int) {
				fmt.Fprintf(b, "set gone:%d 0 0 500 noreply\r\n%s\r\ndelete gone:%d\r\n", i, data[:500], i)
			})
		}},
		{"stubs", func() {
			each(300_000, func(b *strings.Builder, i int) { fmt.Fprintf(b, "mg stub:%d N3600 v\r\n", i) })
		}},
		{"hold-offs", func() {
			each(100_000, func(b *strings.Builder, i int) { fmt.Fprintf(b, "delete held:%d 600\r\n", i) })
		}},
		{"a flush, and tiny values again", func() {
			each(1, func(b *strings.Builder, _ int) { b.WriteString("flush_all\r\n") })
			each(300_000, set(10, 0, "again"))
		}},
	} {
		phase.run()
		size := resident(t, m.Pid())
		t.Logf("%s: %s resident", phase.name, mebibytes(size))
		if most := mostResident(megabytes, 0); size > most {
			t.Errorf("%s: %s resident, want at most %s", phase.name, mebibytes(size), mebibytes(most))
		}
	}
	if err := w.set("k", "v"); err != nil {
		t.Errorf("after all of that: %v", err)
	}
}
