package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// datagrams sends a request in a frame of its own and returns the payloads of all frames
// of the answer, in order, up to what ends it.
func datagrams(t *testing.T, m *servers.Memcached, request, end string) (answer []byte) {
	t.Helper()
	conn, err := net.DialTimeout("udp4", m.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	const number = "\x12\x34"
	if _, err := conn.Write([]byte(number + "\x00\x00\x00\x01\x00\x00" + request)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for !bytes.HasSuffix(answer, []byte(end)) {
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatalf("%s: %q: %v after %q", m, request, err, answer)
		}
		if n < 8 || n > 1400 || string(buffer[:2]) != number {
			t.Fatalf("%s: %q: a frame of %d bytes, %q", m, request, n, buffer[:min(n, 8)])
		}
		answer = append(answer, buffer[8:n]...)
	}
	return answer
}

// sameDatagrams holds answers by datagram to each other, as far as mccache gives any.
func sameDatagrams(t *testing.T, subject, reference *servers.Memcached) {
	t.Helper()
	for _, m := range []*servers.Memcached{subject, reference} {
		to, err := reach(t.Context(), m.String(), m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"set a 5 0 3\r\nabc\r\n", "set b 0 0 1\r\nx\r\n", "set long 0 0 5000\r\n" + strings.Repeat("y", 5000) + "\r\n"} {
			if line, err := to.ask(text); line != "STORED" || err != nil {
				t.Fatalf("%s: %q, %v", m, line, err)
			}
		}
		if err := to.close(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ request, end string }{
		{"get a\r\n", "END\r\n"}, {"get none\r\n", "END\r\n"}, {"get a none b\r\n", "END\r\n"}, {"gets a\r\n", "END\r\n"}, {"get long\r\n", "END\r\n"},
		{"mg a v f s\r\n", "abc\r\n"}, {"mg none\r\n", "EN\r\n"}, {"mg none k O7\r\n", "O7\r\n"}, {"mg a t\r\n", "HD t-1\r\n"}, {"mg a z\r\n", "flag\r\n"},
		{"get\r\n", "format\r\n"},
	} {
		one, other := datagrams(t, subject, c.request, c.end), datagrams(t, reference, c.request, c.end)
		if different := differ(one, other, newIDs()); different != "" {
			t.Errorf("%q by datagram: %s", c.request, different)
		}
	}
}

func TestDatagramsAreTheSame(t *testing.T) {
	t.Parallel()
	sameDatagrams(t, servers.Memcache(t, servers.MemcachedConfig{UDP: true}), servers.Memcache(t, servers.MemcachedConfig{UDP: true}))
}
