package integration

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestDryRunPrintsAndTouchesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		east, west := newCache(t), newCache(t)
		cfg := configure(t, db.url(), "clusters:", // both without others' keys
			fmt.Sprintf("  - {name: east, servers: [%s], match: '^%s:'}", east.Addr(), db.schema),
			fmt.Sprintf("  - {name: west, routers: [%s], match: '^%s:user'}", west.Addr(), db.schema))
		s := db.session(t)
		began := time.Now().Add(-2 * time.Second) // MariaDB tells whole seconds
		dry := cfg.daemon(t, "--dry-run")
		keys := db.keys("user:1", "shop:1")
		fill(t, east, keys...)
		fill(t, west, keys...)
		s.commit(t, keys...)
		await(t, "two lines are printed", func() bool { return len(lines(t, dry)) == 2 })
		printed := lines(t, dry)
		want := []line{
			{Key: keys[0], Action: "delete", Cause: "tag", Schema: db.schema, Table: "settled", Clusters: []string{"east", "west"}},
			{Key: keys[1], Action: "delete", Cause: "tag", Schema: db.schema, Table: "settled", Clusters: []string{"east"}},
		}
		for i, l := range printed {
			if l.GTID == "" || l.Log == "" || l.Pos < 4 || l.Time == nil || l.Time.Before(began) || l.Time.After(time.Now()) {
				t.Errorf("line %+v; want it to have a GTID, a place and the time", l)
			}
			printed[i].GTID, printed[i].Log, printed[i].Pos, printed[i].Time = "", "", 0, nil
		}
		if diff := cmp.Diff(want, printed); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		mustBeThere(t, east, keys...)
		mustBeThere(t, west, keys...)
		for _, m := range []*servers.Memcached{east, west} {
			if n := number(t, m, "delete_hits") + number(t, m, "delete_misses"); n != 0 {
				t.Errorf("a dry run has sent %d deletes to %s", n, m)
			}
		}
		if _, err := os.Stat(cfg.stateDir); !os.IsNotExist(err) {
			t.Errorf("a dry run has made %s: %v", cfg.stateDir, err)
		}

		// It takes no lock, minds none, and leaves a daemon its dump and its checkpoint.
		daemon := cfg.daemon(t)
		second := cfg.daemon(t, "--dry-run")
		p := cfg.replay(t, "--dry-run", "--from", "oldest")
		if p.status != 0 || len(lines(t, p)) != 2 {
			t.Errorf("exit status %d and %d lines beside a daemon, want 2:\n%s", p.status, len(lines(t, p)), p.stderr.String())
		}
		s.settle(t, east)
		await(t, "the second prints", func() bool { return len(lines(t, second)) >= 1 })
		for _, running := range []*process{daemon, dry, second} {
			if lost := running.said("source is lost"); len(lost) > 0 {
				t.Errorf("one has ended another's dump: %s", lost)
			}
			running.stop(t)
		}
	})
}

// A dry run's keys can be put into a tag again, and are readable where they can be.
func TestDryRunEncodesKeysOnlyWhereItMust(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		s := db.session(t)
		for _, c := range []struct{ tag, key, printed string }{
			{"plain", "plain", "plain"},
			{"per%25cent", "per%cent", "per%25cent"},
			{"a%3Ab", "a:b", "a:b"},
			{"sciurus%C3%BC", "sciurusü", "sciurusü"},
			{"scïurus", "scïurus", "scïurus"},
			{"%F0%9F%90%BF", "🐿", "🐿"},
			{"%ff%FE", "\xff\xfe", "%FF%FE"},
			{"%C3x", "\xc3x", "%C3x"},
			{`quote"d`, `quote"d`, `quote"d`},
			{`back\slash`, `back\slash`, `back\slash`},
			{"<&>", "<&>", "<&>"},
			{"%C2%85%E2%80%A8", "\u0085\u2028", "\u0085\u2028"},
		} {
			before := s.executed(t)
			s.exec(t, "INSERT /* mc: {"+c.tag+"} */ INTO settled VALUES ()")
			p := mcsqueal(t, "replay", "--dry-run", "--source", db.url(), "--from", "gtid:"+before, "--match", "^"+db.schema+":")
			if p.status != 0 {
				t.Fatalf("exit status %d:\n%s", p.status, p.stderr.String())
			}
			printed := lines(t, p)
			if len(printed) != 1 || printed[0].Key != db.key(c.printed) {
				t.Errorf("tag %q is printed as %+v, want the key %q", c.tag, printed, c.printed)
			}
			if diff := cmp.Diff([]string{db.key(c.key)}, keysOf(t, printed)); diff != "" {
				t.Errorf("tag %q decoded (-want +got):\n%s", c.tag, diff)
			}
		}
	})
}
