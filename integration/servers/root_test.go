package servers_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestClientProgramsRun(t *testing.T) {
	servers.Need(t, servers.KindMySQL, servers.KindMariaDB)
	for _, c := range []struct {
		kind    servers.Kind
		program string
	}{{servers.KindMySQL, "mysqlbinlog"}, {servers.KindMySQL, "mysql"}, {servers.KindMariaDB, "mariadb-binlog"}, {servers.KindMariaDB, "mariadb"}} {
		cmd, err := servers.Command(t.Context(), c.kind, c.program, "--no-defaults", "--version")
		if err != nil {
			t.Error(err)
			continue
		}
		if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "Ver ") {
			t.Errorf("%s: %v: %s", c.program, err, said)
		}
	}
	if _, err := servers.Command(t.Context(), servers.KindMySQL, "no-such-program"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want %v", err, os.ErrNotExist)
	}
}
