package checkpoint

import (
	"slices"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// A cluster that is retired keeps its place, through whatever is saved for others, until
// it is served again or dropped.
func TestARetiredClusterKeepsItsPlace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	east, west := position(t, binlog.MariaDB, "0-1-5"), position(t, binlog.MariaDB, "0-1-7")
	mustBe := func(what string, retired []string, clusters int) {
		t.Helper()
		got, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Retired, retired) || !slices.Equal(s.Checkpoint().Retired, retired) || len(got.Clusters) != clusters {
			t.Errorf("%s: %v of %d clusters are retired, want %v of %d", what, got.Retired, len(got.Clusters), retired, clusters)
		}
	}
	steps := []struct {
		name     string
		do       func() error
		retired  []string
		clusters int
	}{
		{"saved", func() error { return s.Save(map[string]binlog.Position{"east": east, "west": east}) }, nil, 2},
		{"retired, with one that has no place", func() error { return s.Retire([]string{"west", "north"}) }, []string{"west"}, 2},
		{"saved for another", func() error { return s.Save(map[string]binlog.Position{"east": west}) }, []string{"west"}, 2},
		{"served again", func() error { return s.Retire(nil) }, nil, 2},
		{"both retired", func() error { return s.Retire([]string{"west", "east"}) }, []string{"east", "west"}, 2},
		{"one dropped", func() error { return s.Drop("east") }, []string{"west"}, 1},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		mustBe(step.name, step.retired, step.clusters)
	}
	if at := s.Checkpoint().Clusters["west"]; !at.Equal(east) {
		t.Errorf("its place is %v, want %v", at, east)
	}
}
