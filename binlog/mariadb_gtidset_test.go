package binlog

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// The bytes are the body of the GTID_LIST_EVENT that MariaDB 10.11 wrote when its
// gtid_binlog_state was 7-78-5,0-79-12,0-78-11,3-70-1: domain 0's last in the log
// is 0-78-11, although 0-79-12 has the higher number.
const gtidList = "04000000" +
	"07000000 4e000000 0500000000000000" +
	"00000000 4f000000 0c00000000000000" +
	"00000000 4e000000 0b00000000000000" +
	"03000000 46000000 0100000000000000"

func TestGTIDListKeepsTheLastInTheLog(t *testing.T) {
	s, err := DecodeMariaDBGTIDList(unhex(t, gtidList))
	if err != nil {
		t.Fatal(err)
	}
	// This is the server's gtid_binlog_pos at that time.
	if want := "0-78-11,3-70-1,7-78-5"; s.String() != want || s.Flavor() != MariaDB {
		t.Errorf("decoded %q of %s; want %q", s, s.Flavor(), want)
	}
	checkCanonical(t, s)
}

func TestGTIDListKeepsTheLastOfManyServers(t *testing.T) {
	const count = 100
	body := binary.LittleEndian.AppendUint32(nil, count)
	for i := range uint32(count) {
		body = binary.LittleEndian.AppendUint32(body, i%3)
		body = binary.LittleEndian.AppendUint32(body, i)
		body = binary.LittleEndian.AppendUint64(body, uint64(1000-i))
	}
	if s, err := DecodeMariaDBGTIDList(body); err != nil || s.String() != "0-99-901,1-97-903,2-98-902" {
		t.Errorf("decoded %q, %v", s, err)
	}
}

func TestGTIDListOfAFirstFileIsEmpty(t *testing.T) {
	// MariaDB sets flags in the upper four bits.
	for _, body := range []string{"00000000", "00000010"} {
		if s, err := DecodeMariaDBGTIDList(unhex(t, body)); err != nil || !s.Empty() || s.Flavor() != MariaDB {
			t.Errorf("%s: decoded %q, %v", body, s, err)
		}
	}
}

func TestGTIDListRefusesATruncatedBody(t *testing.T) {
	whole := unhex(t, gtidList)
	for n := range whole {
		if s, err := DecodeMariaDBGTIDList(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes: decoded %q", n, len(whole), s)
		}
	}
}

func FuzzDecodeMariaDBGTIDList(f *testing.F) {
	f.Add(unhex(f, gtidList))
	f.Add(unhex(f, "00000000"))
	f.Add(unhex(f, "ffffffff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := DecodeMariaDBGTIDList(body)
		if err != nil {
			return
		}
		checkCanonical(t, s)
		if parsed, err := ParseGTIDSet(MariaDB, s.String()); err != nil || !parsed.Equal(s) {
			t.Fatalf("%q was read as %q, %v", s, parsed, err)
		}
	})
}

func TestMariaDBAddFollowsTheLogNotTheNumbers(t *testing.T) {
	s := NewGTIDSet(MariaDB)
	mustAdd(t, s, mustGTID(t, "0-79-12"), mustGTID(t, "5-1-1"), mustGTID(t, "0-78-11"))
	if s.String() != "0-78-11,5-1-1" {
		t.Errorf("the set is %s", s)
	}
	for _, c := range []struct {
		gtid string
		want bool
	}{
		{"0-78-11", true},
		{"0-79-10", true},
		{"0-79-11", false}, // another server's with the same number
		{"0-79-12", false}, // repeated rather than skipped
		{"5-2-0", true},
		{"5-1-2", false},
		{"1-1-1", false},
	} {
		if got := s.Contains(mustGTID(t, c.gtid)); got != c.want {
			t.Errorf("Contains(%s) = %v", c.gtid, got)
		}
	}
}

// drawMariaDBSet draws a set and, as the definition has it, each domain's last.
// Number and server are few, so that domains tie.
func drawMariaDBSet(t *rapid.T, label string) (*GTIDSet, map[uint32]GTID) {
	s, m := NewGTIDSet(MariaDB), map[uint32]GTID{}
	for range rapid.IntRange(0, 8).Draw(t, label) {
		g := GTID{
			Flavor: MariaDB,
			Domain: rapid.Uint32Range(0, 4).Draw(t, "domain"),
			Server: rapid.Uint32Range(1, 2).Draw(t, "server"),
			Seq:    rapid.Uint64Range(0, 5).Draw(t, "seq"),
		}
		if err := s.Add(g); err != nil {
			t.Fatal(err)
		}
		m[g.Domain] = g
	}
	return s, m
}

func TestMariaDBSetAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ma := drawMariaDBSet(t, "a")
		b, mb := drawMariaDBSet(t, "b")
		missing, both := a.Missing(b), a.Intersect(b)
		union := a.Clone()
		if err := union.Union(b); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*GTIDSet{a, b, missing, both, union} {
			checkCanonical(t, s)
		}
		last := func(s *GTIDSet, domain uint32) (g GTID, ok bool) {
			for _, g := range s.domains {
				if g.Domain == domain {
					return g, true
				}
			}
			return GTID{}, false
		}
		covers := true
		for domain := range uint32(6) {
			ga, inA := ma[domain]
			gb, inB := mb[domain]
			// What is asked of a set, answered from the definition.
			for server := range uint32(3) {
				for seq := range uint64(7) {
					g := GTID{Flavor: MariaDB, Domain: domain, Server: server, Seq: seq}
					want := inA && (seq < ga.Seq || seq == ga.Seq && server == ga.Server)
					if a.Contains(g) != want {
						t.Fatalf("%s contains %s: %v", a, g, !want)
					}
				}
			}
			if got, ok := last(both, domain); ok != (inA && inB) || ok && got.Seq != min(ga.Seq, gb.Seq) {
				t.Fatalf("%s intersected with %s: %s", a, b, both)
			}
			if got, ok := last(union, domain); ok != (inA || inB) || ok && got.Seq != max(ga.Seq, gb.Seq) {
				t.Fatalf("%s united with %s: %s", a, b, union)
			}
			isMissing := inB && !a.Contains(gb)
			if got, ok := last(missing, domain); ok != isMissing || ok && got != gb {
				t.Fatalf("%s misses %s of %s", a, missing, b)
			}
			covers = covers && !isMissing
			// No set invents a GTID.
			for _, s := range []*GTIDSet{both, union} {
				if got, ok := last(s, domain); ok && got != ga && got != gb {
					t.Fatalf("%s and %s made %s", a, b, got)
				}
			}
		}
		if a.Covers(b) != covers {
			t.Fatalf("%s covers %s: %v", a, b, !covers)
		}
		if parsed, err := ParseGTIDSet(MariaDB, a.String()); err != nil || !parsed.Equal(a) {
			t.Fatalf("%q was read as %q, %v", a, parsed, err)
		}
	})
}
