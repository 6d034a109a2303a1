package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// recording is what a recipe did when it was last run with its library.
type recording struct {
	// Versions are those of everything that had a part in it.
	Versions map[string]string `json:"versions"`
	// The tagged statements, in order, on either server.
	MySQL   []statement `json:"mysql"`
	MariaDB []statement `json:"mariadb"`
}

func recordingPath(dir, name string) string { return filepath.Join(dir, "testdata", name+".json") }

// load reads the recording of a recipe; dir is this package's folder.
func load(dir, name string) (*recording, error) {
	text, err := os.ReadFile(recordingPath(dir, name))
	if err != nil {
		return nil, fmt.Errorf("read a recording: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	r := new(recording)
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("read %s: %w", recordingPath(dir, name), err)
	}
	return r, nil
}

func (r *recording) save(dir, name string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	if err := os.WriteFile(recordingPath(dir, name), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	return nil
}
