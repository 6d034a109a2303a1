package harness

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Patience is how long what must come to pass may take on a busy machine.
const Patience = 2 * time.Minute

// Await waits until a condition holds. What it is, is a string or, where that is known
// in the end only, a func() string.
func Await[S string | func() string](t *testing.T, what S, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			said, ok := any(what).(func() string)
			if !ok {
				said = func() string { return fmt.Sprint(what) }
			}
			t.Fatalf("not within %v: %s", Patience, said())
		case <-tick.C:
		}
	}
}
