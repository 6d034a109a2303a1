package integration

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// get asks a daemon's listener.
func get(t *testing.T, p *harness.Process, path string) (status int, body string) {
	t.Helper()
	const serving = `msg="serving metrics and health" listen=`
	p.Says(t, serving)
	_, address, _ := strings.Cut(p.Said(serving)[0], serving)
	address, _, _ = strings.Cut(address, " ")
	return harness.MustGet(t, "http://"+address+path)
}

// metric is the value of one, with its labels as Prometheus's text format has them.
func metric(t *testing.T, p *harness.Process, name string) float64 {
	t.Helper()
	_, text := get(t, p, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s in\n%s", name, text)
	return 0
}

func TestMetricsCountWhatIsReadAndDeleted(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], match: '^%s:', %s}", m.Addr(), db.Schema, patient))
		daemon := cfg.Daemon(t, "--admin-listen", "127.0.0.1:0")
		s := db.Session(t)
		deleted, notFound := `mcsqueal_deletes_total{cluster="east",result="deleted"}`, `mcsqueal_deletes_total{cluster="east",result="not_found"}`
		s.Settle(t, m)
		harness.Await(t, "the first answer is counted", func() bool { return metric(t, daemon, deleted) == 1 })
		there, missing := db.Numbered("there", 30), db.Numbered("missing", 20)
		m.Fill(t, there...)
		read := metric(t, daemon, "mcsqueal_keys_read_total")
		hits, misses := metric(t, daemon, deleted), metric(t, daemon, notFound)
		s.Commit(t, append(there, missing...)...)
		m.AwaitGone(t, there...)
		harness.Await(t, "the answers are counted", func() bool {
			return metric(t, daemon, deleted) == hits+30 && metric(t, daemon, notFound) == misses+20
		})
		for _, name := range []string{
			"mcsqueal_commit_to_read_seconds_count", "mcsqueal_read_to_visible_seconds_count",
			`mcsqueal_batch_deletes_count{cluster="east"}`, `mcsqueal_connections_total{cluster="east"}`, "mcsqueal_source_tailing",
			"mcsqueal_source_connections_total", "mcsqueal_log_capacity_bytes", "mcsqueal_newest_commit_timestamp_seconds", "mcsqueal_source_heard_timestamp_seconds",
		} {
			if metric(t, daemon, name) == 0 {
				t.Errorf("%s is 0", name)
			}
		}
		for _, name := range []string{"visible", "commit"} {
			name = "mcsqueal_" + name + `_to_acknowledged_seconds`
			// An answer is counted before its delete is acknowledged.
			harness.Await(t, fmt.Sprintf("%s counts %v deletes", name, hits+misses+50), func() bool {
				return metric(t, daemon, name+`_count{cluster="east"}`) == hits+misses+50
			})
			// MariaDB tells whole seconds only.
			if late := metric(t, daemon, name+`_sum{cluster="east"}`) / (hits + misses + 50); late <= 0 || late > harness.Patience.Seconds() {
				t.Errorf("deletes come %v s late by %s", late, name)
			}
		}
		if n := metric(t, daemon, `mcsqueal_deletes_in_flight{cluster="east"}`); n != 0 {
			t.Errorf("%v deletes are in flight, want none: all are answered", n)
		}
		// Others write to the same server.
		if now := metric(t, daemon, "mcsqueal_keys_read_total"); now < read+50 {
			t.Errorf("%v keys were read, and %v before: want 50 more", now, read)
		}
		s.Exec(t, "INSERT /* mc: "+db.Key("bad%00")+" */ INTO settled VALUES ()")
		harness.Await(t, "the refused key is counted", func() bool {
			return metric(t, daemon, `mcsqueal_tags_refused_total{reason="control_byte"}`) > 0
		})
		daemon.Stop(t)
	})
}

// A daemon that lives is not always ready, and says why it is not.
func TestReadinessFollowsTheSourceAndTheClusters(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t, "--admin-listen", "127.0.0.1:0")
		ready := func() bool {
			status, _ := get(t, daemon, "/readyz")
			return status == http.StatusOK
		}
		harness.Await(t, "the daemon is ready", ready)
		if err := db.Kill(); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "the daemon is not ready without its source", func() bool {
			status, body := get(t, daemon, "/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, "log is not being read")
		})
		if status, _ := get(t, daemon, "/healthz"); status != http.StatusOK {
			t.Errorf("/healthz: %d", status)
		}
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "the daemon is ready again", ready)

		// A cache that does not answer makes its cluster late, and says how late.
		lag := `mcsqueal_lag_seconds{cluster="east"}`
		db.Session(t).Settle(t, m)
		harness.Await(t, "nothing waits", func() bool { return metric(t, daemon, lag) == 0 })
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		db.Session(t).Commit(t, db.Key("late"))
		harness.Await(t, "the cluster is late", func() bool { return metric(t, daemon, lag) > 1 })
		if is := metric(t, daemon, `mcsqueal_cluster_state{cluster="east",state="in_step"}`); is != 1 {
			t.Errorf("in_step is %v, want 1: it is late, and served all the same", is)
		}
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "the cluster is not late any more", func() bool { return metric(t, daemon, lag) == 0 })
		daemon.Stop(t)
	})
}

// A port that was asked for must be had; the default's is no reason not to run.
func TestTakenPortStopsOnlyWhoAskedForIt(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		harness.Mcsqueal(t, "run", "--config", cfg.Path, "--admin-listen", l.Addr().String()).MustEnd(t, 1, "admin.listen", l.Addr().String())
	})
}
