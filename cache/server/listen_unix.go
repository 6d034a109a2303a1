//go:build unix

package server

import (
	"net"
	"os"
	"sync"
	"syscall"
)

// umask is the whole process's: one at a time may change it.
var umask sync.Mutex

// listenMasked makes a Unix socket whose file has the permissions of mask.
func listenMasked(path string, mask os.FileMode) (*net.UnixListener, error) {
	umask.Lock()
	defer umask.Unlock()
	old := syscall.Umask(int(^mask & 0o777))
	defer syscall.Umask(old)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}
