package binlog

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustSet(t testing.TB, s string) *GTIDSet {
	t.Helper()
	set, err := ParseGTIDSet(FlavorUnknown, s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func mustAdd(t testing.TB, s *GTIDSet, gs ...GTID) {
	t.Helper()
	for _, g := range gs {
		if err := s.Add(g); err != nil {
			t.Fatal(err)
		}
	}
}

// The texts are what MySQL 9.7 and MariaDB 10.11 print for these sets.
func TestStringIsTheServersOwn(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"only separators", " ,\n, ", ""},
		{"one", uuidB + ":1", uuidB + ":1"},
		{"intervals join", uuidB + ":3:7:1-2:5-6:20-30:4-6", uuidB + ":1-7:20-30"},
		{"server's newlines", uuidA + ":5,\n" + uuidB + ":1-2:7", uuidA + ":5," + uuidB + ":1-2:7"},
		{"any order, twice", uuidB + ":7," + uuidA + ":5," + uuidB + ":1-2", uuidA + ":5," + uuidB + ":1-2:7"},
		{
			"tags by byte, none first", uuidB + ":z9:4:b:4:a_:3:a1:4," + uuidB + ":1-2:_:9:__:8:_b:7:a_1:6:a1_:5:a:3",
			uuidB + ":1-2:_:9:__:8:_b:7:a:3:a1:4:a1_:5:a_:3:a_1:6:b:4:z9:4",
		},
		{"white space and case", " " + strings.ToUpper(uuidB) + " : 1 - 5 :\n A\t: 2 ,, " + uuidC + ":7,", uuidB + ":1-5:a:2," + uuidC + ":7"},
		{"last number", uuidB + ":9223372036854775806:1", uuidB + ":1:9223372036854775806"},
		{"domains", "7-78-5, 0-78-11\n,3-70-1", "0-78-11,3-70-1,7-78-5"},
		{"number zero", "0-1-0", "0-1-0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustSet(t, c.text)
			if s.String() != c.want {
				t.Errorf("String() = %q; want %q", s, c.want)
			}
			if s.Empty() != (c.want == "") {
				t.Errorf("Empty() = %v", s.Empty())
			}
			checkCanonical(t, s)
		})
	}
}

func TestParseGTIDSetSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		flavor     Flavor
		text, want string
	}{
		{MySQL, "x", "must be a UUID"},
		{MySQL, "0-1-5", "must be a UUID"},
		{MySQL, uuidB, "no transaction numbers"},
		{MySQL, uuidB + ":", "transaction number"},
		{MySQL, uuidB + ":tag", "no transaction numbers"},
		{MySQL, uuidB + ":1:tag", "no transaction numbers"},
		{MySQL, uuidB + ":a:b:1", `tag "a"`},
		{MySQL, uuidB + ":5-3", "less than the first"},
		{MySQL, uuidB + ":0-3", "transaction number"},
		{MySQL, uuidB + ":1-9223372036854775807", "to 9223372036854775806"},
		{MySQL, uuidB + ":1-", "transaction number"},
		{MySQL, uuidB + ":1-2-3", "transaction number"},
		{MySQL, uuidB + ":1a", "transaction number"},
		{MySQL, uuidB + ":" + tag32 + "x:1", "transaction number"},
		{MariaDB, uuidB + ":1", "must be a number"},
		{MariaDB, "0-1-5,0-2-7", "domain 0 is named twice"},
		{MariaDB, "0-1", "must be domain-server-number"},
		{FlavorUnknown, "hello", "must be a UUID"},
		{FlavorUnknown, uuidB, "no transaction numbers"},
		{FlavorUnknown, "0-1", "must be domain-server-number"},
		{FlavorUnknown, "0-1-5," + uuidB + ":1", "must be a UUID"},
	} {
		s, err := ParseGTIDSet(c.flavor, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseGTIDSet(%s, %q) = %v, %v; want an error with %q", c.flavor, c.text, s, err, c.want)
		}
	}
}

func TestEmptySetTakesTheFlavorOfWhatIsAdded(t *testing.T) {
	for _, text := range []string{uuidB + ":1", "0-1-5"} {
		g := mustGTID(t, text)
		s := mustSet(t, "")
		if s.Flavor() != FlavorUnknown {
			t.Errorf("flavor of the empty set is %s", s.Flavor())
		}
		mustAdd(t, s, g)
		if s.Flavor() != g.Flavor || s.String() != text {
			t.Errorf("with %s it is %q of %s", text, s, s.Flavor())
		}
	}
}

func TestAddRefusesWhatNoServerGivesOut(t *testing.T) {
	b := sid(t, uuidB)
	for _, c := range []struct {
		name string
		set  string
		g    GTID
	}{
		{"no GTID", uuidB + ":1", GTID{}},
		{"MariaDB's in MySQL's", uuidB + ":1", GTID{Flavor: MariaDB, Seq: 2}},
		{"MySQL's in MariaDB's", "0-1-1", GTID{Flavor: MySQL, SID: b, Seq: 2}},
		{"number 0", uuidB + ":1", GTID{Flavor: MySQL, SID: b}},
		{"number too high", uuidB + ":9223372036854775806", GTID{Flavor: MySQL, SID: b, Seq: maxGNO + 1}},
		{"bad tag", uuidB + ":1", GTID{Flavor: MySQL, SID: b, Tag: "Tag", Seq: 2}},
		{"tag too long", uuidB + ":1", GTID{Flavor: MySQL, SID: b, Tag: tag32 + "5", Seq: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustSet(t, c.set)
			if err := s.Add(c.g); err == nil {
				t.Errorf("%v was added", c.g)
			}
			if s.Contains(c.g) {
				t.Errorf("%v is contained", c.g)
			}
			if s.String() != c.set {
				t.Errorf("the set became %s", s)
			}
		})
	}
	s := mustSet(t, uuidB+":1")
	for _, r := range [][2]uint64{{0, 5}, {5, 4}, {5, maxGNO + 1}, {maxGNO + 1, maxGNO + 1}, {1<<64 - 1, 1<<64 - 1}} {
		if err := s.AddRange(b, "", r[0], r[1]); err == nil {
			t.Errorf("AddRange %d-%d succeeded", r[0], r[1])
		}
	}
	if s.String() != uuidB+":1" {
		t.Errorf("the set became %s", s)
	}
	if err := mustSet(t, "0-1-1").AddRange(b, "", 1, 2); err == nil {
		t.Error("AddRange on a MariaDB set succeeded")
	}
}

func TestUnionOfTwoFlavorsIsRefused(t *testing.T) {
	s := mustSet(t, uuidB+":1")
	if err := s.Union(mustSet(t, "0-1-5")); err == nil || s.String() != uuidB+":1" {
		t.Errorf("Union: %v, %s", err, s)
	}
	if err := s.Union(NewGTIDSet(MariaDB)); err != nil {
		t.Errorf("Union with an empty set: %v", err)
	}
	if s.Covers(mustSet(t, "0-1-5")) || !s.Intersect(mustSet(t, "0-1-5")).Empty() {
		t.Error("sets of two flavors have something in common")
	}
}

func TestNilSetReadsAsEmpty(t *testing.T) {
	var s *GTIDSet
	full := mustSet(t, uuidB+":1-3")
	if !s.Empty() || s.String() != "" || s.Count() != 0 || s.Flavor() != FlavorUnknown ||
		s.Contains(mustGTID(t, uuidB+":1")) || s.Covers(full) || !full.Covers(s) || !s.Covers(nil) ||
		!s.Equal(new(GTIDSet)) || s.Equal(full) || s.Clone() != nil ||
		!s.Missing(full).Equal(full) || !full.Missing(s).Empty() || !full.Intersect(s).Empty() || full.Union(s) != nil {
		t.Error("a nil set does not read as an empty one")
	}
}

func TestCountSaturates(t *testing.T) {
	if n := mustSet(t, uuidA+":1-3:7,"+uuidB+":tag:5").Count(); n != 5 {
		t.Errorf("Count() = %d; want 5", n)
	}
	all := ":1-9223372036854775806"
	if n := mustSet(t, uuidA+all+","+uuidB+all).Count(); n != 1<<64-4 {
		t.Errorf("Count() = %d; want %d", n, uint64(1<<64-4))
	}
	if n := mustSet(t, uuidA+all+","+uuidB+all+","+uuidC+all).Count(); n != 1<<64-1 {
		t.Errorf("Count() = %d; want 2^64-1", n)
	}
	if n := mustSet(t, "0-1-500,7-1-900").Count(); n != 2 {
		t.Errorf("Count() of two domains = %d", n)
	}
}

func TestSetIsAStringInJSON(t *testing.T) {
	type doc struct{ Set *GTIDSet }
	for _, text := range []string{`{"Set":"` + uuidB + `:1-5:tag:7"}`, `{"Set":"0-1-5"}`, `{"Set":""}`, `{"Set":null}`} {
		var d doc
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(d); err != nil || string(out) != text {
			t.Errorf("%s became %s, %v", text, out, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"Set":"0-1"}`), new(doc)); err == nil {
		t.Error("a bad set was taken from JSON")
	}
}

// model is a MySQL set as the definition has it.
type model map[GTID]bool

// The numbers are few, so that sets meet, touch and overlap.
const modelMax = 24

func modelKeys() (keys []GTID) {
	for _, first := range []byte{0, 7, 0xff} {
		for _, tag := range []string{"", "a", "b_1"} {
			keys = append(keys, GTID{Flavor: MySQL, SID: [16]byte{0: first, 15: 1}, Tag: tag})
		}
	}
	return keys
}

// drawMySQLSet builds a set and its model from the same additions.
func drawMySQLSet(t *rapid.T, label string) (*GTIDSet, model) {
	s, m := NewGTIDSet(MySQL), model{}
	key := rapid.SampledFrom(modelKeys())
	number := rapid.Uint64Range(1, modelMax)
	for range rapid.IntRange(0, 25).Draw(t, label) {
		g := key.Draw(t, "source")
		lo := number.Draw(t, "lo")
		hi := lo
		if rapid.Bool().Draw(t, "range") {
			hi = rapid.Uint64Range(lo, modelMax).Draw(t, "hi")
			if err := s.AddRange(g.SID, g.Tag, lo, hi); err != nil {
				t.Fatal(err)
			}
		} else {
			g.Seq = lo
			if err := s.Add(g); err != nil {
				t.Fatal(err)
			}
		}
		for g.Seq = lo; g.Seq <= hi; g.Seq++ {
			m[g] = true
		}
	}
	return s, m
}

// fatalT is what testing.T and rapid.T have in common here.
type fatalT interface {
	Helper()
	Fatalf(format string, args ...any)
}

// agree fails unless s is the set that m is.
func agree(t fatalT, what string, s *GTIDSet, m model) {
	t.Helper()
	checkCanonical(t, s)
	for _, g := range modelKeys() {
		for g.Seq = range uint64(modelMax + 3) {
			if s.Contains(g) != m[g] {
				t.Fatalf("%s: Contains(%s) = %v; set %s", what, g, s.Contains(g), s)
			}
		}
	}
	if s.Count() != uint64(len(m)) || s.Empty() != (len(m) == 0) {
		t.Fatalf("%s: Count() = %d, Empty() = %v; want %d; set %s", what, s.Count(), s.Empty(), len(m), s)
	}
}

// checkCanonical fails unless s is in the one form that its content has.
func checkCanonical(t fatalT, s *GTIDSet) {
	t.Helper()
	for i, src := range s.sources {
		if i > 0 && compareSources(s.sources[i-1], src) >= 0 {
			t.Fatalf("sources out of order: %s", s)
		}
		if len(src.ivs) == 0 {
			t.Fatalf("an empty source: %s", s)
		}
		for j, iv := range src.ivs {
			if iv.lo < 1 || iv.lo > iv.hi || iv.hi > maxGNO || j > 0 && iv.lo <= src.ivs[j-1].hi+1 {
				t.Fatalf("bad intervals %v: %s", src.ivs, s)
			}
		}
	}
	for i, g := range s.domains {
		if g.Flavor != MariaDB || i > 0 && s.domains[i-1].Domain >= g.Domain {
			t.Fatalf("domains out of order: %s", s)
		}
	}
	if s.flavor == MariaDB && len(s.sources) > 0 || s.flavor != MariaDB && len(s.domains) > 0 {
		t.Fatalf("a set of %s holds %s", s.flavor, s)
	}
}

func TestMySQLSetAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ma := drawMySQLSet(t, "a")
		b, mb := drawMySQLSet(t, "b")
		agree(t, "a", a, ma)
		agree(t, "b", b, mb)

		only := func(keep func(GTID) bool) model {
			m := maps.Clone(ma)
			maps.Copy(m, mb)
			maps.DeleteFunc(m, func(g GTID, _ bool) bool { return !keep(g) })
			return m
		}
		inA, inB := func(g GTID) bool { return ma[g] }, func(g GTID) bool { return mb[g] }
		missing := only(func(g GTID) bool { return inB(g) && !inA(g) })
		agree(t, "Missing", a.Missing(b), missing)
		agree(t, "Intersect", a.Intersect(b), only(func(g GTID) bool { return inA(g) && inB(g) }))
		if a.Covers(b) != (len(missing) == 0) {
			t.Fatalf("%s covers %s: %v", a, b, a.Covers(b))
		}
		if a.Equal(b) != maps.Equal(ma, mb) {
			t.Fatalf("%s equals %s: %v", a, b, a.Equal(b))
		}

		union := a.Clone()
		if err := union.Union(b); err != nil {
			t.Fatal(err)
		}
		agree(t, "Union", union, only(func(GTID) bool { return true }))
		// None of the above may have shared memory with a or b.
		for i := range union.sources {
			clear(union.sources[i].ivs)
		}
		for _, other := range []*GTIDSet{a.Missing(b), a.Intersect(b), a.Clone()} {
			for i := range other.sources {
				clear(other.sources[i].ivs)
			}
		}
		agree(t, "a, afterwards", a, ma)
		agree(t, "b, afterwards", b, mb)
	})
}

func TestTextAndBytesGiveTheSetBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, _ := drawMySQLSet(t, "a")
		parsed, err := ParseGTIDSet(MySQL, a.String())
		if err != nil || !parsed.Equal(a) || parsed.String() != a.String() {
			t.Fatalf("%q was read as %q, %v", a, parsed, err)
		}
		body, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := DecodeMySQLGTIDSet(body)
		if err != nil || !decoded.Equal(a) {
			t.Fatalf("%q was encoded as %x and decoded as %q, %v", a, body, decoded, err)
		}
	})
}

func FuzzParseGTIDSet(f *testing.F) {
	for _, s := range []string{
		"", ",", uuidB + ":1-5:7", uuidA + ":1-3:tag:1-5,\n" + uuidB + ":2", "0-1-5,1-2-7", "0-1-5,0-1-6",
		uuidB + ":5-3", uuidB + ":1-9223372036854775806:9223372036854775806", uuidB + ":a:1:a:2:b:3:A:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseGTIDSet(FlavorUnknown, text)
		if err != nil {
			return
		}
		checkCanonical(t, s)
		again, err := ParseGTIDSet(s.Flavor(), s.String())
		if err != nil || !again.Equal(s) || again.String() != s.String() {
			t.Fatalf("%q is %q, but read again %q, %v", text, s, again, err)
		}
		if !s.Covers(again) || !s.Missing(again).Empty() || !s.Intersect(again).Equal(s) {
			t.Fatalf("%q does not agree with itself", s)
		}
	})
}

func TestAddAllocatesNothing(t *testing.T) {
	for _, text := range []string{uuidA + ":1-3:7-9:tag:1-2," + uuidB + ":5", "0-1-5,1-1-7"} {
		s := mustSet(t, text)
		var next []GTID
		for _, src := range s.sources {
			next = append(next, GTID{Flavor: MySQL, SID: src.sid, Tag: strings.Clone(src.tag), Seq: src.ivs[len(src.ivs)-1].hi})
		}
		next = append(next, s.domains...)
		for i := range next {
			if n := testing.AllocsPerRun(100, func() {
				next[i].Seq++
				mustAdd(t, s, next[i])
			}); n != 0 {
				t.Errorf("Add of %s's next transaction: %v allocations", next[i], n)
			}
		}
		if n := testing.AllocsPerRun(100, func() {
			for i := range next {
				next[i].Seq++
				mustAdd(t, s, next[i])
			}
		}); n != 0 {
			t.Errorf("Add by turns: %v allocations", n)
		}
		other := s.Clone()
		if n := testing.AllocsPerRun(100, func() {
			if !s.Covers(other) || !slices.ContainsFunc(next, s.Contains) {
				t.Fatal("the set lost what it had")
			}
		}); n != 0 {
			t.Errorf("Covers and Contains: %v allocations", n)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct{ name, set, next string }{
		{"mysql", uuidA + ":1-5," + uuidB + ":1-3:7-9", uuidB + ":10"},
		{"mysql-tagged", uuidA + ":1-5," + uuidB + ":1-3:tag:7-9", uuidB + ":tag:10"},
		{"mariadb", "0-1-5,1-1-7", "1-1-8"},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, g := mustSet(b, c.set), mustGTID(b, c.next)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Add(g); err != nil {
					b.Fatal(err)
				}
				g.Seq++
			}
		})
	}
	b.Run("mysql-two-sources-by-turns", func(b *testing.B) {
		s := mustSet(b, uuidA+":1-5,"+uuidB+":1-3:7-9,"+uuidC+":5")
		g, h := mustGTID(b, uuidB+":10"), mustGTID(b, uuidC+":6")
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Add(g); err != nil {
				b.Fatal(err)
			}
			g.Seq++
			g, h = h, g
		}
	})
}

func BenchmarkContains(b *testing.B) {
	var holes strings.Builder
	holes.WriteString(uuidB)
	for i := range 10_000 {
		holes.WriteString(":")
		holes.WriteString(strings.Split(GTID{Flavor: MySQL, Seq: uint64(3*i + 1)}.String(), ":")[1])
	}
	s := mustSet(b, uuidA+":1-5,"+holes.String())
	for _, c := range []struct{ name, gtid string }{
		{"newest", uuidB + ":29998"},
		{"in-10000-intervals", uuidB + ":15001"},
	} {
		g := mustGTID(b, c.gtid)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !s.Contains(g) {
					b.Fatal(g)
				}
			}
		})
	}
}
