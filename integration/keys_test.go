package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What cannot be a key is said, for each reason and with its place, not more than once
// a second, and keeps its neighbours from nothing.
func TestBadKeysAreLeftOutAndTheirNeighboursDelivered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		longest := db.key(strings.Repeat("x", 250-len(db.key(""))))
		began := time.Now()
		const rounds = 20
		for round := range rounds {
			for i, bad := range []string{
				"{x}%00", "{x}%0A", "{x}%20y", "{x}%7F", "%0d%0aflush_all", // bytes that end or alter a command
				longest + "y", strings.Repeat("%41", 251), // too long, once decoded
				"{x}%", "{x}%4", "{x}%zz", "%%", // no escapes
			} {
				first, last := db.key(fmt.Sprintf("first%d-%d", round, i)), db.key(fmt.Sprintf("last%d-%d", round, i))
				fill(t, m, first, last, longest, db.key("x"))
				s.exec(t, "INSERT /* mc: "+first+" "+bad+" "+longest+" "+last+" */ INTO settled VALUES ()")
				if round == 0 {
					awaitGone(t, m, first, last, longest)
				}
			}
		}
		s.settle(t, m)
		mustBeThere(t, m, db.key("x"))
		for _, reason := range []string{"too_long", "control_byte", "bad_escape"} {
			refused := daemon.said("a tag's key was refused.* reason=" + reason + " .* log=bin.[0-9]+ pos=[0-9]+ more=")
			if most := 1 + int(time.Since(began)/time.Second); len(refused) == 0 || len(refused) > most {
				t.Errorf("%d lines about keys refused for %q in %v, want 1 to %d", len(refused), reason, time.Since(began), most)
			}
		}
		// The connection on which they would have done harm is the first one still.
		if connected := daemon.said("msg=connected"); len(connected) != 1 {
			t.Errorf("%d connections were made, want 1: %q", len(connected), connected)
		}
		daemon.stop(t)
	})
}

// A key that becomes too long behind its cluster's prefix is set aside there, and the
// replay says so in the end.
func TestKeysSetAsideFailAReplay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		plain, prefixed := newCache(t), newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("plain", "servers", plain.Addr()),
			fmt.Sprintf("  - {name: prefixed, servers: [%s], prefix: 'pool:', match: '^%s:'}", prefixed.Addr(), db.schema))
		s := db.session(t)
		before := s.executed(t)
		long := db.key(strings.Repeat("x", 246-len(db.key(""))))
		short, last := db.key("short"), db.key("last")
		fill(t, plain, short, long, last)
		fill(t, prefixed, "pool:"+short, "pool:"+last)
		s.commit(t, short, long, last)
		only := "--match=^" + db.schema + ":"
		cfg.replay(t, only, "--from", "gtid:"+before).failed(t, 1, "1 keys were set aside")
		mustBeGone(t, plain, short, long, last)
		mustBeGone(t, prefixed, "pool:"+short, "pool:"+last)

		p := cfg.replay(t, only, "--from", "gtid:"+before, "--cluster", "plain")
		if p.status != 0 {
			t.Errorf("exit status %d where no key was set aside:\n%s", p.status, p.stderr.String())
		}
		// A daemon goes on: its position passes what can never be delivered.
		fill(t, prefixed, "pool:"+short, "pool:"+last)
		daemon := cfg.daemon(t, "--start", "gtid:"+before)
		awaitGone(t, prefixed, "pool:"+short, "pool:"+last)
		daemon.says(t, "key set aside.*cluster=prefixed.*"+long)
		daemon.stop(t)
		c, _ := cfg.checkpoint(t)
		if at := c.Clusters["prefixed"]; at.GTID == nil || !s.contains(t, *at.GTID, before) || s.contains(t, before, *at.GTID) {
			t.Errorf("the checkpoint is %+v, want one behind %s", at, before)
		}
	})
}
