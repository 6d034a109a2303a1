package integration

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

const (
	atWork  = "msg=\"the new configuration is at work\""
	refused = "msg=\"the new configuration is refused; the old one stays at work\""
)

// reload has a running daemon read its configuration again, and waits for what comes of
// it: one more line that matches.
func reload(t *testing.T, p *harness.Process, outcome string) {
	t.Helper()
	n := len(p.Said(outcome))
	p.Signal(t, syscall.SIGHUP)
	p.SaysTimes(t, n+1, outcome)
}

// traffic commits numbered rows, one after the other, each naming keys of its number,
// until it is told to stop.
type traffic struct {
	session *harness.Session
	done    sync.WaitGroup
	stop    chan struct{}
	begun   atomic.Int64 // rows whose commit has begun
	ended   atomic.Int64 // rows whose commit has returned
	err     error        // to be read when done
}

// most is how many rows there may be; their keys are set beforehand.
const most = 6000

func startTraffic(t *testing.T, db *harness.Database) *traffic {
	t.Helper()
	w := &traffic{session: db.Session(t), stop: make(chan struct{})}
	w.done.Go(func() {
		for i := range most {
			select {
			case <-w.stop:
				return
			default:
			}
			statement := fmt.Sprintf("INSERT /* mc: {k:%d} */ /* more: {m:%d} */ INTO rows_of VALUES (%d)", i, i, i)
			w.begun.Store(int64(i + 1))
			if _, w.err = w.session.Conn.ExecContext(t.Context(), db.Named(statement)); w.err != nil {
				return
			}
			w.ended.Store(int64(i + 1))
			// Where the reloads take their time, what is left must last.
			if left := most - i; left < most/2 {
				select {
				case <-w.stop:
				case <-time.After(time.Duration(most/2-left) * 20 * time.Microsecond):
				}
			}
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
	harness.Await(t, "rows are committed", func() bool { return w.ended.Load() >= from+rows || w.ended.Load() == most })
	return int(w.begun.Load())
}

// A daemon under load takes over one configuration after the other, good ones and bad
// ones, and every key of every commit goes from every cluster that is served, and from
// one that was taken out for a while once it is back.
func TestReloadsUnderLoadDropNoKey(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		db.Exec(t, "CREATE TABLE rows_of (id INT PRIMARY KEY)")
		east, north := harness.NewCache(t), harness.NewCache(t)
		keys := func(name string, from, to int) []string { return db.Numbered(name, to)[from:] }
		for _, name := range []string{"k", "m", "row"} {
			east.Fill(t, keys(name, 0, most)...)
			north.Fill(t, keys(name, 0, most)...)
		}
		rules := "rules: [{table: " + db.Schema + ".rows_of, keys: [\"" + db.Schema + ":row:{id}\"]}]"
		// Beside it one that is away, which delays no change, and whose place is kept.
		inEast := cluster("east", "servers", east.Addr()) + "\n" + cluster("away", "servers", "127.0.0.1:1")
		inNorth := cluster("north", "routers", north.Addr())
		cfg := harness.Configure(t, db.SourceURL(), rules, "clusters:", inEast)
		daemon := cfg.Daemon(t, "--admin-listen", "127.0.0.1:0")
		change := func(outcome string, lines ...string) {
			t.Helper()
			cfg.Write(t, db.SourceURL(), lines...)
			reload(t, daemon, outcome)
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
			{"the table has no such column", []string{"rules: [{table: " + db.Schema + ".rows_of, keys: [\"{nope}\"]}]", "clusters:", inEast, inNorth}},
			{"the action is not honoured", []string{"clusters:", inEast, strings.Replace(inNorth, "name:", "action: \"holdoff:2s\", name:", 1)}},
		} {
			change(refused+".*"+bad.says, bad.lines...)
			if v := metric(t, daemon, "mcsqueal_config_last_reload_successful"); v != 0 {
				t.Errorf("mcsqueal_config_last_reload_successful is %v after a refusal", v)
			}
		}
		w.flows(t, 50)
		change(atWork, rules, "tags: [mc, more]", "log: {level: debug}", "clusters:", inEast)
		if v := metric(t, daemon, "mcsqueal_config_last_reload_successful"); v != 1 {
			t.Errorf("mcsqueal_config_last_reload_successful is %v after a reload", v)
		}
		if _, text := get(t, daemon, "/metrics"); strings.Contains(text, `cluster="north"`) {
			t.Error("a cluster that is served no more is counted for")
		}
		w.flows(t, 100)
		if c, _ := cfg.Checkpoint(t); c.Clusters["north"].File == "" || fmt.Sprint(c.Retired) != "[north]" {
			t.Errorf("the place of the cluster that was taken out is not kept: %+v", c)
		}

		// Many at once, and then the cluster is back.
		for range 5 {
			reload(t, daemon, atWork)
			w.flows(t, 10)
		}
		change(atWork, rules, "tags: [mc, more]", "visibility: auto", "catch_up: 1", "clusters:", inEast, strings.Replace(inNorth, "name:", "window: 1, name:", 1))
		w.flows(t, 100)
		w.end(t)
		all := int(w.ended.Load())
		if all == most {
			t.Error("the rows came to an end before the reloads did, which so were not under load")
		}
		east.AwaitGone(t, keys("k", 0, all)...)
		east.AwaitGone(t, keys("row", 0, all)...)
		east.AwaitGone(t, keys("m", more, all)...)
		north.AwaitGone(t, keys("k", since, all)...)
		north.AwaitGone(t, keys("row", since, all)...)
		north.MustHave(t, keys("k", 0, before-100)...)
		if waited := daemon.Said("stopping"); len(waited) > 0 {
			t.Errorf("a change waited for a cluster that is away: %s", waited)
		}
		if at, _ := cfg.Checkpoint(t); at.Clusters["away"].Offset >= at.Clusters["east"].Offset {
			t.Errorf("the place of the cluster that is away has moved: %+v", at)
		}
		daemon.Signal(t, syscall.SIGTERM) // it waits for that cluster now
		daemon.MustEnd(t, 0)
		if c, _ := cfg.Checkpoint(t); len(c.Retired) > 0 {
			t.Errorf("the checkpoint has %v retired, which is served", c.Retired)
		}
	})
}

// A cluster that a reload took out does not keep a later start from happening; who took
// it out while no daemon ran has to say what has become of it.
func TestAClusterTakenOutByAReloadIsNoMistake(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		east, west := cluster("east", "servers", m.Addr()), cluster("west", "servers", harness.NewCache(t).Addr())
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", east, west)
		daemon := cfg.Daemon(t)
		cfg.Write(t, db.SourceURL(), "clusters:", east)
		reload(t, daemon, atWork)
		daemon.Stop(t)
		daemon = cfg.Daemon(t)
		daemon.Says(t, "place of a cluster that was taken out.*cluster=west.*mcsqueal checkpoint drop --cluster west")
		db.Session(t).Settle(t, m)
		daemon.Stop(t)
		if p := harness.Mcsqueal(t, "checkpoint", "show", "--config", cfg.Path); !strings.Contains(p.Stdout.String(), "west") {
			t.Errorf("checkpoint show: %s", p.Stdout.String())
		}
		harness.Mcsqueal(t, "checkpoint", "drop", "--cluster", "west", "--config", cfg.Path).MustEnd(t, 0)
		// Without a daemon to see it, it may have been renamed.
		cfg.Write(t, db.SourceURL(), "clusters:", strings.Replace(east, "east", "first", 1))
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 2, `a cluster "east" that the configuration lacks`, "checkpoint drop --cluster east")
	})
}
