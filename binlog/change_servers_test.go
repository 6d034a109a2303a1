package binlog

import (
	"os"
	"slices"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// changeRecorder is a Handler that keeps what statements do to tables.
type changeRecorder struct {
	recorder
	all []string
}

func (r *changeRecorder) Statement(s *Statement) error {
	s.Changes(func(c Change) { r.all = append(r.all, string(c.Schema)+"."+string(c.Table)) })
	return nil
}

// Whatever the session's character set, a statement names the table that Table_map
// events name, or any.
func TestStatementsOfAnyCharacterSetNameTheirTables(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		for charset, name := range map[string]struct{ bytes, utf8 string }{
			"latin1":  {"gr\xf6\xdfe", "größe"},
			"cp1251":  {"\xf2\xe0\xe1", "таб"},
			"gbk":     {"\xd6\xd0\xce\xc4", "中文"},
			"sjis":    {"\x95\x5c", "表"},
			"big5":    {"\xa4\xa4\xa6\x5c", "中吒"},
			"utf8mb4": {"größe", "größe"},
			"binary":  {"größe", "größe"},
		} {
			s := openConsole(t, d)
			s.do("SET NAMES %s", charset)
			s.do("FLUSH BINARY LOGS")
			certain := []string{
				"CREATE TABLE `%s` (a INT, b INT)",
				"ALTER TABLE `%s` RENAME COLUMN a TO c",
				"TRUNCATE `%s`",
				"RENAME TABLE `%[1]s` TO x, x TO `%[1]s`",
			}
			for _, statement := range append(certain, "DROP TABLE `%s`", "CREATE TABLE `%s` SELECT 1 AS a", "DROP TABLE `%s`") {
				s.do(statement, name.bytes)
			}
			s.do("FLUSH BINARY LOGS")
			paths, err := d.LogFiles()
			if err != nil {
				t.Fatal(err)
			}
			files, err := NewFiles(paths[len(paths)-2:len(paths)-1], os.Stdin)
			if err != nil {
				t.Fatal(err)
			}
			var r changeRecorder
			if err := files.Run(t.Context(), &r); err != nil {
				t.Fatal(err)
			}
			// The text of CREATE TABLE … SELECT is the server's, and in UTF-8.
			ours := []string{"test." + name.utf8, "test.x"}
			for i, change := range r.all {
				if !slices.Contains(ours, change) && (i < len(certain) || change != "." && change != "test.") {
					t.Errorf("%s: the change %d is of %q, want one of %q", charset, i, change, ours)
				}
			}
			if len(r.all) < len(certain)+3 {
				t.Errorf("%s: %d changes, want more", charset, len(r.all))
			}
		}
	})
}
