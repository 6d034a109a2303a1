package config

import (
	"errors"
	"path/filepath"
)

// DefaultStateDir is the state_dir of a user: /var/lib/mcsqueal for root (uid 0),
// and for others mcsqueal in $XDG_STATE_HOME, which is ~/.local/state if it is not
// set or not absolute (XDG Base Directory Specification).
func DefaultStateDir(uid int, getenv func(string) string) (string, error) {
	if uid == 0 {
		return "/var/lib/mcsqueal", nil
	}
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "mcsqueal"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "mcsqueal"), nil
	}
	return "", errors.New("there is no place for state: set state_dir (--state-dir), or XDG_STATE_HOME or HOME to an absolute path")
}
