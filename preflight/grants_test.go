package preflight

import (
	"slices"
	"testing"
)

func TestNeedlessPrivilegesAreThoseThatTheLogDoesNotTake(t *testing.T) {
	const account = "'mcsqueal'@'%'"
	for _, c := range []struct {
		name, grant string
		may         []string
		revoke      []string
	}{
		{"MySQL's", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `mcsqueal`@`%`", nil, nil},
		{"MySQL's, dynamic", "GRANT XA_RECOVER_ADMIN ON *.* TO `mcsqueal`@`%`", nil, nil},
		{"MariaDB's", "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `mcsqueal`@`%` IDENTIFIED BY PASSWORD '*00'", nil, nil},
		{"none", "GRANT USAGE ON *.* TO `mcsqueal`@`%`", nil, nil},
		{"a rule's table", "GRANT SELECT ON `shop`.`users` TO `mcsqueal`@`%`", nil, nil},
		{"a rule's columns", "GRANT SELECT (`id`, `email`) ON `shop`.`users` TO `mcsqueal`@`%`", nil, nil},
		{"a role", "GRANT `reader`@`%` TO `mcsqueal`@`%`", nil, nil},
		{"another's name", "GRANT PROXY ON ``@`` TO `mcsqueal`@`%` WITH GRANT OPTION", nil, nil},
		{
			"writing", "GRANT SELECT, INSERT (`id`, `name`), DELETE ON `shop`.* TO `mcsqueal`@`%` WITH GRANT OPTION",
			[]string{"INSERT, DELETE on `shop`.*"}, []string{"REVOKE INSERT, DELETE ON `shop`.* FROM 'mcsqueal'@'%'"},
		},
		{"all of a schema", "GRANT ALL PRIVILEGES ON `shop`.* TO `mcsqueal`@`%`", []string{"ALL PRIVILEGES on `shop`.*"}, []string{"REVOKE ALL PRIVILEGES ON `shop`.* FROM 'mcsqueal'@'%'"}},
	} {
		may, revoke := needless([][]string{{c.grant}}, account)
		if !slices.Equal(may, c.may) || !slices.Equal(revoke, c.revoke) {
			t.Errorf("%s: %q and %q, want %q and %q", c.name, may, revoke, c.may, c.revoke)
		}
	}
}
