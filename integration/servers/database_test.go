package servers_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestDatabaseServesOverEveryAddressItGives(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		ctx := t.Context()
		run(t, d, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
		var port, id int
		var rows, logged string
		err := d.DB().QueryRowContext(ctx, "SELECT @@port, @@server_id, @@binlog_format, (SELECT COUNT(*) FROM t)").Scan(&port, &id, &logged, &rows)
		if err != nil {
			t.Fatal(err)
		}
		if port != d.Port() || uint32(id) != d.ServerID() || logged != "ROW" || rows != "2" {
			t.Errorf("port %d, server_id %d, format %s, %s rows; want port %d, server_id %d, ROW, 2", port, id, logged, rows, d.Port(), d.ServerID())
		}
		if _, err := os.Stat(d.Socket()); err != nil {
			t.Error(err)
		}
		files, err := d.LogFiles()
		if err != nil || len(files) != 1 {
			t.Fatalf("log files %v, %v; want one", files, err)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Size() < 200 {
			t.Errorf("%s: %v, %v; want a log with a few events", files[0], info, err)
		}
		run(t, d, "FLUSH BINARY LOGS")
		if files, err := d.LogFiles(); err != nil || len(files) != 2 {
			t.Errorf("log files %v, %v; want two after a flush", files, err)
		}
	})
}

func TestDatabaseLogsStatementTextAndColumnNames(t *testing.T) {
	for _, c := range []struct {
		start     func(testing.TB, servers.Config) *servers.Database
		variables []string
	}{
		{servers.MySQL, []string{"binlog_rows_query_log_events", "gtid_mode", "enforce_gtid_consistency", "log_replica_updates"}},
		{servers.MariaDB, []string{"binlog_annotate_row_events", "log_slave_updates"}},
	} {
		d := c.start(t, servers.Config{})
		for _, name := range c.variables {
			var value string
			if err := d.DB().QueryRowContext(t.Context(), "SELECT @@GLOBAL."+name).Scan(&value); err != nil {
				t.Fatal(err)
			}
			if value != "1" && value != "ON" {
				t.Errorf("%s: %s is %s", d, name, value)
			}
		}
		var metadata string
		if err := d.DB().QueryRowContext(t.Context(), "SELECT @@GLOBAL.binlog_row_metadata").Scan(&metadata); err != nil || metadata != "FULL" {
			t.Errorf("%s: binlog_row_metadata is %s, %v", d, metadata, err)
		}
	}
}

func TestOwnArgumentsOverrideTheUsualOnes(t *testing.T) {
	servers.Each(t, servers.Config{ServerID: 77, Args: []string{"--sync-binlog=1", "--binlog-row-metadata=MINIMAL"}}, func(t *testing.T, d *servers.Database) {
		var id, syncs int
		var metadata string
		if err := d.DB().QueryRowContext(t.Context(), "SELECT @@server_id, @@sync_binlog, @@binlog_row_metadata").Scan(&id, &syncs, &metadata); err != nil {
			t.Fatal(err)
		}
		if id != 77 || syncs != 1 || metadata != "MINIMAL" || d.ServerID() != 77 {
			t.Errorf("server_id %d, sync_binlog %d, binlog_row_metadata %s", id, syncs, metadata)
		}
	})
}

func TestEveryMySQLHasItsOwnUUID(t *testing.T) {
	uuid := func(d *servers.Database) (u string) {
		if err := d.DB().QueryRowContext(t.Context(), "SELECT @@server_uuid").Scan(&u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	a, b := servers.MySQL(t, servers.Config{}), servers.MySQL(t, servers.Config{})
	first := uuid(a)
	if first == uuid(b) {
		t.Errorf("both are %s", first)
	}
	if err := a.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := uuid(a); got != first {
		t.Errorf("after a restart %s, before %s", got, first)
	}
}

func TestReplicaFollowsItsSourceAndTheOneAfterIt(t *testing.T) {
	for name, start := range map[string]func(testing.TB, servers.Config) *servers.Database{"mysql": servers.MySQL, "mariadb": servers.MariaDB} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			a, b := start(t, servers.Config{}), start(t, servers.Config{})
			run(t, a, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
			if err := b.ReplicateFrom(ctx, a); err != nil {
				t.Fatal(err)
			}
			run(t, a, "INSERT INTO t VALUES (2)")
			if err := b.CatchUp(ctx, a); err != nil {
				t.Fatal(err)
			}
			if got := count(t, b); got != 2 {
				t.Fatalf("the replica has %d rows, want 2", got)
			}
			// The source dies, the replica takes its place, the source comes back
			// as a replica of its replica.
			if err := a.Kill(); err != nil {
				t.Fatal(err)
			}
			run(t, b, "INSERT INTO t VALUES (3)")
			if err := a.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			if err := a.ReplicateFrom(ctx, b); err != nil {
				t.Fatal(err)
			}
			if err := a.CatchUp(ctx, b); err != nil {
				t.Fatal(err)
			}
			if got := count(t, a); got != 3 {
				t.Fatalf("the former source has %d rows, want 3", got)
			}
		})
	}
}

func TestReplicaThatCannotFollowSaysWhy(t *testing.T) {
	a, b := servers.MariaDB(t, servers.Config{}), servers.MariaDB(t, servers.Config{})
	run(t, a, "SET sql_log_bin = 0; CREATE TABLE t (id INT PRIMARY KEY); SET sql_log_bin = 1; INSERT INTO t VALUES (1)")
	err := errors.Join(b.ReplicateFrom(t.Context(), a), b.CatchUp(t.Context(), a))
	if err == nil || !strings.Contains(err.Error(), "Table 'test.t' doesn't exist") {
		t.Errorf("error %v, want the applier's own", err)
	}
}
