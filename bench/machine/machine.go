// Package machine names the machine that figures were measured on.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Describe is one line about the machine, the servers of these kinds that are installed,
// and the day: what a table of figures begins with.
func Describe(kinds ...servers.Kind) string {
	parts := []string{
		fmt.Sprintf("%s, %d cores", cpu(), runtime.NumCPU()),
		kernel(), runtime.Version(),
	}
	for _, k := range kinds {
		if v, err := servers.Version(k); err == nil {
			if !strings.Contains(v, k.String()) {
				v = strings.TrimSuffix(k.String(), " with its proxy") + " " + v
			}
			parts = append(parts, v)
		}
	}
	return strings.Join(append(parts, time.Now().UTC().Format(time.DateOnly)), "; ")
}

// cpu is the processor's name.
func cpu() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return runtime.GOOS
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
