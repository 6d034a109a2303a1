package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
)

// Settings are a configuration file and the state directory it names, so that a daemon
// can be started on them again.
type Settings struct {
	Path     string
	StateDir string
}

// Configure writes a configuration for a source; one without a URL is among the lines,
// if there is any. Each of them is a line of YAML, or several; what clusters there are is
// among them.
func Configure(t *testing.T, url string, lines ...string) *Settings {
	t.Helper()
	dir := t.TempDir()
	s := &Settings{Path: filepath.Join(dir, "mcsqueal.yaml"), StateDir: filepath.Join(dir, "state")}
	s.Write(t, url, lines...)
	return s
}

// Write replaces the file.
func (s *Settings) Write(t *testing.T, url string, lines ...string) {
	t.Helper()
	text := fmt.Sprintf("state_dir: %s\nadmin: {listen: \"\"}\n%s\n", s.StateDir, strings.Join(lines, "\n"))
	if url != "" {
		text = fmt.Sprintf("source: {url: %q}\n", url) + text
	}
	if err := os.WriteFile(s.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Run starts `mcsqueal run`.
func (s *Settings) Run(t *testing.T, args ...string) *Process {
	t.Helper()
	return Call{Args: append([]string{"run", "--config", s.Path}, args...)}.Start(t)
}

// Daemon is Run, and returns when the daemon has found where to begin.
func (s *Settings) Daemon(t *testing.T, args ...string) *Process {
	t.Helper()
	p := s.Run(t, args...)
	p.Says(t, "msg=(tailing|\"dry run: )")
	return p
}

// Replay runs `mcsqueal replay` to its end.
func (s *Settings) Replay(t *testing.T, args ...string) *Process {
	t.Helper()
	return Mcsqueal(t, append([]string{"replay", "--config", s.Path}, args...)...)
}

// Do runs another subcommand to its end, which must be a good one.
func (s *Settings) Do(t *testing.T, args ...string) *Process {
	t.Helper()
	p := Mcsqueal(t, append(args, "--config", s.Path)...)
	if status := p.Status(); status != 0 {
		t.Fatalf("mcsqueal %s: exit status %d", args, status)
	}
	return p
}

// SetCheckpoint makes a cluster go on from somewhere else.
func (s *Settings) SetCheckpoint(t *testing.T, cluster, point string) {
	t.Helper()
	s.Do(t, "checkpoint", "set", "--cluster", cluster, "--to", point)
}

// Checkpoint is the checkpoint as it is on disk.
type Checkpoint struct {
	Version  int              `json:"version"`
	Saved    time.Time        `json:"saved"`
	Clusters map[string]Place `json:"clusters"`
	Retired  []string         `json:"retired"`
}

// Place is a cluster's place in it.
type Place struct {
	GTID    *string   `json:"gtid"`
	Flavor  string    `json:"flavor"`
	File    string    `json:"file"`
	Offset  uint64    `json:"offset"`
	Server  string    `json:"server"`
	Created time.Time `json:"created"`
}

// Checkpoint reads the checkpoint; ok tells whether there is one.
func (s *Settings) Checkpoint(t *testing.T) (c Checkpoint, ok bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.StateDir, "checkpoint.json"))
	if os.IsNotExist(err) {
		return c, false
	}
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("the checkpoint %s: %v", data, err)
	}
	return c, true
}

// Position is a cluster's place in the checkpoint as mcsqueal itself reads it; the zero
// position if there is none.
func (s *Settings) Position(t *testing.T, cluster string) binlog.Position {
	t.Helper()
	saved, err := checkpoint.Read(s.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	return saved.Clusters[cluster]
}

// Has tells whether a cluster's checkpoint contains GTIDs.
func (s *Settings) Has(t *testing.T, cluster string, done *binlog.GTIDSet) bool {
	t.Helper()
	return s.Position(t, cluster).GTIDs.Covers(done)
}

// AwaitPosition waits until a cluster's checkpoint contains GTIDs.
func (s *Settings) AwaitPosition(t *testing.T, cluster string, done *binlog.GTIDSet) {
	t.Helper()
	Await(t, fmt.Sprintf("the checkpoint of %s has %s", cluster, done), func() bool { return s.Has(t, cluster, done) })
}
