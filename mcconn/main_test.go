package mcconn_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
	"github.com/mcsqueal/mcsqueal/mcconn"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// greeted answers Dial's questions as a cache that speaks both protocols, then
// goes on with serve.
func greeted(serve func(conn net.Conn, commands *bufio.Scanner)) func(net.Conn) {
	return func(conn net.Conn) {
		commands := bufio.NewScanner(conn)
		commands.Buffer(nil, 1<<20)
		if !commands.Scan() || commands.Text() != "version" {
			return
		}
		fmt.Fprint(conn, "VERSION 1.6.fake\r\n")
		// Text's Dial asks no more; what comes next is a delete then.
		serve(conn, commands)
	}
}

// greetedMeta is greeted for a Dial that asks for the meta protocol too.
func greetedMeta(serve func(conn net.Conn, commands *bufio.Scanner)) func(net.Conn) {
	return greeted(func(conn net.Conn, commands *bufio.Scanner) {
		if !commands.Scan() || commands.Text() != "mn" {
			return
		}
		fmt.Fprint(conn, "MN\r\n")
		serve(conn, commands)
	})
}

// says sends lines, for the n-th command the n-th, and then waits for the end.
func says(lines ...string) func(net.Conn, *bufio.Scanner) {
	return func(conn net.Conn, commands *bufio.Scanner) {
		for _, line := range lines {
			if !commands.Scan() {
				return
			}
			fmt.Fprint(conn, line)
		}
		for commands.Scan() {
		}
	}
}

// dial connects. Unless a test says how long, nothing is too slow.
func dial(t testing.TB, config mcconn.Config) *mcconn.Conn {
	t.Helper()
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	c, err := mcconn.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// deletes is a batch of n deletes in the meta protocol.
func deletes(n int) *mcconn.Batch {
	return &mcconn.Batch{Wire: []byte(strings.Repeat("md key\r\n", n)), N: n}
}

func send(t testing.TB, c *mcconn.Conn, b *mcconn.Batch) {
	t.Helper()
	if err := c.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, c *mcconn.Conn) *mcconn.Batch {
	t.Helper()
	b, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// results is what a batch has come to, for a test's message.
func results(b *mcconn.Batch) string {
	if b == nil {
		return "no batch"
	}
	return fmt.Sprintf("of %d, %d deleted, %d not found, refused %+v", b.N, b.Deleted, b.NotFound, b.Refused)
}
