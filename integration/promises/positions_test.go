package promises

import (
	"fmt"
	"math/rand/v2"
	"testing"

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

func origins(db *source) []origin {
	always := func(statements ...string) func(int) []string {
		return func(int) []string { return statements }
	}
	next := func(gtid string) func(int) []string {
		return func(number int) []string { return []string{fmt.Sprintf("SET gtid_next = '"+gtid+"%d'", number)} }
	}
	if db.mysql() {
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
func (o origin) write(t *testing.T, db *source, number int, key string) {
	t.Helper()
	c := db.session(t)
	defer c.close()
	for _, statement := range o.become(number) {
		c.exec(t, statement)
	}
	c.commit(t, key)
	if db.mysql() {
		c.exec(t, "SET gtid_next = 'AUTOMATIC'")
	}
}

func TestPositionsAreWholeAndResumeIsExact(t *testing.T) {
	eachOwn(t, func(t *testing.T, db *source) {
		m := newCache(t)
		cfg := configure(t, from(db.url()), to(cluster("east", "servers", m.Addr())))
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
			keys := db.keys(fmt.Sprintf("round%d", round), 40)
			fill(t, m, append(keys, before...)...)
			write := func(keys []string) {
				t.Helper()
				for _, key := range keys {
					i := random.IntN(len(busy))
					n[i]++
					busy[i].write(t, db, n[i], key)
				}
			}
			write(keys[:20])
			daemon := cfg.daemon(t, "--start", "oldest")
			write(keys[20:])
			awaitGone(t, m, keys...)
			db.settle(t, m)
			// What was delivered in earlier rounds is not asked for again.
			mustBeThere(t, m, before...)
			done := db.executed(t)
			if round == 2 {
				cfg.awaitPosition(t, "east", done)
				daemon.kill(t)
			} else {
				daemon.stop(t)
			}
			at := cfg.position(t, "east")
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
		t.Run(nameOf(kind), func(t *testing.T) {
			t.Parallel()
			first := own(t, kind, servers.Config{})
			replica := start(t, kind, servers.Config{Args: args})
			if err := replica.ReplicateFrom(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			first.exec(t, "CREATE TABLE held (id INT PRIMARY KEY, v INT); INSERT INTO held VALUES (1, 0)")
			second := first.on(t, replica)
			if err := second.CatchUp(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			m := newCache(t)
			cfg := configure(t, from(second.url()), to(cluster("east", "servers", m.Addr())))
			daemon := cfg.daemon(t)

			var all []string
			for round := range 3 {
				// One transaction is held up on the replica, and those behind it overtake.
				holder := second.session(t)
				holder.exec(t, "BEGIN")
				holder.exec(t, "SELECT * FROM held FOR UPDATE")
				late := first.key(fmt.Sprintf("late%d", round))
				early := first.keys(fmt.Sprintf("early%d", round), 20)
				fill(t, m, append(early, late)...)
				slow, quick := first.session(t), first.session(t)
				if !first.mysql() {
					slow.exec(t, "SET gtid_domain_id = 1") // only domains may overtake
				}
				slow.exec(t, "UPDATE "+tag(late)+" held SET v = v + 1")
				before := first.executed(t)
				for _, key := range early {
					quick.commit(t, key)
				}
				awaitGone(t, m, early...)
				await(t, "the position has those that have overtaken", func() bool {
					at := cfg.position(t, "east").GTIDs
					return !at.Empty() && !before.Covers(at) && !at.Covers(before)
				})
				mustBeThere(t, m, late)
				switch round {
				case 0: // killed while the hole is there, and down while it is filled
					daemon.kill(t)
					holder.exec(t, "COMMIT")
					if err := second.CatchUp(t.Context(), first.Database); err != nil {
						t.Fatal(err)
					}
					daemon = cfg.daemon(t)
				case 1: // killed, and up again before it is filled
					daemon.kill(t)
					daemon = cfg.daemon(t)
					holder.exec(t, "COMMIT")
				default:
					holder.exec(t, "COMMIT")
				}
				awaitGone(t, m, late)
				holder.close()
				all = append(append(all, early...), late)
			}
			if err := second.CatchUp(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			done := second.executed(t)
			cfg.awaitPosition(t, "east", done)
			daemon.stop(t)
			mustBeGone(t, m, all...)
			if at := cfg.position(t, "east").GTIDs; !at.Equal(done) {
				t.Errorf("the position is %s, want %s", at, done)
			}

		})
	}
}
