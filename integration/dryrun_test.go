package integration

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

func TestDryRunPrintsAndTouchesNothing(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		east, west := harness.NewCache(t), harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", // both without others' keys
			fmt.Sprintf("  - {name: east, servers: [%s], match: '^%s:'}", east.Addr(), db.Schema),
			fmt.Sprintf("  - {name: west, routers: [%s], match: '^%s:user'}", west.Addr(), db.Schema))
		s := db.Session(t)
		began := time.Now().Add(-2 * time.Second) // MariaDB tells whole seconds
		dry := cfg.Daemon(t, "--dry-run")
		keys := db.Keys("user:1", "shop:1")
		east.Fill(t, keys...)
		west.Fill(t, keys...)
		s.Commit(t, keys...)
		harness.Await(t, "two lines are printed", func() bool { return len(lines(t, dry)) == 2 })
		printed := lines(t, dry)
		want := []line{
			{Key: keys[0], Action: "delete", Cause: "tag", Schema: db.Schema, Table: "settled", Clusters: []string{"east", "west"}},
			{Key: keys[1], Action: "delete", Cause: "tag", Schema: db.Schema, Table: "settled", Clusters: []string{"east"}},
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
		east.MustHave(t, keys...)
		west.MustHave(t, keys...)
		for _, m := range []*harness.Cache{east, west} {
			if n := m.Stat(t, "delete_hits") + m.Stat(t, "delete_misses"); n != 0 {
				t.Errorf("a dry run has sent %d deletes to %s", n, m)
			}
		}
		if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
			t.Errorf("a dry run has made %s: %v", cfg.StateDir, err)
		}

		// It takes no lock, minds none, and leaves a daemon its dump and its checkpoint.
		daemon := cfg.Daemon(t)
		second := cfg.Daemon(t, "--dry-run")
		p := cfg.Replay(t, "--dry-run", "--from", "oldest")
		if p.Status() != 0 || len(lines(t, p)) != 2 {
			t.Errorf("exit status %d and %d lines beside a daemon, want 2:\n%s", p.Status(), len(lines(t, p)), p.Stderr.String())
		}
		s.Settle(t, east)
		harness.Await(t, "the second prints", func() bool { return len(lines(t, second)) >= 1 })
		for _, running := range []*harness.Process{daemon, dry, second} {
			if lost := running.Said("source is lost"); len(lost) > 0 {
				t.Errorf("one has ended another's dump: %s", lost)
			}
			running.Stop(t)
		}
	})
}

// A dry run's keys can be put into a tag again, and are readable where they can be.
func TestDryRunEncodesKeysOnlyWhereItMust(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		s := db.Session(t)
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
			before := s.Executed(t)
			s.Exec(t, "INSERT /* mc: {"+c.tag+"} */ INTO settled VALUES ()")
			p := harness.Mcsqueal(t, "replay", "--dry-run", "--source", db.SourceURL(), "--from", "gtid:"+before, "--match", "^"+db.Schema+":")
			if p.Status() != 0 {
				t.Fatalf("exit status %d:\n%s", p.Status(), p.Stderr.String())
			}
			printed := lines(t, p)
			if len(printed) != 1 || printed[0].Key != db.Key(c.printed) {
				t.Errorf("tag %q is printed as %+v, want the key %q", c.tag, printed, c.printed)
			}
			if diff := cmp.Diff([]string{db.Key(c.key)}, keysOf(t, printed)); diff != "" {
				t.Errorf("tag %q decoded (-want +got):\n%s", c.tag, diff)
			}
		}
	})
}
