package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/peer"
)

// A liar stands before a server, which dial leads to, and changes what it says. It gives
// the address to reach it at.
func liar(t *testing.T, dial func() (net.Conn, error), lie func(said []byte) []byte) string {
	t.Helper()
	return peer.Listen(t, func(client net.Conn) { relay(t, client, dial, lie) })
}

func relay(t *testing.T, client net.Conn, dial func() (net.Conn, error), lie func([]byte) []byte) {
	conn, err := dial()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(conn, client)
		conn.(interface{ CloseWrite() error }).CloseWrite()
	})
	buffer := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buffer)
		if _, failed := client.Write(lie(buffer[:n])); failed != nil || err != nil {
			break
		}
	}
	client.Close()
	up.Wait()
}

// replace is a lie that puts one text in the place of another.
func replace(text, other string) func([]byte) []byte {
	return func(said []byte) []byte { return bytes.ReplaceAll(said, []byte(text), []byte(other)) }
}

// pattern is a lie that puts a text in the place of what matches.
func pattern(text, other string) func([]byte) []byte {
	match := regexp.MustCompile(text)
	return func(said []byte) []byte { return match.ReplaceAll(said, []byte(other)) }
}

// A test that finds nothing proves something only if it would have found what is there.
// Each of these servers is wrong in one point, and each must be found out, by a program
// of a few commands.
func TestEveryLieIsFoundOut(t *testing.T) {
	lies := []struct {
		name    string
		lie     func([]byte) []byte
		profile profile
	}{
		{"an add succeeds that should not", replace("NOT_STORED\r\n", "STORED\r\n"), mixed},
		{"an error has another word", replace("CLIENT_ERROR invalid exptime argument", "CLIENT_ERROR invalid exptime"), mixed},
		{"a value has another byte", replace("\r\n99\r\n", "\r\n98\r\n"), mixed},
		{"an item lives two seconds longer", pattern(` t100\b`, " t102"), mixed},
		{"a quiet miss is answered", replace("\r\nMN\r\nMN\r\n", "\r\nMN\r\nEN\r\nMN\r\n"), mixed},
		{"an answer is missing", replace("DELETED\r\n", ""), mixed},
		{"two ids are one", pattern(`(VALUE \S+ \d+ \d+) \d{3,}\r`, "$1 777\r"), mixed},
		{"a flag is missing", replace(" Z", ""), meta},
		{"a stale item is not", replace(" X", ""), meta},
		{"a token is given twice", pattern(` Z\r`, " W\r"), meta},
		{"flags come in another order", pattern(` (s\d+) (c\d+)`, " $2 $1"), meta},
		{"a lease is filled with a void token", replace("EX\r\n", "HD\r\n"), meta},
	}
	t.Parallel()
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := staged(t, "memcached", func(addr string) (string, error) {
				return liar(t, func() (net.Conn, error) { return net.DialTimeout("tcp4", addr, patience) }, l.lie), nil
			})
			c := comparison{world: s.world, seed: seed(t), lasts: patience, most: 1, shrink: patience, profiles: []profile{l.profile}}
			r, err := c.compare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.findings) == 0 {
				t.Fatalf("%d programs were answered the same", r.programs)
			}
			const few = 6
			if f := r.findings[0]; f.words() > few {
				t.Errorf("found, but in %d commands:", f.words())
				if err := f.print(testWriter{t}, "liar", "memcached"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Time passes between the steps of a program, and as much for both servers.
func TestAnItemOfTwoSecondsExpiresInTheSecondAfterTheFirst(t *testing.T) {
	t.Parallel()
	s := staged(t, "memcached", nil)
	if err := s.align(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := step{commands: []command{"get «a»\r\n"}}
	p := program{profile: timed, steps: []step{{commands: []command{"set «a» 0 2 1\r\nx\r\n"}}, get, get}}
	schedule := []moment{{second: 0, step: 0}, {second: 1, step: 1}, {second: 2, step: 2}}
	all, counted, err := s.world.runTimed(t.Context(), []program{p}, schedule)
	for i := 0; errors.Is(err, errMissed) && i < 50; i++ {
		all, counted, err = s.world.runTimed(t.Context(), []program{p}, schedule)
	}
	if err != nil {
		t.Fatal(err)
	}
	for second, want := range map[int]string{1: "VALUE KEY 0 1\r\nx\r\nEND", 2: "END"} {
		want = "MN\r\n" + strings.Replace(want, "KEY", all[0].naming.key("a", ""), 1) + "\r\n" + string(endingAnswered)
		for i, answer := range all[0].answers[second] {
			if string(answer) != want || all[0].different != "" || counted != "" {
				t.Errorf("second %d: %v answers %q, want %q (%s, %s)", second, s.world.both()[i].name, answer, want, all[0].different, counted)
			}
		}
	}
}
