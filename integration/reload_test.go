package integration

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

const (
	atWork  = "msg=\"the new configuration is at work\""
	refused = "msg=\"the new configuration is refused; the old one stays at work\""
)

// reload has a running daemon read its configuration again, and waits for what comes of
// it: one more line that matches.
func (p *process) reload(t *testing.T, outcome string) {
	t.Helper()
	n := len(p.said(outcome))
	p.signal(t, syscall.SIGHUP)
	p.saysTimes(t, n+1, outcome)
}

// traffic commits numbered rows, one after the other, each naming keys of its number,
// until it is told to stop.
type traffic struct {
	session *session
	done    sync.WaitGroup
	stop    chan struct{}
	begun   atomic.Int64 // rows whose commit has begun
	ended   atomic.Int64 // rows whose commit has returned
	err     error        // to be read when done
}

// most is how many rows there may be; their keys are set beforehand.
const most = 6000

func startTraffic(t *testing.T, db *database) *traffic {
	t.Helper()
	w := &traffic{session: db.session(t), stop: make(chan struct{})}
	w.done.Go(func() {
		for i := range most {
			select {
			case <-w.stop:
				return
			default:
			}
			statement := fmt.Sprintf("INSERT /* mc: {k:%d} */ /* more: {m:%d} */ INTO rows_of VALUES (%d)", i, i, i)
			w.begun.Store(int64(i + 1))
			if _, w.err = w.session.conn.ExecContext(t.Context(), db.named(statement)); w.err != nil {
				return
			}
			w.ended.Store(int64(i + 1))
		}
	})
	t.Cleanup(func() { w.end(t) })
	return w
}

func (w *traffic) end(t *testing.T) {
	t.Helper()
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
	if w.err != nil {
		t.Error(w.err)
	}
}

// flows waits until so many further rows are committed, and gives the number of the
// next.
func (w *traffic) flows(t *testing.T, rows int64) int {
	t.Helper()
	from := w.ended.Load()
	await(t, "rows are committed", func() bool { return w.ended.Load() >= from+rows || w.ended.Load() == most })
	return int(w.begun.Load())
}

// A daemon under load takes over one configuration after the other, good ones and bad
// ones, and every key of every commit goes from every cluster that is served, and from
// one that was taken out for a while once it is back.
func TestReloadsUnderLoadDropNoKey(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		db.exec(t, "CREATE TABLE rows_of (id INT PRIMARY KEY)")
		east, north := newCache(t), newCache(t)
		keys := func(name string, from, to int) []string { return db.numbered(name, to)[from:] }
		for _, name := range []string{"k", "m", "row"} {
			fill(t, east, keys(name, 0, most)...)
			fill(t, north, keys(name, 0, most)...)
		}
		rules := "rules: [{table: " + db.schema + ".rows_of, keys: [\"" + db.schema + ":row:{id}\"]}]"
		// Beside it one that is away, which delays no change, and whose place is kept.
		inEast := cluster("east", "servers", east.Addr()) + "\n" + cluster("away", "servers", "127.0.0.1:1")
		inNorth := cluster("north", "routers", north.Addr())
		cfg := configure(t, db.url(), rules, "clusters:", inEast)
		daemon := cfg.daemon(t, "--admin-listen", "127.0.0.1:0")
		change := func(outcome string, lines ...string) {
			t.Helper()
			cfg.write(t, db.url(), lines...)
			daemon.reload(t, outcome)
		}
		w := startTraffic(t, db)
		w.flows(t, 100)

		change(atWork, rules, "tags: [mc, more]", "clusters:", inEast)
		more := w.flows(t, 100) // from here on at the latest

		before := int(w.ended.Load())
		change(atWork, rules, "tags: [mc, more]", "clusters:", inEast, inNorth)
		since := w.flows(t, 100)

		// What is wrong with a configuration is said, and the one before goes on.
		for _, bad := range []struct {
			says  string
			lines []string
		}{
			{"clusters\\[0\\].sevrers: unknown field; did you mean servers", []string{"clusters:", "  - {name: east, sevrers: [a:1]}"}},
			{"no cluster is defined", []string{"clusters: []"}},
			{"log.format cannot be changed while the daemon runs", []string{"log: {format: json}", "clusters:", inEast}},
			{"is it renamed", []string{"clusters:", inEast, strings.Replace(inNorth, "north", "south", 1)}},
			{"the table has no such column", []string{"rules: [{table: " + db.schema + ".rows_of, keys: [\"{nope}\"]}]", "clusters:", inEast, inNorth}},
			{"the action is not honoured", []string{"clusters:", inEast, strings.Replace(inNorth, "name:", "action: \"holdoff:2s\", name:", 1)}},
		} {
			change(refused+".*"+bad.says, bad.lines...)
			if v := daemon.metric(t, "mcsqueal_config_last_reload_successful"); v != 0 {
				t.Errorf("mcsqueal_config_last_reload_successful is %v after a refusal", v)
			}
		}
		w.flows(t, 50)
		change(atWork, rules, "tags: [mc, more]", "log: {level: debug}", "clusters:", inEast)
		if v := daemon.metric(t, "mcsqueal_config_last_reload_successful"); v != 1 {
			t.Errorf("mcsqueal_config_last_reload_successful is %v after a reload", v)
		}
		if _, text := daemon.get(t, "/metrics"); strings.Contains(text, `cluster="north"`) {
			t.Error("a cluster that is served no more is counted for")
		}
		w.flows(t, 100)
		if c, _ := cfg.checkpoint(t); c.Clusters["north"].File == "" || fmt.Sprint(c.Retired) != "[north]" {
			t.Errorf("the place of the cluster that was taken out is not kept: %+v", c)
		}

		// Many at once, and then the cluster is back.
		for range 5 {
			daemon.reload(t, atWork)
			w.flows(t, 10)
		}
		change(atWork, rules, "tags: [mc, more]", "visibility: auto", "catch_up: 1", "clusters:", inEast, strings.Replace(inNorth, "name:", "window: 1, name:", 1))
		w.flows(t, 100)
		w.end(t)
		all := int(w.ended.Load())
		if all == most {
			t.Error("the rows came to an end before the reloads did, which so were not under load")
		}
		awaitGone(t, east, keys("k", 0, all)...)
		awaitGone(t, east, keys("row", 0, all)...)
		awaitGone(t, east, keys("m", more, all)...)
		awaitGone(t, north, keys("k", since, all)...)
		awaitGone(t, north, keys("row", since, all)...)
		mustBeThere(t, north, keys("k", 0, before-100)...)
		if waited := daemon.said("stopping"); len(waited) > 0 {
			t.Errorf("a change waited for a cluster that is away: %s", waited)
		}
		if at, _ := cfg.checkpoint(t); at.Clusters["away"].Offset >= at.Clusters["east"].Offset {
			t.Errorf("the place of the cluster that is away has moved: %+v", at)
		}
		daemon.signal(t, syscall.SIGTERM) // it waits for that cluster now
		daemon.failed(t, 0)
		if c, _ := cfg.checkpoint(t); len(c.Retired) > 0 {
			t.Errorf("the checkpoint has %v retired, which is served", c.Retired)
		}
	})
}

// A cluster that a reload took out does not keep a later start from happening; who took
// it out while no daemon ran has to say what has become of it.
func TestAClusterTakenOutByAReloadIsNoMistake(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		east, west := cluster("east", "servers", m.Addr()), cluster("west", "servers", newCache(t).Addr())
		cfg := configure(t, db.url(), "clusters:", east, west)
		daemon := cfg.daemon(t)
		cfg.write(t, db.url(), "clusters:", east)
		daemon.reload(t, atWork)
		daemon.stop(t)
		daemon = cfg.daemon(t)
		daemon.says(t, "place of a cluster that was taken out.*cluster=west.*mcsqueal checkpoint drop --cluster west")
		db.session(t).settle(t, m)
		daemon.stop(t)
		if p := mcsqueal(t, "checkpoint", "show", "--config", cfg.path); !strings.Contains(p.stdout.String(), "west") {
			t.Errorf("checkpoint show: %s", p.stdout.String())
		}
		mcsqueal(t, "checkpoint", "drop", "--cluster", "west", "--config", cfg.path).failed(t, 0)
		// Without a daemon to see it, it may have been renamed.
		cfg.write(t, db.url(), "clusters:", strings.Replace(east, "east", "first", 1))
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 2, `a cluster "east" that the configuration lacks`, "checkpoint drop --cluster east")
	})
}
