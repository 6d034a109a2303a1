package pipeline

import (
	"testing"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

// A reading for catching up keeps pace with the fastest that it serves, so one that
// is far ahead, and has only to pass over what it has, is not to be among them.
func TestOnlyLanesInStepShareAReadingForCatchingUp(t *testing.T) {
	at := func(file string, offset uint64) binlog.Position {
		return binlog.Position{File: binlog.File{Name: file, Server: "1"}, Offset: offset}
	}
	const capacity = 1 << 20
	log := batcher.NewLog(batcher.Config{Bytes: capacity, From: at("bin.000001", 4)})
	s := &stream{reading: &reading{log: log}, private: true, lanes: map[*lane]struct{}{
		{position: at("bin.000003", 1000)}:   {},
		{position: at("bin.000005", 100000)}: {},
	}}
	for _, test := range []struct {
		at   binlog.Position
		want bool
	}{
		{at("bin.000002", 4), true},
		{at("bin.000003", 1000), true},
		{at("bin.000004", 1<<40), true},
		{at("bin.000005", 100000), true},
		{at("bin.000005", 100000+capacity), true},
		{at("bin.000005", 100001+capacity), false},
		{at("bin.000006", 4), false},
		{binlog.Position{File: binlog.File{Name: "bin.000005", Server: "2"}, Offset: 4}, false},
	} {
		if got := new(Pipeline).inStep(s, test.at); got != test.want {
			t.Errorf("%s is in step: %v, want %v", test.at, got, test.want)
		}
	}
}
