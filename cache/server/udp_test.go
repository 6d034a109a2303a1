package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"
)

// framed is a request as a datagram.
func framed(id, sequence, total uint16, text string) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, sequence)
	b = binary.BigEndian.AppendUint16(b, total)
	b = append(b, 0, 0)
	return append(b, text...)
}

// whole puts an answer's datagrams together, and fails unless they are numbered right.
func whole(t testing.TB, id uint16, datagrams [][]byte) string {
	t.Helper()
	var text bytes.Buffer
	for i, d := range datagrams {
		if len(d) <= frameSize || len(d) > maxDatagram || i < len(datagrams)-1 && len(d) != maxDatagram {
			t.Fatalf("datagram %d of %d has %d bytes", i, len(datagrams), len(d))
		}
		if want := framed(id, uint16(i), uint16(len(datagrams)), ""); !bytes.Equal(d[:frameSize], want) {
			t.Fatalf("datagram %d of %d begins with %x, want %x", i, len(datagrams), d[:frameSize], want)
		}
		text.Write(d[frameSize:])
	}
	return text.String()
}

type udpClient struct {
	net.Conn
	t testing.TB
}

func dialUDP(t testing.TB, r *running) udpClient {
	t.Helper()
	c, err := net.Dial("udp", r.Addrs()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return udpClient{c, t}
}

// ask sends a request and returns its answer.
func (c udpClient) ask(id uint16, text string) string {
	c.t.Helper()
	if _, err := c.Write(framed(id, 0, 1, text)); err != nil {
		c.t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	var all [][]byte
	for {
		d := make([]byte, 64<<10)
		n, err := c.Read(d)
		if err != nil {
			c.t.Fatalf("after %d datagrams: %v", len(all), err)
		}
		if n < frameSize || binary.BigEndian.Uint16(d) != id {
			c.t.Fatalf("got %x for request %d", d[:min(n, frameSize)], id)
		}
		all = append(all, d[:n])
		if len(all) == int(binary.BigEndian.Uint16(d[4:])) {
			return whole(c.t, id, all)
		}
	}
}

func startUDP(t testing.TB) *running {
	t.Helper()
	return startServer(t, Options{Endpoints: []Endpoint{{Network: "tcp", Host: "127.0.0.1"}, {Network: "udp", Host: "127.0.0.1"}}})
}

func TestAnswersDatagrams(t *testing.T) {
	r := startUDP(t)
	tcp := r.dial(t)
	for i, size := range []int{5, 1376, 5000, 50_000, 500_000} {
		tcp.say(fmt.Sprintf("set k%d 0 0 %d\r\n%s\r\n", i, size, value(size, byte(i))))
		tcp.hears("STORED\r\n")
	}
	c := dialUDP(t, r)
	hit := func(i, size int) string {
		return fmt.Sprintf("VALUE k%d 0 %d\r\n%s\r\n", i, size, value(size, byte(i)))
	}
	for i, shape := range []struct{ ask, want string }{
		{"get k0\r\n", hit(0, 5) + "END\r\n"},
		{"get none\r\n", "END\r\n"},
		{"get k1\r\n", hit(1, 1376) + "END\r\n"},
		{"get k0 k2 none k3\r\n", hit(0, 5) + hit(2, 5000) + hit(3, 50_000) + "END\r\n"},
		{"mg k0 v\r\n", "VA 5\r\n" + string(value(5, 0)) + "\r\n"},
		{"get k4\r\n", tooLargeForUDP},
	} {
		if got := c.ask(uint16(100+i), shape.ask); got != shape.want {
			t.Errorf("%q: got %.60q (%d bytes), want %.60q (%d bytes)", shape.ask, got, len(got), shape.want, len(shape.want))
		}
	}
}

func TestDatagramsChangeNothing(t *testing.T) {
	r := startUDP(t)
	tcp := r.dial(t)
	tcp.say("set k 0 0 5\r\nhello\r\n")
	tcp.hears("STORED\r\n")
	c := dialUDP(t, r)
	for i, text := range []string{"set k 0 0 1\r\nx\r\n", "delete k\r\n", "flush_all\r\n", "md k\r\n", "ms k 1\r\nx\r\n", "touch k 1\r\n", "gat 1 k\r\n", "incr k 1\r\n", "mg k T1\r\n", "watch\r\n", "shutdown\r\n", "get k\r\ndelete k\r\n"} {
		if answer := c.ask(uint16(i), text); len(answer) == 0 {
			t.Errorf("%q: no answer", text)
		}
	}
	tcp.say("mg k v t\r\n")
	tcp.hears("VA 5 t-1\r\nhello\r\n")
}

func TestMalformedDatagramsAreDropped(t *testing.T) {
	r := startUDP(t)
	c := dialUDP(t, r)
	bad := [][]byte{{}, {1}, framed(1, 0, 1, ""), framed(2, 1, 1, "get k\r\n"), framed(3, 0, 2, "get k\r\n"), framed(4, 0, 0, "get k\r\n"),
		// What another server answers, be it of this kind.
		framed(5, 0, 1, "ERROR\r\n"), framed(6, 0, 1, "SERVER_ERROR only get\r\n"), framed(7, 0, 1, "VALUE k 0 7\r\nget k\r\n\r\nEND\r\n")}
	for _, d := range bad {
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
	// Only this one has an answer, and it is the first that comes.
	if got := c.ask(9, "get k\r\n"); got != "END\r\n" {
		t.Errorf("got %q", got)
	}
	// Another thread may have taken the others, and count them yet.
	eventually(t, "they are counted", func() bool { return r.conns.badDatagrams.Load() >= uint64(len(bad)) })
	if n := r.conns.badDatagrams.Load(); n != uint64(len(bad)) {
		t.Errorf("%d malformed datagrams were counted, %d were sent", n, len(bad))
	}
}

func FuzzDatagram(f *testing.F) {
	f.Add(framed(7, 0, 1, "get a b c\r\n"))
	f.Add(framed(65535, 0, 1, "mg a v\r\nmn\r\n"))
	f.Add(framed(1, 0, 1, "set a 0 0 5\r\nhello\r\n"))
	f.Add([]byte{0, 0, 0})
	srv := testServer(f, Options{})
	writer := newSession(srv, srv.tallies[0])
	var out Output
	for _, v := range []string{"set a 0 0 5\r\nhello\r\n", fmt.Sprintf("set b 0 0 9000\r\n%s\r\n", value(9000, 1))} {
		writer.Consume([]byte(v), &out)
		out.Release(srv.store)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		d := datagrams{srv: srv, tally: srv.tallies[0]}
		answer := d.answer(request, nil)
		if len(answer) == 0 {
			return
		}
		if len(answer) > maxAnswer*maxDatagram {
			t.Fatalf("an answer of %d bytes", len(answer))
		}
		var all [][]byte
		for rest := answer; len(rest) > 0; {
			n := min(len(rest), maxDatagram)
			all = append(all, rest[:n])
			rest = rest[n:]
		}
		whole(t, binary.BigEndian.Uint16(request), all)
	})
}
