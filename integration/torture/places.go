package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// placesOf finds where keys stand in the server's log: what `mcsqueal replay
// --dry-run` prints of them.
func placesOf(ctx context.Context, program, config string, keys []string) (map[string][]string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "replay", "--config", config, "--from", "oldest", "--dry-run",
		"--match", "^("+strings.Join(keys, "|")+")$") // keys are letters, digits and colons
	cmd.Env = append(os.Environ(), "MCSQUEAL_PASSWORD="+password)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("look for the keys in the log: %w: %s", err, said.Bytes())
	}
	places := make(map[string][]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var line struct {
			Key, GTID, Log, Time string
			Pos                  uint64
		}
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return places, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what replay prints: %w", err)
		}
		places[line.Key] = append(places[line.Key], fmt.Sprintf("%s:%d %s at %s", line.Log, line.Pos, line.GTID, line.Time))
	}
}
