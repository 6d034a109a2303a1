package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A replay has no cluster that waits for a decision: what the source does not have is
// told to who asked for it, with what it has instead.
func TestReplayOfWhatTheSourceLacksSaysWhatItHas(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		s := db.Session(t)
		before := s.Executed(t)
		file, offset := s.Place(t)
		s.Commit(t, db.Key("purged"))
		s.Exec(t, "FLUSH BINARY LOGS")
		newest, _ := s.Place(t)
		// MariaDB keeps a file until its engines have made durable what stands in it.
		harness.Await(t, "the log is purged", func() (gone bool) {
			s.Exec(t, "PURGE BINARY LOGS TO '"+newest+"'")
			for row := range s.Rows(t, "SHOW BINARY LOGS") {
				gone = row["Log_name"] == newest
				break
			}
			return gone
		})
		left := s.Executed(t)
		s.Commit(t, db.Key("left"))
		ahead := "0-1-999999"
		if db.IsMySQL() {
			ahead = s.Text(t, "SELECT @@server_uuid") + ":1-999999"
		}
		for _, c := range []struct {
			name, from string
			parts      []string
		}{
			{"purged", "gtid:" + before, []string{"has purged some of what follows gtid:" + before, "gtid:" + left, "oldest"}},
			{"ahead", "gtid:" + ahead, []string{"has not executed all of gtid:" + ahead, "gtid:" + s.Executed(t), "now"}},
			{"a purged file", fmt.Sprintf("file:%s:%d", file, offset), []string{file, "it has the files " + newest, "oldest"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, dry := range [][]string{nil, {"--dry-run"}} {
					p := cfg.Replay(t, append([]string{"--from", c.from}, dry...)...)
					p.MustEnd(t, 1, append(c.parts, "--from: ", db.Addr())...)
					for _, wrong := range []string{"standard output", "checkpoint set", "next start", "delivered already", "waits for a decision"} {
						if strings.Contains(p.Stderr.String(), wrong) {
							t.Errorf("it says %q, which means nothing here:\n%s", wrong, p.Stderr.String())
						}
					}
				}
				harness.Mcsqueal(t, "checkpoint", "set", "--config", cfg.Path, "--cluster", "east", "--to", c.from).
					MustEnd(t, 1, append(c.parts, "--to: ", db.Addr())...)
				if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
					t.Errorf("a position that cannot be set leaves a state_dir: %v", err)
				}
			})
		}
		// A source that cannot be asked is no reason to refuse a set.
		nobody := harness.Configure(t, strings.Replace(db.SourceURL(), db.Addr(), "127.0.0.1:1", 1), "clusters:", cluster("east", "servers", m.Addr()))
		p := harness.Mcsqueal(t, "checkpoint", "set", "--config", nobody.Path, "--cluster", "east", "--to", "gtid:"+left)
		if p.Status() != 0 || len(p.Said("the source cannot be asked whether it has what follows the set")) != 1 {
			t.Errorf("exit status %d:\n%s", p.Status(), p.Stderr.String())
		}
		// What it names does work.
		m.Fill(t, db.Key("left"))
		for _, from := range []string{"oldest", "gtid:" + left} {
			if p := cfg.Replay(t, "--from", from); p.Status() != 0 {
				t.Errorf("--from %s: exit status %d:\n%s", from, p.Status(), p.Stderr.String())
			}
			m.MustLack(t, db.Key("left"))
			m.Fill(t, db.Key("left"))
		}
	})
}
