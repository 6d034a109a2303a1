package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// ReservePort finds a port of 127.0.0.1 that nobody listens on, and which nobody else is
// given before release is called or this process ends: not while a server is down, and
// not by the tests of another package, which run at the same time. It lies below the range
// that Linux gives to outgoing connections (ip_local_port_range, from 32768), so that it
// is still free when a server that was killed comes back to it.
func ReservePort() (port int, release func(), err error) {
	const low, high = 15000, 32000
	var last error
	for range 200 {
		port := low + rand.IntN(high-low)
		// A name without a file (unix(7), "abstract"): it is in the same namespace as the
		// port, and goes with the process.
		held, err := net.Listen("unix", fmt.Sprintf("@mcsqueal-port-%d", port))
		if err != nil {
			last = err
			continue
		}
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			held.Close()
			continue
		}
		if err := l.Close(); err != nil {
			held.Close()
			return 0, nil, fmt.Errorf("look for a free port: %w", err)
		}
		return port, func() { held.Close() }, nil
	}
	return 0, nil, fmt.Errorf("look for a free port: %w", last)
}
