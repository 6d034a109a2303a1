package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/logs.md says of a line is looked up by its beginning, so that must be there;
// and of what is an error somebody wants to know what to do.
func TestLinesThatMatterAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string) // levels
	line := regexp.MustCompile(`\.(Info|Warn|Error)\(\s*"((?:[^"\\]|\\.)*)"`)
	for _, folder := range []string{"admin", "binlog", "checkpoint", "cmd/mcsqueal", "pipeline", "sink", "systemd"} {
		err := filepath.WalkDir("../../"+folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range line.FindAllSubmatch(text, -1) {
				said[string(m[2])] = strings.ToLower(string(m[1]))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	documented := regexp.MustCompile("(?m)^\\| (info|warn|error) \\| `([^`]+)`").FindAllStringSubmatch(string(doc), -1)
	if len(documented) < 30 {
		t.Fatalf("docs/logs.md has %d lines", len(documented))
	}
	for _, m := range documented {
		found := false
		for text, level := range said {
			found = found || level == m[1] && strings.HasPrefix(text, m[2])
		}
		if !found {
			t.Errorf("docs/logs.md has the line %q at the level %s, which nothing says", m[2], m[1])
		}
	}
	for text, level := range said {
		found := level != "error"
		for _, m := range documented {
			found = found || m[1] == level && strings.HasPrefix(text, m[2])
		}
		if !found {
			t.Errorf("docs/logs.md lacks the error %q", text)
		}
	}
}
