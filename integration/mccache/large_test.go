package mccache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// Large values are sent from where they lie, in parts, as sockets take them, while others
// replace them. However that falls together, each arrives whole and as it was stored.
func TestPipelinedLargeValuesArriveWhole(t *testing.T) {
	t.Parallel()
	m := start(t, "-m", "32", "-t", "4")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	const writers, readers, keys = 2, 4, 3
	for id := range writers + readers {
		w, err := connect(t.Context(), m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		random := rand.New(rand.NewPCG(rand.Uint64(), uint64(id)))
		group.Go(func() error {
			for ctx.Err() == nil {
				key := fmt.Sprintf("large:%d", random.IntN(keys))
				var err error
				if id < writers {
					err = replaceLarge(w, random, key)
				} else {
					err = readLarge(w, key, 1+random.IntN(12))
				}
				if err != nil {
					return fmt.Errorf("client %d: %w", id, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func replaceLarge(w *wire, random *rand.Rand, key string) error {
	fill := strings.Repeat(string('a'+rune(random.IntN(26))), 1_000_000-500_000*random.IntN(2))
	data := key + "|" + fill + "|" + key
	line, err := w.ask("set %s 0 0 %d\r\n%s\r\n", key, len(data), data)
	// With a few of them held by readers there may be no memory for another.
	if err == nil && line != "STORED" && line != "SERVER_ERROR out of memory storing object" {
		err = fmt.Errorf("set: %q", harness.Clip(line))
	}
	return err
}

func readLarge(w *wire, key string, times int) error {
	if err := w.send("%s", strings.Repeat("get "+key+"\r\n", times)); err != nil {
		return err
	}
	for i := range times {
		all, err := w.values()
		if err != nil {
			return fmt.Errorf("get %d of %d: %w", i+1, times, err)
		}
		for _, v := range all {
			if err := whole(v.key, v.data); err != nil {
				return fmt.Errorf("get %d of %d: %w", i+1, times, err)
			}
		}
	}
	return nil
}
