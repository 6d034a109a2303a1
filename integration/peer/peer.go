// Package peer listens for tests, as what no real server can be brought to be: what
// comes in is a function that talks on a connection, what goes out is an address.
package peer

import (
	"net"
	"sync"
	"testing"
)

// Listen serves every connection to a port of loopback by serve, until serve returns or
// the test ends, and gives the address.
func Listen(tb testing.TB, serve func(net.Conn)) (address string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return On(tb, listener, serve)
}

// On is Listen on a listener, which it closes.
func On(tb testing.TB, listener net.Listener, serve func(net.Conn)) (address string) {
	tb.Helper()
	var (
		mu    sync.Mutex // guards what follows
		conns []net.Conn
		over  bool

		wg sync.WaitGroup
	)
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed by the test's end
			}
			mu.Lock()
			conns = append(conns, conn)
			if over {
				conn.Close()
			}
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	tb.Cleanup(func() {
		listener.Close()
		mu.Lock()
		over = true
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return listener.Addr().String()
}
