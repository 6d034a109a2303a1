package servers_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMain(m *testing.M) {
	if os.Getenv("SERVERS_TEST_CHILD") == "1" {
		startAndWait()
	}
	os.Exit(goroutines.Verify(m))
}

func startAndWait() {
	ctx := context.Background()
	my, err := servers.StartMySQL(ctx, servers.Config{})
	if err != nil {
		panic(err)
	}
	maria, err := servers.StartMariaDB(ctx, servers.Config{})
	if err != nil {
		panic(err)
	}
	cache, err := servers.StartMemcached(ctx, servers.MemcachedConfig{})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(strconv.Itoa(my.Pid()) + " " + strconv.Itoa(maria.Pid()) + " " + strconv.Itoa(cache.Pid()) + "\n")
	select {}
}

func run(t *testing.T, d *servers.Database, statement string) {
	t.Helper()
	if _, err := d.DB().ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %s: %v", d, statement, err)
	}
}

func count(t *testing.T, d *servers.Database) (rows int) {
	t.Helper()
	if err := d.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func setAndGet(t *testing.T, m *servers.Memcached, key string) {
	t.Helper()
	if err := m.Client().Set(&memcache.Item{Key: key, Value: []byte("value")}); err != nil {
		t.Fatalf("%s: set %s: %v", m, key, err)
	}
	if item, err := m.Client().Get(key); err != nil || string(item.Value) != "value" {
		t.Fatalf("%s: get %s: %v, %v", m, key, item, err)
	}
}

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func threadStates(t *testing.T, pid int) (states []string) {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	threads, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(dir + thread.Name() + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		states = append(states, rest[:1])
	}
	return states
}
