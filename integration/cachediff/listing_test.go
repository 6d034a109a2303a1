package main

import (
	"bufio"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// listed are the lines of a listing of all items, sorted, with numbers in the place of
// what no two servers have the same: times within a few seconds, ids, classes, sizes.
func listed(t *testing.T, m *servers.Memcached, listing, end string) (all []string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", m.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	read := func() string {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %s: %v after %q", m, listing, err, all)
		}
		return line
	}
	own := regexp.MustCompile(` (la|cas|cls|size)=\d+`)
	late := regexp.MustCompile(` exp=\d{10}`)
	for {
		if _, err := conn.Write([]byte(listing + "\r\n")); err != nil {
			t.Fatal(err)
		}
		line := read()
		// memcached's crawler may be on its way for its own ends.
		if strings.HasPrefix(line, "BUSY") {
			continue
		}
		for ; line != end+"\r\n"; line = read() {
			line = own.ReplaceAllString(line, " $1=#")
			all = append(all, late.ReplaceAllString(line, " exp=#"))
		}
		// The connection lives on.
		if _, err := conn.Write([]byte("mn\r\n")); err != nil {
			t.Fatal(err)
		}
		if line := read(); line != "MN\r\n" {
			t.Errorf("%s: after %s mn is answered with %q", m, listing, line)
		}
		slices.Sort(all)
		return all
	}
}

// sameListings holds the listings of all items to each other.
func sameListings(t *testing.T, subject, reference *servers.Memcached) {
	t.Helper()
	for _, m := range []*servers.Memcached{subject, reference} {
		to, err := reach(t.Context(), m.String(), m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ text, answer string }{
			{"set plain 5 0 1\r\nx\r\n", "STORED"},
			{"set short 0 1000 2\r\nxy\r\n", "STORED"},
			{"ms AAEC/w== 1 b T500\r\nx\r\n", "HD"},
			{"set od%d\"+/:;é\x01 4294967295 0 0\r\n\r\n", "STORED"},
			{"set read 0 0 1\r\nx\r\n", "STORED"},
			{"mg read\r\n", "HD"},
		} {
			if line, err := to.ask(c.text); line != c.answer || err != nil {
				t.Fatalf("%s: %q: %q, %v", m, c.text, line, err)
			}
		}
		if err := to.close(); err != nil {
			t.Error(err)
		}
	}
	for _, l := range []struct{ listing, end string }{
		{"lru_crawler metadump all", "END"}, {"lru_crawler metadump hash", "END"}, {"lru_crawler mgdump all", "EN"}, {"lru_crawler mgdump hash", "EN"},
	} {
		one, other := listed(t, subject, l.listing, l.end), listed(t, reference, l.listing, l.end)
		for deadline := time.Now().Add(patience); !slices.Equal(one, other) && time.Now().Before(deadline); {
			// memcached's threads may be moving an item, which then is not listed.
			one, other = listed(t, subject, l.listing, l.end), listed(t, reference, l.listing, l.end)
		}
		if !slices.Equal(one, other) {
			t.Errorf("%s: %s says %q, %s %q", l.listing, subject, one, reference, other)
		}
	}
}

func TestListingsAreTheSame(t *testing.T) {
	t.Parallel()
	sameListings(t, servers.Memcache(t, servers.MemcachedConfig{}), servers.Memcache(t, servers.MemcachedConfig{Args: args}))
}
