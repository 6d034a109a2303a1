package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// place puts text between a pair of markers of a document, in place of what is there:
//
//	<!-- NAME: begin -->
//	<!-- NAME: end -->
func place(document, name, text string) (string, error) {
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->\n"
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(begin))
	}
	_, behind, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("there is no line %q behind %q", strings.TrimSpace(end), strings.TrimSpace(begin))
	}
	return before + begin + "\n" + strings.Trim(text, "\n") + "\n\n" + end + behind, nil
}

// writeBetween replaces what is between the markers of a file.
func writeBetween(path, name, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	whole, err := place(string(old), name, text)
	if err != nil {
		return fmt.Errorf("write the table into %s: %w", path, err)
	}
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(beside, []byte(whole), 0o644); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if err := os.Rename(beside, path); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
