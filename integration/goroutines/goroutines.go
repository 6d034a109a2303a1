// Package goroutines holds tests to leaving no goroutine behind.
package goroutines

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long what has been told to end may take. goleak gives it half a second,
// which on a busy machine may be too little.
const patience = 2 * time.Minute

// Verify runs the tests of a package and gives the exit status, which is not 0 either if
// they have passed and a goroutine goes on that none of them ends. It is for TestMain.
func Verify(m *testing.M) (status int) {
	if status = m.Run(); status == 0 {
		if err := Left(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	return status
}

// Left is an error that tells of goroutines that go on, once they have had time to end.
func Left(options ...goleak.Option) error {
	for deadline := time.Now().Add(patience); ; {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
