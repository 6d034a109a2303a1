package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// What cannot be a key is said, for each reason and with its place, not more than once
// a second, and keeps its neighbours from nothing.
func TestBadKeysAreLeftOutAndTheirNeighboursDelivered(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], %s}", m.Addr(), patient))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		longest := db.Key(strings.Repeat("x", 250-len(db.Key(""))))
		began := time.Now()
		const rounds = 20
		for round := range rounds {
			for i, bad := range []string{
				"{x}%00", "{x}%0A", "{x}%20y", "{x}%7F", "%0d%0aflush_all", // bytes that end or alter a command
				longest + "y", strings.Repeat("%41", 251), // too long, once decoded
				"{x}%", "{x}%4", "{x}%zz", "%%", // no escapes
			} {
				first, last := db.Key(fmt.Sprintf("first%d-%d", round, i)), db.Key(fmt.Sprintf("last%d-%d", round, i))
				m.Fill(t, first, last, longest, db.Key("x"))
				s.Exec(t, "INSERT /* mc: "+first+" "+bad+" "+longest+" "+last+" */ INTO settled VALUES ()")
				if round == 0 {
					m.AwaitGone(t, first, last, longest)
				}
			}
		}
		s.Settle(t, m)
		m.MustHave(t, db.Key("x"))
		for _, reason := range []string{"too_long", "control_byte", "bad_escape"} {
			refused := daemon.Said("a tag's key was refused.* reason=" + reason + " .* log=bin.[0-9]+ pos=[0-9]+ more=")
			if most := 1 + int(time.Since(began)/time.Second); len(refused) == 0 || len(refused) > most {
				t.Errorf("%d lines about keys refused for %q in %v, want 1 to %d", len(refused), reason, time.Since(began), most)
			}
		}
		// The connection on which they would have done harm is the first one still.
		if connected := daemon.Said("msg=connected"); len(connected) != 1 {
			t.Errorf("%d connections were made, want 1: %q", len(connected), connected)
		}
		daemon.Stop(t)
	})
}

// A key that becomes too long behind its cluster's prefix is set aside there, and the
// replay says so in the end.
func TestKeysSetAsideFailAReplay(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		plain, prefixed := harness.NewCache(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("plain", "servers", plain.Addr()),
			fmt.Sprintf("  - {name: prefixed, servers: [%s], prefix: 'pool:', match: '^%s:'}", prefixed.Addr(), db.Schema))
		s := db.Session(t)
		before := s.Executed(t)
		long := db.Key(strings.Repeat("x", 246-len(db.Key(""))))
		short, last := db.Key("short"), db.Key("last")
		plain.Fill(t, short, long, last)
		prefixed.Fill(t, "pool:"+short, "pool:"+last)
		s.Commit(t, short, long, last)
		only := "--match=^" + db.Schema + ":"
		cfg.Replay(t, only, "--from", "gtid:"+before).MustEnd(t, 1, "1 keys were set aside")
		plain.MustLack(t, short, long, last)
		prefixed.MustLack(t, "pool:"+short, "pool:"+last)

		p := cfg.Replay(t, only, "--from", "gtid:"+before, "--cluster", "plain")
		if p.Status() != 0 {
			t.Errorf("exit status %d where no key was set aside:\n%s", p.Status(), p.Stderr.String())
		}
		// A daemon goes on: its position passes what can never be delivered.
		prefixed.Fill(t, "pool:"+short, "pool:"+last)
		daemon := cfg.Daemon(t, "--start", "gtid:"+before)
		prefixed.AwaitGone(t, "pool:"+short, "pool:"+last)
		daemon.Says(t, "key set aside.*cluster=prefixed.*"+long)
		daemon.Stop(t)
		c, _ := cfg.Checkpoint(t)
		if at := c.Clusters["prefixed"]; at.GTID == nil || !s.Contains(t, *at.GTID, before) || s.Contains(t, before, *at.GTID) {
			t.Errorf("the checkpoint is %+v, want one behind %s", at, before)
		}
	})
}
