package pipeline

import "testing"

// However many clusters may catch up at once, all Logs together are within the bound, and
// the main one, at which those in step are served, keeps half of it.
func TestTheLogsShareTheirBound(t *testing.T) {
	for _, bytes := range []int64{64 << 10, 1 << 20, 64 << 20, 1<<30 + 1} {
		for _, catchUp := range []int{1, 2, 8, 15, 16, 17, 40, 1000} {
			main, private := shares(bytes, catchUp)
			if all := main + int64(catchUp)*private; all > bytes || main < bytes/2 || private <= 0 {
				t.Errorf("of %d bytes the main reading has %d, and each of %d others %d", bytes, main, catchUp, private)
			}
		}
	}
	if main, private := shares(64<<20, 2); main != 56<<20 || private != 4<<20 {
		t.Errorf("by default they have %d and %d bytes", main, private)
	}
}
