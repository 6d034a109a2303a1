package main

import (
	"bufio"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// unlike is what no two servers say the same of an event: when it was, its number, the
// connection's and the size class's. alike is what is said in their place.
var unlike = regexp.MustCompile(`\b(ts|gid|cfd|clsid|rport)=-?[\d.]+`)

const alike = "$1=N"

// watched returns what a watcher is told while commands are sent on another connection,
// up to what it is told of a last key.
func watched(t *testing.T, m *servers.Memcached, topics, commands string) (all []string) {
	t.Helper()
	dial := func() net.Conn {
		conn, err := net.DialTimeout("tcp4", m.Addr(), patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	watcher := dial()
	reader := bufio.NewReader(watcher)
	if _, err := io.WriteString(watcher, "watch "+topics+"\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := reader.ReadString('\n'); line != "OK\r\n" {
		t.Fatalf("%s: watch %s: %q, %v", m, topics, line, err)
	}
	client := dial()
	// What this watcher is told of may also be of what was done before it came.
	first, last := "first-"+topics, "last-"+topics
	both := func(key string) string {
		return strings.ReplaceAll("get KEY\r\nset KEY 0 0 1\r\nx\r\ndelete KEY\r\n", "KEY", key)
	}
	if _, err := io.WriteString(client, both(first)+commands+both(last)); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v after %q", m, err, all)
		}
		switch {
		case strings.Contains(line, last):
			return all
		case strings.Contains(line, first):
			all = nil
			continue
		}
		// The threads that memcached has and mccache has not are heard of, too.
		if strings.Contains(line, "type=item_") || strings.Contains(line, "type=deleted") {
			all = append(all, unlike.ReplaceAllString(line, alike))
		}
	}
}

// sameEvents holds what watchers are told to each other.
func sameEvents(t *testing.T, subject, reference *servers.Memcached) {
	t.Helper()
	for _, c := range []struct{ topics, commands string }{
		// memcached tells of every look at an item, also of those that are not fetches.
		{"fetchers", "get w\r\nget w v w\r\ngat 5 w\r\nmg w v\r\nmg v q\r\nmg dg== b\r\nget w%d\"/é\r\n"},
		{"mutations", "set w 3 100 2\r\n10\r\nadd w 0 0 1\r\nx\r\nincr w 1\r\nappend w 0 0 1\r\nx\r\nprepend u 0 0 1\r\nx\r\n" +
			"cas w 0 0 1 5\r\nx\r\ncas u 0 0 1 5\r\nx\r\nreplace v 0 0 1\r\nx\r\nreplace w 0 0 1\r\nx\r\nms w 3 T50 F7\r\nabc\r\nms w 1 ME\r\nx\r\n" +
			"ms w 1 MA\r\nx\r\nma c N0 J5\r\nma c\r\nset w 0 -1 1\r\nx\r\nms w 1 C5\r\nx\r\nms u 1 MR\r\nx\r\ndelete w\r\nset w%d\"/é 0 0 1\r\nx\r\nms AAEC 1 b\r\nx\r\ntouch w 5\r\n"},
		{"deletions", "set w 0 0 1\r\nx\r\ndelete w\r\ndelete w\r\nset w%d\"/é 0 0 1\r\nx\r\nmd w%d\"/é\r\nms AAEC 1 b\r\nx\r\nmd AAEC b\r\nset w 0 0 1\r\nx\r\nmd w q\r\n"},
	} {
		one, other := watched(t, subject, c.topics, c.commands), watched(t, reference, c.topics, c.commands)
		if !slices.Equal(one, other) {
			t.Errorf("watch %s: %s says\n%s, and %s\n%s", c.topics, subject, strings.Join(one, ""), reference, strings.Join(other, ""))
		}
	}
}

func TestWatchersAreToldTheSame(t *testing.T) {
	t.Parallel()
	sameEvents(t, servers.Memcache(t, servers.MemcachedConfig{}), servers.Memcache(t, servers.MemcachedConfig{}))
}
