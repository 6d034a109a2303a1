package promises

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A transaction is streamed through: one that is many times larger than the Log passes,
// through a cluster that is slow, too, in memory that does not grow with it. Its
// position comes with its last key.
func TestTransactionLargerThanTheLogPasses(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		statements, perStatement := 300, 100
		if *whole {
			statements, perStatement = 10_000, 1000
		}
		quick, slow := harness.NewCache(t), harness.NewCache(t)
		way := harness.NewWire(t, slow.Addr())
		way.Spoil(t, "downstream", "latency", "latency", 200)
		cfg := harness.Configure(t, db.SourceURL(), "log_bytes: 256KiB", to(
			cluster("quick", "servers", quick.Addr()), cluster("slow", "routers", way.Addr())))
		daemon := cfg.Daemon(t)
		db.Settle(t, quick, slow)

		keys := db.Numbered("k", statements*perStatement)
		large := func() {
			t.Helper()
			c := db.Session(t)
			defer c.Close()
			c.Exec(t, "BEGIN")
			for batch := range slices.Chunk(keys, perStatement) {
				c.Commit(t, batch...)
			}
			c.Exec(t, "COMMIT")
		}
		largest := 0 // event
		for batch := range slices.Chunk(keys, perStatement) {
			largest = max(largest, len(harness.Tag(batch...))+1024)
		}
		// Some tell of all: the first, the last and what lies between.
		var sample []string
		for i := 0; i < len(keys); i += 97 {
			sample = append(sample, keys[i])
		}
		sample = append(sample, keys[len(keys)-1])
		quick.Fill(t, sample...)
		slow.Fill(t, sample...)
		large()
		done := db.GTIDs(t)
		quick.AwaitGone(t, sample...)
		slow.AwaitGone(t, sample...)
		cfg.AwaitPosition(t, "quick", done)
		cfg.AwaitPosition(t, "slow", done)
		db.Settle(t, quick, slow)

		// A daemon killed within it begins with it again, and with nothing else.
		quick.Fill(t, sample...)
		slow.Fill(t, sample...)
		way.Spoil(t, "upstream", "bandwidth", "rate", 100) // KB a second, of some 900
		large()
		done = db.GTIDs(t)
		slow.AwaitGone(t, sample[:len(sample)/10]...)
		peak := peakMemory(t, daemon)
		daemon.Kill(t)
		way.Restore(t, "bandwidth")
		if cfg.Has(t, "slow", done) {
			t.Errorf("slow stands at %s, and the transaction is not delivered whole", cfg.Position(t, "slow"))
		}
		slow.Fill(t, sample...)
		daemon = cfg.Daemon(t)
		slow.AwaitGone(t, sample...)
		quick.AwaitGone(t, sample...)
		cfg.AwaitPosition(t, "slow", done)
		daemon.Stop(t)

		t.Logf("%d keys in one transaction, a Log of 256 KiB: %d MiB resident at most", len(keys), peak>>20)
		if most := 64<<20 + 256<<10 + largest; !build.Raced() && peak > most {
			t.Errorf("%d MiB resident, want at most %d", peak>>20, most>>20)
		}
	})
}

// peakMemory is the most memory that a process has had resident, in bytes.
func peakMemory(t *testing.T, p *harness.Process) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
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
	t.Fatalf("the system does not say how much memory process %d has had", p.Pid())
	return 0
}
