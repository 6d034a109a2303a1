package servers

import (
	"context"
	"strconv"
	"testing"
)

// Need lets a test go on only where the servers of these kinds are installed. Else
// it skips the test, or fails it where a skip is not allowed ([Required]), with the
// sentence that says what is missing and what to run.
func Need(tb testing.TB, want ...Kind) {
	tb.Helper()
	err := Missing(want...)
	if err == nil {
		return
	}
	if Required() {
		tb.Fatalf("MCSQUEAL_REQUIRE_SERVERS=1: %v", err)
	}
	tb.Skip(err)
}

// MySQL starts a MySQL for a test (see [Need]) and closes it with the test. If the
// test fails, it logs what the server said.
func MySQL(tb testing.TB, c Config) *Database {
	tb.Helper()
	return Start(tb, KindMySQL, c)
}

// MariaDB is MySQL for MariaDB.
func MariaDB(tb testing.TB, c Config) *Database {
	tb.Helper()
	return Start(tb, KindMariaDB, c)
}

// Start is MySQL or MariaDB, as the kind says.
func Start(tb testing.TB, k Kind, c Config) *Database {
	tb.Helper()
	return with(tb, k, func(ctx context.Context) (*Database, error) { return StartDatabase(ctx, k, c) })
}

// Memcache starts a memcached for a test, as MySQL does a MySQL.
func Memcache(tb testing.TB, c MemcachedConfig) *Memcached {
	tb.Helper()
	k := KindMemcached
	if c.Old {
		k = KindMemcachedOld
	}
	return with(tb, k, func(ctx context.Context) (*Memcached, error) { return StartMemcached(ctx, c) })
}

// Proxy starts a proxy for a test, as MySQL does a MySQL.
func Proxy(tb testing.TB, c ProxyConfig) *Memcached {
	tb.Helper()
	return with(tb, KindMemcached, func(ctx context.Context) (*Memcached, error) { return StartProxy(ctx, c) })
}

// Mccache starts a mccache, which the caller has built, for a test and closes it with
// the test.
func Mccache(tb testing.TB, c MccacheConfig) *Memcached {
	tb.Helper()
	return kept(tb, func(ctx context.Context) (*Memcached, error) { return StartMccache(ctx, c) })
}

// FreePort is ReservePort for a test, which has the port to its end.
func FreePort(tb testing.TB) (port int) {
	tb.Helper()
	port, release, err := ReservePort()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	return port
}

// Stat is one of the counters that Stats gives.
func (m *Memcached) Stat(tb testing.TB, counter string) (n int) {
	tb.Helper()
	stats, err := m.Stats(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	if n, err = strconv.Atoi(stats[counter]); err != nil {
		tb.Fatalf("%s: counter %s: %v", m, counter, err)
	}
	return n
}

// Each runs a subtest "mysql" on a MySQL and a subtest "mariadb" on a MariaDB, each
// on a server of its own.
func Each(t *testing.T, c Config, test func(t *testing.T, d *Database)) {
	t.Helper()
	t.Run("mysql", func(t *testing.T) { test(t, MySQL(t, c)) })
	t.Run("mariadb", func(t *testing.T) { test(t, MariaDB(t, c)) })
}

// server is what with needs of *Database and *Memcached.
type server interface {
	String() string
	Log() string
	Close() error
}

func with[S server](tb testing.TB, k Kind, start func(context.Context) (S, error)) S {
	tb.Helper()
	Need(tb, k)
	return kept(tb, start)
}

// kept starts a server that goes with the test.
func kept[S server](tb testing.TB, start func(context.Context) (S, error)) S {
	tb.Helper()
	s, err := start(tb.Context())
	if err != nil {
		tb.Fatal(err) // holds the server's log
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("%v said:\n%s", s, s.Log())
		}
		if err := s.Close(); err != nil {
			tb.Errorf("close %v: %v", s, err)
		}
	})
	return s
}
