package preflight

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
)

func TestOnlyVersionsUnderTestCountAsTested(t *testing.T) {
	for _, c := range []struct {
		flavor  binlog.Flavor
		version string
		want    bool
	}{
		{binlog.MySQL, "9.7.4-2", true},
		{binlog.MySQL, "9.70.1", false},
		{binlog.MySQL, "8.0.36", false},
		{binlog.MySQL, "10.11.3", false},
		{binlog.MariaDB, "10.11.18-MariaDB-0+deb12u1-log", true},
		{binlog.MariaDB, "11.4.2-MariaDB", false},
		{binlog.FlavorUnknown, "9.7.4", false},
	} {
		if got := Untested(c.flavor, c.version); (got == "") != c.want {
			t.Errorf("%s %s: %q, want it to be tested: %v", c.flavor, c.version, got, c.want)
		}
	}
	const want = "MySQL 8.0.36 is not a version that mcsqueal is tested with; those are MySQL 9.7 and MariaDB 10.11"
	if got := Untested(binlog.MySQL, "8.0.36"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
