package promises

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// freeze makes a server stand still; it thaws at the latest with the test.
func freeze(t *testing.T, in *servers.Instance) (thaw func()) {
	t.Helper()
	if err := in.Freeze(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := in.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}
