package mccache

import (
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// canOpen is how many connections this process may have, at most so many.
func canOpen(t *testing.T, want int) int {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const others = 200
	if limit.Cur < uint64(want+others) {
		t.Logf("%d files may be open: a smaller number of connections is tried", limit.Cur)
		return int(limit.Cur) - others
	}
	return want
}

func TestTenThousandIdleConnectionsCostAKibibyteEach(t *testing.T) {
	t.Parallel()
	idle := canOpen(t, 10_000)
	const megabytes = 64
	m := start(t, "-m", strconv.Itoa(megabytes), "-c", "11000")
	if err := overfill(t.Context(), m, megabytes); err != nil {
		t.Fatal(err)
	}
	before := resident(t, m.Pid())
	conns := make([]net.Conn, 0, idle)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	answer := make([]byte, 64)
	for range idle {
		w, err := connect(t.Context(), m.Addr())
		if err != nil {
			t.Fatalf("after %d connections: %v", len(conns), err)
		}
		conns = append(conns, w.conn)
		// Each has been used: what was allocated for it then must not stay.
		if err := w.send("mn\r\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := w.conn.Read(answer); err != nil || string(answer[:n]) != "MN\r\n" {
			t.Fatalf("connection %d: %q, %v", len(conns), answer[:n], err)
		}
	}
	if n := m.Stat(t, "curr_connections"); n < idle {
		t.Errorf("it counts %d connections, want %d", n, idle)
	}
	full := resident(t, m.Pid())
	t.Logf("%s before, %s with %d idle connections: %d bytes each", mebibytes(before), mebibytes(full), idle, (full-before)/int64(idle))
	if most := mostResident(megabytes, idle); full > most {
		t.Errorf("%s resident, want at most %s", mebibytes(full), mebibytes(most))
	}
	if each := (full - before) / int64(idle); each > 1024 {
		t.Errorf("an idle connection costs %d bytes, want at most 1024", each)
	}
	for _, c := range conns {
		c.Close()
	}
	harness.Await(t, func() string {
		return "the connections are gone: " + strconv.Itoa(m.Stat(t, "curr_connections"))
	}, func() bool { return m.Stat(t, "curr_connections") < 20 })
}

func TestConnectionsBeyondTheLimitHarmNobody(t *testing.T) {
	t.Parallel()
	const limit = 50
	m := start(t, "-c", strconv.Itoa(limit))
	w, err := connect(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.set("k", "v"); err != nil {
		t.Fatal(err)
	}
	for range 4 * limit {
		c, err := connect(t.Context(), m.Addr())
		if err != nil {
			continue // refused: as good
		}
		defer c.close()
	}
	if v, found, err := w.get("k"); err != nil || v != "v" {
		t.Errorf("a connection of before: %q, %v, %v", v, found, err)
	}
	if n := descriptors(t, m.Pid()); n > limit+50 {
		t.Errorf("%d files are open with -c %d", n, limit)
	}
}
