package preflight

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/binlog"
)

func TestWhatAStartWouldWarnOfIsAFinding(t *testing.T) {
	r := &recorder{}
	log := slog.New(r)
	log.Info("nothing")
	log.Warn("a rule's table does not exist yet", "rule", "shop.users", "mend", "CREATE TABLE")
	log.Error("bare")
	want := []Finding{
		{Level: Warn, Says: "a rule's table does not exist yet: rule shop.users", Mend: "CREATE TABLE"},
		{Level: Warn, Says: "bare"},
	}
	if diff := cmp.Diff(want, r.found); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsThatWereJoinedAreFindingsEach(t *testing.T) {
	a, b := errors.New("a"), &binlog.SetupError{Source: "db", What: "b", Mend: "SET b", Err: errors.New("why")}
	whole := fmt.Errorf("c: %w", errors.Join(a, b))
	if got := apart(errors.Join(a, errors.Join(b), whole)); len(got) != 3 || got[0] != a || got[1] != error(b) || got[2] != whole {
		t.Errorf("got %v", got)
	}
	if got := apart(nil); got != nil {
		t.Errorf("got %v of none", got)
	}
	if says, mend := split(b); says != "b: why" || mend != "SET b" {
		t.Errorf("got %q, %q", says, mend)
	}
}
