package batcher

import (
	"testing"
	"testing/synctest"
	"time"
)

// However long a cursor was away, it is told since when what it takes has been visible.
func TestABatchKnowsSinceWhenItWasVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTestLog(t, 100)
		c := newCursor(t, l)
		const commits, apart = 5000, 20 * time.Millisecond
		visible := make([]int64, commits+1)
		for n := uint64(1); n <= commits; n++ {
			seq := appendTransaction(t, w, n, "k")
			w.Publish()
			time.Sleep(apart)
			visible[n] = time.Now().UnixMicro()
			l.SetVisible(seq)
		}
		time.Sleep(time.Second)
		now := time.Now().UnixMicro()
		var b Batch
		for n := 1; n <= commits; n++ {
			// One transaction each: the command of another would be the same.
			next(t, c, &b, Limits{Keys: 1})
			want := visible[b.Time]
			off := time.Duration(b.Visible-want) * time.Microsecond
			age := time.Duration(now-want) * time.Microsecond
			if off < 0 || off > age/30+time.Microsecond {
				t.Fatalf("commit %d became visible %v ago, and is told to have %v later", b.Time, age, off)
			}
			_, err := c.Ack(&b, 0)
			must(t, err)
			if b.Time == commits {
				break
			}
		}
	})
}

// Where visibility is not waited for, what was read was visible.
func TestWithoutAWatermarkABatchIsVisibleSinceItWasRead(t *testing.T) {
	l, w := newTestLog(t, 4)
	l.SetVisible(AllVisible)
	c := newCursor(t, l)
	appendTransaction(t, w, 7, "k")
	w.Publish()
	var b Batch
	next(t, c, &b, Limits{})
	if b.Visible != b.Read || b.Read == 0 {
		t.Errorf("visible at %d, read at %d", b.Visible, b.Read)
	}
}
