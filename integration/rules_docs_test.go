package integration

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

var (
	yamlBlock  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	createText = regexp.MustCompile("`(CREATE TABLE [^`]+)`")
	exampleRow = regexp.MustCompile("(?m)^\\| `([A-Z][^`]+)` \\| (.*) \\|$")
	inCode     = regexp.MustCompile("`([^`]+)`")
)

// The example in docs/rules.md does what stands there.
func TestTheExampleOfTheDocumentationIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	rules := yamlBlock.FindStringSubmatch(doc)[1]
	create := createText.FindStringSubmatch(doc)[1]
	example, _, _ := strings.Cut(doc[strings.Index(doc, create):], "\n- ")
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		s := db.Session(t)
		db.Exec(t, "CREATE DATABASE shop")
		s.Exec(t, "USE shop")
		s.Exec(t, create)
		cfg := harness.Configure(t, db.SourceURL(), rules)
		rows := exampleRow.FindAllStringSubmatch(example, -1)
		if len(rows) < 5 {
			t.Fatalf("%d examples are found", len(rows))
		}
		for _, row := range rows {
			before := s.Executed(t)
			s.Exec(t, row[1])
			var want, got []string
			for _, m := range inCode.FindAllStringSubmatch(row[2], -1) {
				want = append(want, m[1])
			}
			p := cfg.Replay(t, "--dry-run", "--from", "gtid:"+before)
			for _, l := range lines(t, p) {
				got = append(got, l.Key)
			}
			slices.Sort(want)
			slices.Sort(got)
			if p.Status() != 0 || !slices.Equal(got, want) {
				t.Errorf("%s: exit status %d, got %q, want %q", row[1], p.Status(), got, want)
			}
		}
	})
}
