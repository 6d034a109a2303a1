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
				return fmt.Errorf("set: %q, %w", clip(line), err)
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
		items, evicted := stat(t, m, "curr_items"), stat(t, m, "evictions")
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
