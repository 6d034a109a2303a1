package deploy

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// exposures are how exposed each unit is at most, by `systemd-analyze security`: 0 is
// not at all, 10 unsafe.
var exposures = map[string]float64{
	"mcsqueal.service": 1.1,
	"mccache.service":  1.2,
}

// unit is a unit file as it would be installed, but for the program's place.
func unit(t *testing.T, name string) string {
	t.Helper()
	text := read(t, filepath.Join("systemd", name))
	installed := regexp.MustCompile(`(?m)^ExecStart=/\S+`)
	if !installed.MatchString(text) {
		t.Fatalf("%s starts nothing", name)
	}
	path := filepath.Join(t.TempDir(), name)
	write(t, path, installed.ReplaceAllString(text, "ExecStart=/bin/true"))
	return path
}

func TestSystemdAcceptsTheUnits(t *testing.T) {
	on(t, "systemd-analyze")
	for name := range exposures {
		out := said(t, exec.Command("systemd-analyze", "verify", "--man=no", unit(t, name)), nil)
		if out != "" {
			t.Errorf("%s: %s", name, out) // an unknown setting is only a warning to it
		}
	}
}

func TestTheUnitsExposeNoMoreThanTheyDid(t *testing.T) {
	on(t, "systemd-analyze")
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for name, most := range exposures {
		out := said(t, exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit(t, name)), nil)
		match := overall.FindStringSubmatch(out)
		if match == nil {
			t.Fatalf("%s: no score in\n%s", name, out)
		}
		score, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if score > most {
			t.Errorf("%s: exposure %v, want %v at most:\n%s", name, score, most, out)
		}
	}
}
