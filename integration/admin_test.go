package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// get asks a daemon's listener.
func (p *process) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	const serving = `msg="serving metrics and health" listen=`
	p.says(t, serving)
	_, address, _ := strings.Cut(p.said(serving)[0], serving)
	address, _, _ = strings.Cut(address, " ")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// metric is the value of one, with its labels as Prometheus's text format has them.
func (p *process) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, text := p.get(t, "/metrics")
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
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], match: '^%s:'}", m.Addr(), db.schema))
		daemon := cfg.daemon(t, "--admin-listen", "127.0.0.1:0")
		s := db.session(t)
		s.settle(t, m)
		there, missing := db.numbered("there", 30), db.numbered("missing", 20)
		fill(t, m, there...)
		deleted, notFound := `mcsqueal_deletes_total{cluster="east",result="deleted"}`, `mcsqueal_deletes_total{cluster="east",result="not_found"}`
		read := daemon.metric(t, "mcsqueal_keys_read_total")
		hits, misses := daemon.metric(t, deleted), daemon.metric(t, notFound)
		s.commit(t, append(there, missing...)...)
		awaitGone(t, m, there...)
		await(t, "the answers are counted", func() bool {
			return daemon.metric(t, deleted) == hits+30 && daemon.metric(t, notFound) == misses+20
		})
		for _, name := range []string{
			"mcsqueal_commit_to_read_seconds_count", "mcsqueal_read_to_visible_seconds_count",
			`mcsqueal_batch_deletes_count{cluster="east"}`, `mcsqueal_connections_total{cluster="east"}`, "mcsqueal_source_tailing",
			"mcsqueal_source_connections_total", "mcsqueal_log_capacity_bytes", "mcsqueal_newest_commit_timestamp_seconds", "mcsqueal_source_heard_timestamp_seconds",
		} {
			if daemon.metric(t, name) == 0 {
				t.Errorf("%s is 0", name)
			}
		}
		for _, name := range []string{"visible", "commit"} {
			name = "mcsqueal_" + name + `_to_acknowledged_seconds`
			if n := daemon.metric(t, name+`_count{cluster="east"}`); n != hits+misses+50 {
				t.Errorf("%s counts %v deletes, want %v", name, n, hits+misses+50)
			}
			// MariaDB tells whole seconds only.
			if late := daemon.metric(t, name+`_sum{cluster="east"}`) / (hits + misses + 50); late <= 0 || late > 30 {
				t.Errorf("deletes come %v s late by %s", late, name)
			}
		}
		if n := daemon.metric(t, `mcsqueal_deletes_in_flight{cluster="east"}`); n != 0 {
			t.Errorf("%v deletes are in flight, want none: all are answered", n)
		}
		// Others write to the same server.
		if now := daemon.metric(t, "mcsqueal_keys_read_total"); now < read+50 {
			t.Errorf("%v keys were read, and %v before: want 50 more", now, read)
		}
		s.exec(t, "INSERT /* mc: "+db.key("bad%00")+" */ INTO settled VALUES ()")
		await(t, "the refused key is counted", func() bool {
			return daemon.metric(t, `mcsqueal_tags_refused_total{reason="control_byte"}`) > 0
		})
		daemon.stop(t)
	})
}

// A daemon that lives is not always ready, and says why it is not.
func TestReadinessFollowsTheSourceAndTheClusters(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t, "--admin-listen", "127.0.0.1:0")
		ready := func() bool {
			status, _ := daemon.get(t, "/readyz")
			return status == http.StatusOK
		}
		await(t, "the daemon is ready", ready)
		if err := db.Kill(); err != nil {
			t.Fatal(err)
		}
		await(t, "the daemon is not ready without its source", func() bool {
			status, body := daemon.get(t, "/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, "log is not being read")
		})
		if status, _ := daemon.get(t, "/healthz"); status != http.StatusOK {
			t.Errorf("/healthz: %d", status)
		}
		if err := db.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "the daemon is ready again", ready)

		// A cache that does not answer makes its cluster late, and says how late.
		lag := `mcsqueal_lag_seconds{cluster="east"}`
		db.session(t).settle(t, m)
		await(t, "nothing waits", func() bool { return daemon.metric(t, lag) == 0 })
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		db.session(t).commit(t, db.key("late"))
		await(t, "the cluster is late", func() bool { return daemon.metric(t, lag) > 1 })
		if is := daemon.metric(t, `mcsqueal_cluster_state{cluster="east",state="in_step"}`); is != 1 {
			t.Errorf("in_step is %v, want 1: it is late, and served all the same", is)
		}
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		await(t, "the cluster is not late any more", func() bool { return daemon.metric(t, lag) == 0 })
		daemon.stop(t)
	})
}

// A port that was asked for must be had; the default's is no reason not to run.
func TestTakenPortStopsOnlyWhoAskedForIt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		mcsqueal(t, "run", "--config", cfg.path, "--admin-listen", l.Addr().String()).failed(t, 1, "admin.listen", l.Addr().String())
	})
}
