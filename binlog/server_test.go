package binlog

import (
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Who watches a server sees the connections that were aborted: none of those that ask
// questions is.
func TestConnectionsEndAsTheServerExpects(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		aborted := func() (n int) {
			t.Helper()
			var name string
			if err := d.DB().QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Aborted_clients'").Scan(&name, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := aborted()
		const connections = 20
		for range connections {
			s, err := Connect(t.Context(), ServerConfig{Flavor: flavorOf(d), Address: d.Addr(), User: "root"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Settings(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// The server has taken note of all of them when there is none any more.
		for deadline, n := time.Now().Add(2*time.Minute), -1; n != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections are there still", n)
			}
			if err := d.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE command IN ('Query', 'Sleep') AND id <> CONNECTION_ID()").Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
		if now := aborted(); now != before {
			t.Errorf("of %d connections it calls %d aborted", connections, now-before)
		}
	})
}
