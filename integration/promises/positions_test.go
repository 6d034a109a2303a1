package promises

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// The set of what has been executed is kept whole: every domain, every source's UUID
// and every tag. A daemon that keeps less of it asks again for what it has, or never
// for what it lacks.

// origin makes a session write as somebody else: in another domain, or under another
// UUID and tag.
type origin struct {
	name string
	// become is what is run before each transaction, number how many such there were
	// before, in GTIDs that are given by hand.
	become func(number int) []string
}

func origins(db *harness.Database) []origin {
	always := func(statements ...string) func(int) []string {
		return func(int) []string { return statements }
	}
	next := func(gtid string) func(int) []string {
		return func(number int) []string { return []string{fmt.Sprintf("SET gtid_next = '"+gtid+"%d'", number)} }
	}
	if db.IsMySQL() {
		return []origin{
			{"itself", always()},
			{"another", next("00000000-0000-0000-0000-00000000000a:")},
			{"itself with a tag", always("SET gtid_next = 'AUTOMATIC:blue'")},
			{"itself with another tag", always("SET gtid_next = 'AUTOMATIC:green'")},
			{"another with a tag", next("00000000-0000-0000-0000-00000000000b:blue:")},
		}
	}
	return []origin{
		{"itself", always()},
		{"another", always("SET gtid_domain_id = 7", "SET server_id = 4242")},
		{"itself in that domain", always("SET gtid_domain_id = 7")},
		{"itself in the greatest domain", always("SET gtid_domain_id = 4294967295")},
		{"another in a domain of its own", always("SET gtid_domain_id = 9", "SET server_id = 4242")},
	}
}

// write commits a transaction that names a key.
func (o origin) write(t *testing.T, db *harness.Database, number int, key string) {
	t.Helper()
	c := db.Session(t)
	defer c.Close()
	for _, statement := range o.become(number) {
		c.Exec(t, statement)
	}
	c.Commit(t, key)
	if db.IsMySQL() {
		c.Exec(t, "SET gtid_next = 'AUTOMATIC'")
	}
}

func TestPositionsAreWholeAndResumeIsExact(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), to(cluster("east", "servers", m.Addr())))
		all := origins(db)
		n := make([]int, len(all))
		random := rand.New(rand.NewPCG(1, 2))
		var before []string
		for round := range 4 {
			// Some are quiet for a while: what they have executed is not forgotten.
			busy := all
			if round%2 == 1 {
				busy = all[:2]
			}
			keys := db.Numbered(fmt.Sprintf("round%d", round), 40)
			m.Fill(t, append(keys, before...)...)
			write := func(keys []string) {
				t.Helper()
				for _, key := range keys {
					i := random.IntN(len(busy))
					n[i]++
					busy[i].write(t, db, n[i], key)
				}
			}
			write(keys[:20])
			daemon := cfg.Daemon(t, "--start", "oldest")
			write(keys[20:])
			m.AwaitGone(t, keys...)
			db.Settle(t, m)
			// What was delivered in earlier rounds is not asked for again.
			m.MustHave(t, before...)
			done := db.GTIDs(t)
			if round == 2 {
				cfg.AwaitPosition(t, "east", done)
				daemon.Kill(t)
			} else {
				daemon.Stop(t)
			}
			at := cfg.Position(t, "east")
			if !at.GTIDs.Equal(done) {
				t.Errorf("the position is %s, want %s", at.GTIDs, done)
			}
			before = append(before, keys...)
		}
		for i, o := range all {
			if n[i] == 0 {
				t.Errorf("nothing was written as %s, so this is no test of it", o.name)
			}
		}
	})
}

// A replica that applies in parallel need not commit in its source's order: its log
// has transactions behind others that came later. Where that leaves a hole, the hole
// is what is read next.
func TestReplicaThatCommitsInAnotherOrderLosesNothing(t *testing.T) {
	for kind, args := range map[servers.Kind][]string{
		servers.KindMySQL:   {"--replica-parallel-workers=4", "--replica-preserve-commit-order=OFF"},
		servers.KindMariaDB: {"--slave-parallel-threads=4", "--slave-parallel-mode=optimistic"},
	} {
		t.Run(kind.Name(), func(t *testing.T) {
			t.Parallel()
			first := harness.Own(t, kind, servers.Config{})
			replica := servers.Start(t, kind, servers.Config{Args: args})
			if err := replica.ReplicateFrom(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			first.Exec(t, "CREATE TABLE held (id INT PRIMARY KEY, v INT); INSERT INTO held VALUES (1, 0)")
			second := first.On(t, replica)
			if err := second.CatchUp(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			m := harness.NewCache(t)
			cfg := harness.Configure(t, second.SourceURL(), to(cluster("east", "servers", m.Addr())))
			daemon := cfg.Daemon(t)

			var all []string
			for round := range 3 {
				// One transaction is held up on the replica, and those behind it overtake.
				holder := second.Session(t)
				holder.Exec(t, "BEGIN")
				holder.Exec(t, "SELECT * FROM held FOR UPDATE")
				late := first.Key(fmt.Sprintf("late%d", round))
				early := first.Numbered(fmt.Sprintf("early%d", round), 20)
				m.Fill(t, append(early, late)...)
				slow, quick := first.Session(t), first.Session(t)
				if !first.IsMySQL() {
					slow.Exec(t, "SET gtid_domain_id = 1") // only domains may overtake
				}
				slow.Exec(t, "UPDATE "+harness.Tag(late)+" held SET v = v + 1")
				before := first.GTIDs(t)
				for _, key := range early {
					quick.Commit(t, key)
				}
				m.AwaitGone(t, early...)
				harness.Await(t, "the position has those that have overtaken", func() bool {
					at := cfg.Position(t, "east").GTIDs
					return !at.Empty() && !before.Covers(at) && !at.Covers(before)
				})
				m.MustHave(t, late)
				switch round {
				case 0: // killed while the hole is there, and down while it is filled
					daemon.Kill(t)
					holder.Exec(t, "COMMIT")
					if err := second.CatchUp(t.Context(), first.Database); err != nil {
						t.Fatal(err)
					}
					daemon = cfg.Daemon(t)
				case 1: // killed, and up again before it is filled
					daemon.Kill(t)
					daemon = cfg.Daemon(t)
					holder.Exec(t, "COMMIT")
				default:
					holder.Exec(t, "COMMIT")
				}
				m.AwaitGone(t, late)
				holder.Close()
				all = append(append(all, early...), late)
			}
			if err := second.CatchUp(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			done := second.GTIDs(t)
			cfg.AwaitPosition(t, "east", done)
			daemon.Stop(t)
			m.MustLack(t, all...)
			if at := cfg.Position(t, "east").GTIDs; !at.Equal(done) {
				t.Errorf("the position is %s, want %s", at, done)
			}

		})
	}
}
