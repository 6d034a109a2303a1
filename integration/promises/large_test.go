package promises

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/build"
)

// A transaction is streamed through: one that is many times larger than the Log passes,
// through a cluster that is slow, too, in memory that does not grow with it. Its
// position comes with its last key.
func TestTransactionLargerThanTheLogPasses(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		statements, perStatement := 300, 100
		if *whole {
			statements, perStatement = 10_000, 1000
		}
		quick, slow := newCache(t), newCache(t)
		way := newWire(t, slow.Addr())
		way.spoil(t, "downstream", "latency", "latency", 200)
		cfg := configure(t, from(db.url()), "log_bytes: 256KiB", to(
			cluster("quick", "servers", quick.Addr()), cluster("slow", "routers", way.addr())))
		daemon := cfg.daemon(t)
		db.settle(t, quick, slow)

		keys := db.keys("k", statements*perStatement)
		large := func() {
			t.Helper()
			c := db.session(t)
			defer c.close()
			c.exec(t, "BEGIN")
			for batch := range slices.Chunk(keys, perStatement) {
				c.commit(t, batch...)
			}
			c.exec(t, "COMMIT")
		}
		largest := 0 // event
		for batch := range slices.Chunk(keys, perStatement) {
			largest = max(largest, len(tag(batch...))+1024)
		}
		// Some tell of all: the first, the last and what lies between.
		var sample []string
		for i := 0; i < len(keys); i += 97 {
			sample = append(sample, keys[i])
		}
		sample = append(sample, keys[len(keys)-1])
		fill(t, quick, sample...)
		fill(t, slow, sample...)
		large()
		done := db.executed(t)
		awaitGone(t, quick, sample...)
		awaitGone(t, slow, sample...)
		cfg.awaitPosition(t, "quick", done)
		cfg.awaitPosition(t, "slow", done)
		db.settle(t, quick, slow)

		// A daemon killed within it begins with it again, and with nothing else.
		fill(t, quick, sample...)
		fill(t, slow, sample...)
		large()
		done = db.executed(t)
		awaitGone(t, slow, sample[:len(sample)/4]...)
		peak := peakMemory(t, daemon)
		daemon.kill(t)
		if cfg.has(t, "slow", done) {
			t.Errorf("slow stands at %s, and the transaction is not delivered whole", cfg.position(t, "slow"))
		}
		fill(t, slow, sample...)
		daemon = cfg.daemon(t)
		awaitGone(t, slow, sample...)
		awaitGone(t, quick, sample...)
		cfg.awaitPosition(t, "slow", done)
		daemon.stop(t)

		t.Logf("%d keys in one transaction, a Log of 256 KiB: %d MiB resident at most", len(keys), peak>>20)
		if most := 64<<20 + 256<<10 + largest; !build.Raced() && peak > most {
			t.Errorf("%d MiB resident, want at most %d", peak>>20, most>>20)
		}
	})
}

// peakMemory is the most memory that a process has had resident, in bytes.
func peakMemory(t *testing.T, p *process) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(kib, &bytes); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return bytes << 10
		}
	}
	t.Fatalf("the system does not say how much memory process %d has had", p.pid)
	return 0
}
