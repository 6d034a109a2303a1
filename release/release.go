// Package release tells which mcsqueal this is: what goes out is the version that both
// commands say of themselves.
package release

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker in releases.
var version string

// Version is the release's, or what the build knows of the commit.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += "-" + s.Value[:12]
			}
		}
	}
	return v
}

// Line is what a command of this name says if it is asked for its version.
func Line(command string) string {
	return fmt.Sprintf("%s %s %s %s/%s\n", command, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
