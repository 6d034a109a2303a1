package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

const (
	fileName = "checkpoint.json"
	version  = 1
)

// Checkpoint is every cluster's cursor. The zero value has none.
type Checkpoint struct {
	// Clusters has a position for each cluster that has acknowledged one.
	Clusters map[string]binlog.Position
	// Retired are those of the clusters that were taken out of the configuration of a
	// running daemon, by name and in order: their places are kept, and it is no mistake
	// that the configuration lacks them.
	Retired []string
	// Saved is when it was written.
	Saved time.Time
}

// document is the file's form.
type document struct {
	Version  int                        `json:"version"`
	Saved    time.Time                  `json:"saved"`
	Clusters map[string]binlog.Position `json:"clusters"`
	Retired  []string                   `json:"retired,omitempty"`
}

// Path is the name of the checkpoint's file in a state directory.
func Path(dir string) string { return filepath.Join(dir, fileName) }

// Read reads the checkpoint of a state directory, without its lock: a running
// daemon replaces the file whole. Where there is none it gives an empty one.
func Read(dir string) (*Checkpoint, error) {
	path := Path(dir)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Checkpoint{Clusters: map[string]binlog.Position{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w; restore the file from a copy, or move it away and say with --start where to begin", path, err)
	}
	if d.Version != version {
		return nil, fmt.Errorf("read checkpoint %s: version %d, expected %d; it was written by another release of mcsqueal", path, d.Version, version)
	}
	if d.Clusters == nil {
		d.Clusters = map[string]binlog.Position{}
	}
	return &Checkpoint{Clusters: d.Clusters, Retired: d.Retired, Saved: d.Saved}, nil
}

// Store is the checkpoint of a state directory whose lock this process holds. Any
// goroutine may use it.
type Store struct {
	dir  string
	lock *os.File

	mu sync.Mutex
	at Checkpoint // guarded by mu; what it refers to is replaced, never changed
}

// Open locks the state directory, making it if need be, and reads its checkpoint.
// It fails with a *LockedError while another process holds the lock.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make state_dir: %w", mended(err))
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	at, err := Read(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Store{dir: dir, lock: lock, at: *at}, nil
}

// Close gives the lock back. What was saved stays.
func (s *Store) Close() error { return s.lock.Close() }

// Checkpoint is what is on disk. The caller must not change it.
func (s *Store) Checkpoint() *Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at
	return &at
}

// Save replaces the positions of the clusters named and keeps the others'. After
// it returns nil they survive a crash of the machine; if it fails, or the process
// dies in it, the checkpoint is what it was.
func (s *Store) Save(clusters map[string]binlog.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.at.Clusters)
	maps.Copy(next, clusters)
	return s.write(next, s.at.Retired)
}

// Retire makes these clusters, and no others, the retired ones. It is no error if
// there is no position of one.
func (s *Store) Retire(clusters []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	retired := make([]string, 0, len(clusters))
	for _, name := range clusters {
		if _, ok := s.at.Clusters[name]; ok {
			retired = append(retired, name)
		}
	}
	slices.Sort(retired)
	if slices.Equal(retired, s.at.Retired) {
		return nil
	}
	return s.write(s.at.Clusters, retired)
}

// Drop forgets a cluster.
func (s *Store) Drop(cluster string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.at.Clusters)
	delete(next, cluster)
	return s.write(next, slices.DeleteFunc(slices.Clone(s.at.Retired), func(name string) bool { return name == cluster }))
}

// write replaces the file. mu is held.
func (s *Store) write(clusters map[string]binlog.Position, retired []string) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	data, err := json.MarshalIndent(document{Version: version, Saved: now, Clusters: clusters, Retired: retired}, "", "  ")
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	if err := replace(Path(s.dir), append(data, '\n')); err != nil {
		return fmt.Errorf("save checkpoint: %w", mended(err))
	}
	s.at = Checkpoint{Clusters: clusters, Retired: retired, Saved: now}
	return nil
}

// mended adds to what the system says of a directory what is to be done about it.
func mended(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room on its disk", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w; let the user who runs mcsqueal write there, or set state_dir to another directory", err)
	}
	return err
}

// replace writes beside, syncs, renames, and syncs the directory.
func replace(path string, data []byte) (err error) {
	beside := path + ".new"
	// What a process left there that died.
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if err = give(f); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
