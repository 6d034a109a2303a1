package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Only what is in no log file is beyond anybody's knowing.
func TestWhatALogHasATraceOfIsNoExcuse(t *testing.T) {
	log := filepath.Join(t.TempDir(), "bin.000001")
	if err := os.WriteFile(log, []byte("\xfebin torture-1 torture-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := func() ([]string, error) { return []string{log}, nil }
	const gap = ": mcsqueal: every cluster waits: XA transactions are prepared whose statements stand in front of that, so that their keys are not known: "
	for said, want := range map[string]bool{
		": mcsqueal: panic":                         false,
		gap + "X'746f72747572652d31',X'',1; decide": false,
		gap + "X'746f72747572652d31',X'',1; X'746f72747572652d33',X'',1; decide":    true,
		gap + "X'746f72747572652d39',X'',1; decide on them before the start":        true,
		": something else entirely: X'746f72747572652d39',X'',1; decide on them it": false,
	} {
		if got, err := traceless(said, files); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", said, got, err, want)
		}
	}
}
