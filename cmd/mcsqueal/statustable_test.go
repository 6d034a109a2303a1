package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/pipeline"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestTheTableSaysWhatTheDaemonIsAt(t *testing.T) {
	s := &admin.Status{
		Now: noon, Started: noon.Add(-90 * time.Minute), Version: "mcsqueal v1", Problems: []string{"cluster west is catching up"},
		Source: admin.Source{Address: "db:3306", Version: "9.7.4", Tailing: true, Heard: noon.Add(-2 * time.Second)},
		Read:   admin.Read{KeysPerSecond: 212.4, TransactionsPerSecond: 9.5, CommitToRead: admin.Delay{Count: 3, Median: .000211, P99: .00112}},
		Log:    admin.Log{UsedBytes: 256 << 10, CapacityBytes: 64 << 20, CatchUp: 1},
		Clusters: []admin.Cluster{
			{Name: "east", State: "in_step", Position: "bin.000001:4", DeletesPerSecond: 1234.5, InFlight: 7, CommitToAcknowledged: admin.Delay{Count: 1, Median: .0005, P99: 1.5}},
			{Name: "lost", State: "gap"},
			{Name: "west", State: "catching_up", LagSeconds: 125, Refused: 3, Advice: []admin.Advice{{Level: "warning", What: "3 keys are refused\x1b[2J", Do: "Wait."}}},
		},
	}
	got := statusTable(s)
	for verdict, change := range map[string]func(*admin.Status){
		"NOT IN STEP  ": func(*admin.Status) {},
		"in step  ":     func(s *admin.Status) { s.Ready = true },
		// It is served from what is read; that nothing of it arrives is not well all the same.
		"IN TROUBLE  ": func(s *admin.Status) {
			s.Ready, s.Clusters = true, []admin.Cluster{{State: "in_step"}, {State: "in_step", Advice: []admin.Advice{{Level: "error", What: "1 of its 1 servers cannot be used"}}}}
		},
	} {
		other := *s
		if change(&other); !strings.HasPrefix(statusTable(&other), verdict) {
			t.Errorf("want %q before\n%s", verdict, statusTable(&other))
		}
	}
	for _, want := range []string{
		"NOT IN STEP  mcsqueal v1, running for 1h30m0s\n",
		"source    db:3306, 9.7.4, is read, heard 2s ago\n",
		"read      212 keys/s, 9.5 commits/s; commit to read 211 µs (99 %: 1.12 ms), to visible -\n",
		"Log       256 KiB of 64 MiB, 1 further readings to catch up\n",
		"CLUSTER  STATE        LAG   DELETES/S  IN FLIGHT  DELAY 50 %  99 %   REFUSED  UP TO\n",
		"east     in step      0 s   1234       7          500 µs      1.5 s  0        bin.000001:4\n",
		"lost     gap          -     0          0          -           -      0        \n",
		"west     catching up  2m5s  0          0          -           -      3        \n",
		"\n! cluster west is catching up\n",
		"\nwest: warning: 3 keys are refused\ufffd[2J\n  Wait.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
}

// What others wrote into a key moves no cursor and clears no screen; and what is not
// remembered is not denied.
func TestAKeysStoryIsTextAndNoMoreThanIsKnown(t *testing.T) {
	m := &admin.Memory{
		Found: []admin.Invalidation{{
			Key: "a\x1b]0;mine\a\u202e", Cause: "tag", Schema: "shop", Table: "users", GTID: "g:1", Log: "bin.000001", Pos: 4, Time: noon,
			Delivered: []admin.Delivered{
				{Cluster: "east", State: "acknowledged", At: noon.Add(1500 * time.Microsecond)}, {Cluster: "west", State: "acknowledged"},
				{Cluster: "north", State: "refused", At: noon, Reason: "busy\r\n"}, {Cluster: "south", State: "unsure"},
			},
		}},
		More: true, Since: noon.Add(-time.Hour), Log: "bin.000001", Pos: 4, Waiting: 2,
	}
	got := keyTable("a", m)
	for _, want := range []string{
		"a\ufffd]0;mine\ufffd\ufffd  tag on shop.users  bin.000001:4  g:1\n", "east: acknowledged at ", ", 1.5 ms after the commit\n",
		"west: acknowledged at a time that is not remembered\n", "(busy\ufffd\ufffd)\n", "south: acknowledged, or among the keys that are refused\n",
		"and older ones\n", "It remembers back to ", "2 commits that were read cannot be read on the source yet",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
	if strings.ContainsAny(got, "\x1b\a\r\u202e") {
		t.Errorf("a control character is in it: %q", got)
	}
	if got := keyTable("b", &admin.Memory{Since: noon}); !strings.Contains(got, "no proof that it never was") || !strings.Contains(got, "mcsqueal replay") {
		t.Errorf("of what is not remembered it says %q", got)
	}
	if got := keyTable("b", &admin.Memory{}); !strings.Contains(got, "remembers nothing yet") {
		t.Errorf("of an empty memory it says %q", got)
	}
}

func TestAdviceIsAboutWhatIsWrong(t *testing.T) {
	connected := []admin.Connection{{Address: "a:1", Connected: noon}}
	away := []admin.Connection{{Address: "a:1", Connected: noon}, {Address: "b:1", Error: "b:1: refused"}}
	gap := &binlog.GapError{Source: "db", What: "purged"}
	for _, c := range []struct {
		name    string
		config  config.Cluster
		p       pipeline.ClusterStatus
		s       admin.Cluster
		level   string
		what    string
		nothing bool
	}{
		{name: "all is well", s: admin.Cluster{State: "in_step", Connections: connected, LagSeconds: 1}, nothing: true},
		{name: "nothing has been connected to yet", s: admin.Cluster{State: "in_step", Connections: []admin.Connection{{Address: "a:1"}}}, nothing: true},
		{name: "a gap", p: pipeline.ClusterStatus{Gap: gap, WaysOn: "flush"}, s: admin.Cluster{State: "gap", Connections: away}, level: "error", what: "purged"},
		{name: "a flush", s: admin.Cluster{State: "gap"}, level: "error", what: "being flushed"},
		{name: "catching up", s: admin.Cluster{State: "catching_up", LagSeconds: 900, Connections: connected}, level: "info", what: "catches up"},
		{name: "waiting", s: admin.Cluster{State: "waiting", Connections: connected}, level: "warning", what: "waits for a reading"},
		{name: "servers", config: config.Cluster{Servers: []string{"a:1", "b:1"}}, s: admin.Cluster{State: "in_step", Connections: away}, level: "error", what: "1 of its 2 servers cannot be used: b:1: refused"},
		{name: "routers", config: config.Cluster{Routers: []string{"a:1", "b:1"}}, s: admin.Cluster{State: "in_step", Connections: away[1:]}, level: "error", what: "None of its routers"},
		{name: "refused", config: config.Cluster{RefusedMax: 10}, s: admin.Cluster{State: "in_step", Connections: connected, Refused: 1, RefusedKeys: []admin.Trouble{{Reason: "busy"}}}, level: "warning", what: "1 key is refused for now, the last because: busy"},
		{name: "too many refused", config: config.Cluster{RefusedMax: 10}, s: admin.Cluster{State: "in_step", Connections: connected, Refused: 10}, level: "error", what: "10 keys are refused"},
		{name: "set aside", s: admin.Cluster{State: "in_step", Connections: connected, SetAside: 2}, level: "warning", what: "2 keys are refused for good"},
		{name: "slow", s: admin.Cluster{State: "in_step", Connections: connected, LagSeconds: 61}, level: "warning", what: "It is 1m1s late"},
		{name: "nearly a Log behind", s: admin.Cluster{State: "in_step", Connections: connected, LagBytes: 90}, level: "warning", what: "nearly a whole Log"},
	} {
		r := clusterReport{config: c.config}
		got := r.advice(&c.p, &c.s, 100)
		switch {
		case c.nothing && len(got) > 0:
			t.Errorf("%s: %+v", c.name, got)
		case c.nothing:
		case len(got) != 1 || got[0].Level != c.level || !strings.Contains(got[0].What, c.what) || got[0].Do == "":
			t.Errorf("%s: %+v, want one of level %s with %q", c.name, got, c.level, c.what)
		}
	}
}
