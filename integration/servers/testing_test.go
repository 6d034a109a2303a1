package servers_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// verdict is a testing.TB that notes how a test ended.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (v *verdict) Helper() {}

func (v *verdict) Skip(args ...any) {
	v.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// judge runs a test to its end, whichever that is.
func judge(t *testing.T, test func(testing.TB)) *verdict {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(v)
	}()
	<-done
	return v
}

func TestMissingServersSkipWithWhatToRun(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("MCSQUEAL_SERVERS", empty)
	t.Setenv("MCSQUEAL_REQUIRE_SERVERS", "")
	v := judge(t, func(tb testing.TB) { servers.Need(tb, servers.KindMySQL, servers.KindMemcachedOld) })
	if v.failed != "" {
		t.Errorf("failed: %s", v.failed)
	}
	for _, want := range []string{"MySQL", "memcached 1.6.18", empty, "make servers"} {
		if !strings.Contains(v.skipped, want) {
			t.Errorf("the reason %q does not name %q", v.skipped, want)
		}
	}
	if v := judge(t, func(tb testing.TB) { servers.MySQL(tb, servers.Config{}) }); v.skipped == "" {
		t.Error("a test that starts a missing server was not skipped")
	}
}

func TestMissingServersFailWhereTheyAreRequired(t *testing.T) {
	t.Setenv("MCSQUEAL_SERVERS", t.TempDir())
	t.Setenv("MCSQUEAL_REQUIRE_SERVERS", "1")
	v := judge(t, func(tb testing.TB) { servers.Need(tb, servers.KindMariaDB) })
	if v.skipped != "" || !strings.Contains(v.failed, "MariaDB") || !strings.Contains(v.failed, "make servers") {
		t.Errorf("skipped %q, failed %q; want a failure that says what to run", v.skipped, v.failed)
	}
}

func TestMissingServerIsATypedError(t *testing.T) {
	t.Setenv("MCSQUEAL_SERVERS", t.TempDir())
	_, mysql := servers.StartMySQL(t.Context(), servers.Config{})
	_, mariadb := servers.StartMariaDB(t.Context(), servers.Config{})
	_, memcached := servers.StartMemcached(t.Context(), servers.MemcachedConfig{})
	_, client := servers.Command(t.Context(), servers.KindMySQL, "mysqlbinlog")
	_, version := servers.Version(servers.KindMemcachedOld)
	for _, err := range []error{mysql, mariadb, memcached, client, version} {
		var missing *servers.MissingError
		if !errors.As(err, &missing) || len(missing.Kinds) != 1 {
			t.Errorf("error %v, want one kind missing", err)
		}
	}
}

func TestInstalledServersNeitherSkipNorFail(t *testing.T) {
	all := []servers.Kind{servers.KindMySQL, servers.KindMariaDB, servers.KindMemcached, servers.KindMemcachedOld}
	servers.Need(t, all...)
	if v := judge(t, func(tb testing.TB) { servers.Need(tb, all...) }); v.skipped != "" || v.failed != "" {
		t.Errorf("skipped %q, failed %q", v.skipped, v.failed)
	}
}
