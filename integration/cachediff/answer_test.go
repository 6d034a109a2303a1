package main

import "testing"

func TestAnswersDifferInWhatMatters(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		same       bool
	}{
		{"the same", "STORED\r\n", "STORED\r\n", true},
		{"another status", "STORED\r\n", "NOT_STORED\r\n", false},
		{"one answer more", "HD\r\n", "HD\r\nHD\r\n", false},
		{"no end", "HD\r\n", "HD", false},
		{"another end", "HD\r\n", "HD\n", false},
		{"data that looks like an answer", "VALUE k 0 4\r\nHD\r\n\r\nEND\r\n", "VALUE k 0 4\r\nHD\r\n\r\nEND\r\n", true},
		{"other data", "VA 2\r\nab\r\n", "VA 2\r\nac\r\n", false},
		{"shorter data", "VA 2\r\nab\r\n", "VA 1\r\na\r\n", false},
		{"other flags", "VALUE k 0 1\r\na\r\n", "VALUE k 1 1\r\na\r\n", false},
		{"ids", "VALUE k 0 1 5\r\na\r\n", "VALUE k 0 1 70\r\na\r\n", true},
		{"an id again", "HD c5\r\nHD c6\r\nHD c5\r\n", "HD c70\r\nHD c9\r\nHD c70\r\n", true},
		{"an id that should not come again", "HD c5\r\nHD c6\r\n", "HD c70\r\nHD c70\r\n", false},
		{"an id that should come again", "HD c5\r\nHD c5\r\n", "HD c70\r\nHD c71\r\n", false},
		{"no id", "HD c0\r\n", "HD c7\r\n", false},
		{"an id elsewhere", "HD c5 s1\r\n", "HD s1 c5\r\n", false},
		{"a second", "HD t30 l2\r\n", "HD t29 l3\r\n", true},
		{"two seconds", "HD t30\r\n", "HD t28\r\n", false},
		{"a second of never", "HD t-1\r\n", "HD t0\r\n", false},
		{"long ago", "HD t4294967230\r\n", "HD t4294967000\r\n", true},
		{"an opaque", "HD Oc1\r\n", "HD Oc2\r\n", false},
		{"a key", "HD kc1\r\n", "HD kc2\r\n", false},
		{"a size", "HD s1\r\n", "HD s2\r\n", false},
		{"a fetched mark", "HD h1\r\n", "HD h0\r\n", false},
		{"marks", "HD W\r\n", "HD Z\r\n", false},
		{"the length of a value", "VA 3 c1\r\nabc\r\n", "VA 3 c2\r\nabc\r\n", true},
		{"classes", "ME k exp=-1 la=0 cas=4 fetch=no cls=1 size=60\r\n", "ME k exp=-1 la=1 cas=9 fetch=no cls=3 size=48\r\n", true},
		{"fetched", "ME k exp=-1 la=0 cas=4 fetch=no cls=1 size=60\r\n", "ME k exp=-1 la=0 cas=4 fetch=yes cls=1 size=60\r\n", false},
		{"an expiry", "ME k exp=9 la=0 cas=4 fetch=no cls=1 size=60\r\n", "ME k exp=-1 la=0 cas=4 fetch=no cls=1 size=60\r\n", false},
		{"a key called cas", "ME cas=1 exp=-1 la=0 cas=4 fetch=no cls=1 size=60\r\n", "ME cas=2 exp=-1 la=0 cas=4 fetch=no cls=1 size=60\r\n", false},
		{"versions", "VERSION 1.6.45\r\n", "VERSION 2\r\n", true},
	} {
		if different := differ([]byte(c.a), []byte(c.b), newIDs()); (different == "") != c.same {
			t.Errorf("%s: %q", c.name, different)
		}
	}
}

func TestNamesInACommandStandForKeysAndIDs(t *testing.T) {
	got := newNaming(35).expand("cas «a» 0 0 1 «b.cas»\r\nx\r\nmg «a.64» b\r\n", func(key, age string) uint64 {
		if key != "b" || age != "cas" {
			t.Errorf("asked for %s.%s", key, age)
		}
		return 17
	})
	if want := "cas 00000z:a 0 0 1 17\r\nx\r\nmg MDAwMDB6OmE= b\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	n := newNaming(1)
	if len(n.key("a", "250")) != 250 || len(n.key("a", "251")) != 251 {
		t.Error("the long keys have other lengths")
	}
}

func TestAProgramCanBeMadeSmaller(t *testing.T) {
	p := program{steps: []step{{commands: []command{"a\r\n", "b\r\n"}}, {commands: []command{"c\r\n"}}}}
	if got := p.without(1, 2); got.words() != 1 || got.command(0) != "a\r\n" {
		t.Errorf("%v", got)
	}
	if got := p.without(0, 2); got.words() != 1 || got.command(0) != "c\r\n" {
		t.Errorf("%v", got)
	}
	if got := p.replaced(2, "d\r\n"); got.words() != 3 || got.command(2) != "d\r\n" || p.command(2) != "c\r\n" {
		t.Errorf("%v, %v", got, p)
	}
	if got := command("set «a» 2 0 1 noreply\r\nx\r\n").shorter(); len(got) != 4 || got[3] != "set «a» 2 0 1\r\nx\r\n" || got[0] != "set «a» 0 1 noreply\r\nx\r\n" {
		t.Errorf("%q", got)
	}
}
