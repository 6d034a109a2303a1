package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

var update = flag.Bool("update", false, "let the servers write the log files in testdata again")

// recorded is what happens in the shop of the log files: statements, and the keys
// that must come out of them. Each element is a transaction.
var recorded = []struct {
	statements []string
	keys       []string
}{
	{
		[]string{
			"UPDATE /* mc: product:17 product:17:price */ products SET price = 1499, version = version + 1 WHERE id = 17",
		},
		[]string{"product:17", "product:17:price"},
	},
	{
		[]string{
			"BEGIN",
			"UPDATE /* mc: product:4 */ products SET stock = stock - 1, version = version + 1 WHERE id = 4",
			"UPDATE /* mc: customer:2 */ customers SET orders = orders + 1, version = version + 1 WHERE id = 2",
			"INSERT /* mc: order:1 customer:2 */ INTO orders VALUES (1, 2, 4)",
			"COMMIT",
		},
		[]string{"product:4", "customer:2", "order:1"},
	},
	{ // no key of what was taken back
		[]string{
			"BEGIN",
			"UPDATE /* mc: customer:3 */ customers SET name = 'Ada /* mc: forged */', version = version + 1 WHERE id = 3",
			"SAVEPOINT s",
			"UPDATE /* mc: customer:4 */ customers SET name = 'never', version = version + 1 WHERE id = 4",
			"ROLLBACK TO s",
			"COMMIT",
		},
		[]string{"customer:3"},
	},
	{
		[]string{
			"BEGIN",
			"UPDATE /* mc: customer:5 */ customers SET name = 'never', version = version + 1 WHERE id = 5",
			"ROLLBACK",
		},
		nil,
	},
	{
		[]string{"DELETE FROM orders WHERE id = 1 -- mc: order:1 search:caf%C3%A9 search:100%25"},
		[]string{"order:1", "search:café", "search:100%"},
	},
	{
		[]string{"TRUNCATE TABLE orders /* mc: orders:all */"},
		[]string{"orders:all"},
	},
}

func TestLogFilesNameTheKeysOfTheShop(t *testing.T) {
	if *update {
		config := servers.Config{ServerID: 1}
		mysql := servers.MySQL(t, config)
		rename(t, mysql)
		record(t, mysql, logFiles[0], "RESET BINARY LOGS AND GTIDS")
		record(t, servers.MariaDB(t, config), logFiles[1], "RESET MASTER")
	}
	program, err := newProgram(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, transaction := range recorded {
		want = append(want, transaction.keys...)
	}
	for _, file := range logFiles {
		t.Run(filepath.Base(file), func(t *testing.T) {
			info, err := os.Stat(filepath.Join(program.root, file))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > 8<<10 {
				t.Errorf("%d bytes are more than the few kilobytes it is to have", info.Size())
			}
			d := &demo{out: newScreen(t.Output()), program: program, scratch: t.TempDir()}
			lines, err := d.replay(t.Context(), file, "--dry-run")
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, line := range lines {
				key, err := keyOf(line)
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, key)
			}
			if diff := cmp.Diff(want, keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

// rename gives a MySQL a server_uuid that does not come from this machine.
func rename(t *testing.T, db *servers.Database) {
	t.Helper()
	if err := db.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	const name = "[auto]\nserver-uuid=5a0b0000-0000-4000-8000-000000000001\n"
	if err := os.WriteFile(filepath.Join(db.DataDir(), "auto.cnf"), []byte(name), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// record has a server write its log of what happens in the shop, and keeps it.
func record(t *testing.T, db *servers.Database, file, reset string) {
	t.Helper()
	shop, err := openShop(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.DB().Conn(t.Context()) // one session
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{reset, "USE " + database}
	for _, transaction := range recorded {
		statements = append(statements, transaction.statements...)
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %s: %v", db, statement, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := shop.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Stop(t.Context()); err != nil { // which ends the file
		t.Fatal(err)
	}
	logs, err := db.LogFiles()
	if err != nil {
		t.Fatal(err)
	}
	if len(logs) != 1 {
		t.Fatalf("%s has the logs %q; want one", db, logs)
	}
	log, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", filepath.Base(file))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, log, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes of %s", path, len(log), db)
}
