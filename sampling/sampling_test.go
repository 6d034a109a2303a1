package sampling_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/sampling"
)

func TestEveryCauseIsSaidOnceASecondAndTheRestIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sampling.Sampler
		logged := make(map[string]int)
		said := make(map[string]int) // the counts add up
		for range 25 {
			for i := range 10 {
				cause := "rare"
				if i > 0 {
					cause = "frequent"
				}
				if more, ok := s.Take(cause); ok {
					logged[cause]++
					said[cause] += 1 + more
				} else if more != 0 {
					t.Errorf("%d more of %s, and none is logged", more, cause)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		// At 0 s, 1 s and 2 s.
		if logged["rare"] != 3 || logged["frequent"] != 3 {
			t.Errorf("logged in 2.5 s: %v, want each 3 times", logged)
		}
		s.Rest(func(cause string, more int) { said[cause] += more })
		if said["rare"] != 25 || said["frequent"] != 25*9 {
			t.Errorf("told of %v, want 25 and %d", said, 25*9)
		}
		s.Rest(func(cause string, more int) { t.Errorf("%d more of %s, which have been told", more, cause) })
	})
}

func TestCausesWithoutEndTakeNoMemoryWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sampling.Sampler
		lines := 0
		for i := range 1000 {
			if _, ok := s.Take(fmt.Sprint(i)); ok {
				lines++
			}
		}
		if lines > 100 {
			t.Errorf("%d lines at once", lines)
		}
	})
}
