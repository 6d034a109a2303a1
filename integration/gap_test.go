package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A replay has no cluster that waits for a decision: what the source does not have is
// told to who asked for it, with what it has instead.
func TestReplayOfWhatTheSourceLacksSaysWhatItHas(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		s := db.session(t)
		before := s.executed(t)
		file, offset := s.place(t)
		s.commit(t, db.key("purged"))
		s.exec(t, "FLUSH BINARY LOGS")
		newest, _ := s.place(t)
		// MariaDB keeps a file until its engines have made durable what stands in it.
		await(t, "the log is purged", func() (gone bool) {
			s.exec(t, "PURGE BINARY LOGS TO '"+newest+"'")
			for row := range s.rows(t, "SHOW BINARY LOGS") {
				gone = row["Log_name"] == newest
				break
			}
			return gone
		})
		left := s.executed(t)
		s.commit(t, db.key("left"))
		ahead := "0-1-999999"
		if db.mysql() {
			ahead = s.text(t, "SELECT @@server_uuid") + ":1-999999"
		}
		for _, c := range []struct {
			name, from string
			parts      []string
		}{
			{"purged", "gtid:" + before, []string{"has purged some of what follows gtid:" + before, "gtid:" + left, "oldest"}},
			{"ahead", "gtid:" + ahead, []string{"has not executed all of gtid:" + ahead, "gtid:" + s.executed(t), "now"}},
			{"a purged file", fmt.Sprintf("file:%s:%d", file, offset), []string{file, "it has the files " + newest, "oldest"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, dry := range [][]string{nil, {"--dry-run"}} {
					p := cfg.replay(t, append([]string{"--from", c.from}, dry...)...)
					p.failed(t, 1, append(c.parts, "--from: ", db.Addr())...)
					for _, wrong := range []string{"standard output", "checkpoint set", "next start", "delivered already", "waits for a decision"} {
						if strings.Contains(p.stderr.String(), wrong) {
							t.Errorf("it says %q, which means nothing here:\n%s", wrong, p.stderr.String())
						}
					}
				}
				mcsqueal(t, "checkpoint", "set", "--config", cfg.path, "--cluster", "east", "--to", c.from).
					failed(t, 1, append(c.parts, "--to: ", db.Addr())...)
				if _, err := os.Stat(cfg.stateDir); !os.IsNotExist(err) {
					t.Errorf("a position that cannot be set leaves a state_dir: %v", err)
				}
			})
		}
		// A source that cannot be asked is no reason to refuse a set.
		nobody := configure(t, strings.Replace(db.url(), db.Addr(), "127.0.0.1:1", 1), "clusters:", cluster("east", "servers", m.Addr()))
		p := mcsqueal(t, "checkpoint", "set", "--config", nobody.path, "--cluster", "east", "--to", "gtid:"+left)
		if p.status != 0 || len(p.said("the source cannot be asked whether it has what follows the set")) != 1 {
			t.Errorf("exit status %d:\n%s", p.status, p.stderr.String())
		}
		// What it names does work.
		fill(t, m, db.key("left"))
		for _, from := range []string{"oldest", "gtid:" + left} {
			if p := cfg.replay(t, "--from", from); p.status != 0 {
				t.Errorf("--from %s: exit status %d:\n%s", from, p.status, p.stderr.String())
			}
			mustBeGone(t, m, db.key("left"))
			fill(t, m, db.key("left"))
		}
	})
}
