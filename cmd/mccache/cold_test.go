package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testProcess is a process to which nothing is done.
type testProcess struct{}

func (testProcess) prepare(*settings, *slog.Logger) error { return nil }

func (testProcess) inherited(func(string) string, bool) ([]*os.File, error) { return nil, nil }

func (testProcess) parent(func(string) string) *report { return nil }

func TestSaysWhyItBeginsEmpty(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "items")
	// says serves for a moment, and returns what was logged.
	says := func() string {
		var stderr bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		args := []string{"-s", filepath.Join(dir, "socket"), "-m", "8", "-e", file}
		if code := run(ctx, args, environment{stdout: &stderr, stderr: &stderr, getenv: func(string) string { return "" }, process: testProcess{}}); code != exitDone {
			t.Fatalf("exit status %d: %s", code, &stderr)
		}
		return stderr.String()
	}
	if text := says(); !strings.Contains(text, "is new") {
		t.Errorf("with a new file: %s", text)
	}
	if text := says(); strings.Contains(text, "empty") || !strings.Contains(text, "items=0") {
		t.Errorf("after it was closed: %s", text)
	}
	if err := os.Truncate(file, 1000); err != nil {
		t.Fatal(err)
	}
	if text := says(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "another size") {
		t.Errorf("with a file that was cut: %s", text)
	}
}
