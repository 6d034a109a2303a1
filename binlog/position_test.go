package binlog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func day(n int) time.Time { return time.Date(2026, 1, n, 3, 4, 5, 0, time.UTC) }

func TestFileNumber(t *testing.T) {
	for _, c := range []struct {
		name, base string
		n          uint64
		ok         bool
	}{
		{"bin.000003", "bin", 3, true},
		{"bin.1000000", "bin", 1_000_000, true},
		{"db1.example.org-bin.000042", "db1.example.org-bin", 42, true},
		{".000001", "", 1, true},
		{"bin", "", 0, false},
		{"bin.", "bin", 0, false},
		{"bin.00x", "bin", 0, false},
		{"bin.-1", "bin", 0, false},
		{"bin.99999999999999999999", "bin", 0, false},
		{"", "", 0, false},
	} {
		base, n, ok := FileNumber(c.name)
		if ok != c.ok || ok && (base != c.base || n != c.n) {
			t.Errorf("FileNumber(%q) = %q, %d, %v", c.name, base, n, ok)
		}
	}
}

func TestFilesAreOrderedByNumberWithinOneLog(t *testing.T) {
	for _, c := range []struct {
		name  string
		f, g  File
		order int
		ok    bool
	}{
		{"older", File{"bin.000003", "s", day(1)}, File{"bin.000004", "s", day(2)}, -1, true},
		{"newer beyond six digits", File{"bin.1000000", "s", day(2)}, File{"bin.999999", "s", day(1)}, 1, true},
		{"same", File{"bin.000003", "s", day(1)}, File{"bin.000003", "s", day(1)}, 0, true},
		{"made within one second", File{"bin.000003", "s", day(1)}, File{"bin.000004", "s", day(1)}, -1, true},
		{"time unknown", File{"bin.000003", "s", day(1)}, File{"bin.000003", "s", time.Time{}}, 0, true},
		{"server unknown", File{"bin.000003", "", day(1)}, File{"bin.000004", "s", day(2)}, -1, true},
		{"same without a number", File{"stdin", "", day(1)}, File{"stdin", "", day(1)}, 0, true},
		{"another server", File{"bin.000003", "s", day(1)}, File{"bin.000004", "r", day(2)}, 0, false},
		{"another base", File{"bin.000003", "s", day(1)}, File{"log.000004", "s", day(2)}, 0, false},
		{"same name after a reset", File{"bin.000001", "s", day(1)}, File{"bin.000001", "s", day(2)}, 0, false},
		{"lower number after a reset", File{"bin.000009", "s", day(1)}, File{"bin.000002", "s", day(2)}, 0, false},
		{"no numbers", File{"a", "s", day(1)}, File{"b", "s", day(2)}, 0, false},
		{"one number, two names", File{"bin.01", "s", day(1)}, File{"bin.1", "s", day(1)}, 0, false},
		{"one number, two names and times", File{"bin.01", "s", day(1)}, File{"bin.1", "s", day(2)}, 0, false},
		{"no names", File{"", "s", day(1)}, File{"", "s", day(1)}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if order, ok := c.f.Compare(c.g); ok != c.ok || ok && order != c.order {
				t.Errorf("Compare = %d, %v; want %d, %v", order, ok, c.order, c.ok)
			}
			if order, ok := c.g.Compare(c.f); ok != c.ok || ok && order != -c.order {
				t.Errorf("the other way round: %d, %v; want %d, %v", order, ok, -c.order, c.ok)
			}
		})
	}
}

func TestFoldMovesPastOneTransaction(t *testing.T) {
	file := File{"bin.000003", "s", day(1)}
	p := Position{GTIDs: mustSet(t, uuidB+":1-4")}
	for i, g := range []string{uuidB + ":5", uuidB + ":tag:1", uuidC + ":9"} {
		if err := p.Fold(mustGTID(t, g), file, uint64(100*i+200)); err != nil {
			t.Fatal(err)
		}
	}
	if want := uuidB + ":1-5:tag:1," + uuidC + ":9 @ bin.000003:400"; p.String() != want {
		t.Errorf("position is %s; want %s", p, want)
	}
	// A transaction without a GTID moves the place alone.
	if err := p.Fold(GTID{}, file, 500); err != nil || p.Offset != 500 || p.GTIDs.Count() != 7 {
		t.Errorf("after an anonymous transaction: %s, %v", p, err)
	}
	// A failed one moves nothing.
	before := p.Clone()
	if err := p.Fold(mustGTID(t, "0-1-5"), file, 600); err == nil || !p.Equal(before) {
		t.Errorf("a MariaDB GTID was folded in: %s, %v", p, err)
	}
}

func TestFoldKeepsAPositionWithoutASet(t *testing.T) {
	p := Position{File: File{"bin.000003", "s", day(1)}, Offset: 4}
	if err := p.Fold(mustGTID(t, uuidB+":5"), p.File, 200); err != nil || p.GTIDs != nil || p.Offset != 200 {
		t.Errorf("position is %s, %v", p, err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	p := Position{GTIDs: mustSet(t, uuidB+":1-4"), File: File{"bin.000003", "s", day(1)}, Offset: 200}
	c := p.Clone()
	if !c.Equal(p) {
		t.Fatalf("clone of %s is %s", p, c)
	}
	if err := p.Fold(mustGTID(t, uuidB+":5"), p.File, 300); err != nil {
		t.Fatal(err)
	}
	if c.GTIDs.String() != uuidB+":1-4" || c.Offset != 200 || c.Equal(p) {
		t.Errorf("the clone moved to %s", c)
	}
}

func TestExecutedRepeatsRatherThanSkips(t *testing.T) {
	three := File{"bin.000003", "s", day(3)}
	mysql := Position{GTIDs: mustSet(t, uuidB+":1-4"), File: three, Offset: 500}
	mariadb := Position{GTIDs: mustSet(t, "0-1-10"), File: three, Offset: 500}
	none := Position{File: three, Offset: 500}
	for _, c := range []struct {
		name  string
		p     Position
		gtid  string
		file  File
		start uint64
		want  bool
	}{
		{"mysql: in the set", mysql, uuidB + ":4", three, 400, true},
		{"mysql: the set decides, not the place", mysql, uuidB + ":5", three, 400, false},
		{"mysql: on another server", mysql, uuidB + ":4", File{"log.000077", "r", day(9)}, 4, true},
		{"mysql: anonymous, before", mysql, "", three, 499, true},
		{"mysql: anonymous, behind", mysql, "", three, 500, false},
		{"mariadb: before", mariadb, "0-1-10", three, 400, true},
		{"mariadb: behind, though its number is lower", mariadb, "0-2-7", three, 500, false},
		{"mariadb: an older file", mariadb, "1-1-1", File{"bin.000002", "s", day(2)}, 900, true},
		{"mariadb: a newer file", mariadb, "0-1-9", File{"bin.000004", "s", day(4)}, 4, false},
		{"mariadb: on another server, in the set", mariadb, "0-2-7", File{"bin.000009", "r", day(9)}, 400, true},
		{"mariadb: on another server, not in the set", mariadb, "0-2-11", File{"bin.000001", "r", day(1)}, 400, false},
		{"mariadb: after a reset, in the set", mariadb, "0-2-7", File{"bin.000003", "s", day(9)}, 600, true},
		{"no GTIDs: before", none, "", three, 499, true},
		{"no GTIDs: next", none, "", three, 500, false},
		{"no GTIDs: older file", none, "", File{"bin.000002", "s", day(2)}, 900, true},
		{"no GTIDs: newer file", none, "", File{"bin.000010", "s", day(4)}, 4, false},
		{"no GTIDs: another server", none, "", File{"bin.000002", "r", day(2)}, 4, false},
		{"no GTIDs: after a reset", none, "", File{"bin.000002", "s", day(9)}, 4, false},
		{"no set, but a GTID: the place", none, uuidB + ":5", three, 400, true},
		{"set alone: in it", Position{GTIDs: mustSet(t, "0-1-10")}, "0-1-10", three, 400, true},
		{"set alone: not in it", Position{GTIDs: mustSet(t, "0-1-10")}, "0-1-11", three, 4, false},
		{"set alone: anonymous", Position{GTIDs: mustSet(t, uuidB+":1-4")}, "", three, 4, false},
		{"nowhere", Position{}, uuidB + ":4", three, 4, false},
		{"nowhere: unnamed file", Position{}, "", File{}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var g GTID
			if c.gtid != "" {
				g = mustGTID(t, c.gtid)
			}
			if got := c.p.Executed(g, c.file, c.start); got != c.want {
				t.Errorf("Executed(%s, %s, %d) at %s = %v", g, c.file.Name, c.start, c.p, got)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	three := File{"bin.000003", "s", day(3)}
	at := func(set string, file File, offset uint64) Position {
		p := Position{File: file, Offset: offset}
		if set != "" {
			p.GTIDs = mustSet(t, set)
		}
		return p
	}
	for _, c := range []struct {
		name string
		p, q Position
		want bool
	}{
		{"mysql: superset, though its place is earlier", at(uuidB+":1-5", three, 100), at(uuidB+":1-4", three, 500), true},
		{"mysql: subset, though its place is later", at(uuidB+":1-4", three, 500), at(uuidB+":1-5", three, 100), false},
		{"mariadb: later place", at("0-2-9", three, 500), at("0-1-10", three, 500), true},
		{"mariadb: earlier place", at("0-1-10", three, 499), at("0-2-9", three, 500), false},
		{"mariadb: another server, further", at("0-1-10", three, 499), at("0-2-9", File{"x.1", "r", day(1)}, 9000), true},
		{"mariadb: another server, not as far", at("0-1-10", three, 499), at("0-2-11", File{"x.1", "r", day(1)}, 4), false},
		{"no GTIDs: later", at("", three, 500), at("", File{"bin.000002", "s", day(2)}, 9000), true},
		{"no GTIDs: earlier", at("", three, 500), at("", three, 501), false},
		{"no GTIDs: another server", at("", three, 500), at("", File{"bin.000002", "r", day(2)}, 4), false},
		{"a set against a place", at(uuidB+":1-5", File{}, 0), at("", three, 4), false},
		{"a set and a place against a place", at(uuidB+":1-5", three, 500), at("", three, 500), true},
		{"nowhere", Position{}, Position{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.Covers(c.q); got != c.want {
				t.Errorf("%s covers %s: %v", c.p, c.q, got)
			}
		})
	}
}

// A cursor that folds in what it reads has executed all that, and nothing else.
func TestExecutedAgreesWithWhatWasFoldedIn(t *testing.T) {
	type transaction struct {
		g          GTID
		file       File
		start, end uint64
	}
	rapid.Check(t, func(t *rapid.T) {
		flavor := rapid.SampledFrom([]Flavor{FlavorUnknown, MySQL, MariaDB}).Draw(t, "flavor")
		file := File{Name: "bin.999998", Server: "s", Created: day(1)}
		offset := uint64(firstOffset)
		seq := map[uint32]uint64{}
		var log []transaction
		for i := range rapid.IntRange(1, 40).Draw(t, "transactions") {
			switch rapid.IntRange(0, 5).Draw(t, "rotate") {
			case 0:
				_, n, _ := FileNumber(file.Name)
				file.Name = "bin." + GTID{Flavor: MariaDB, Seq: n + 1}.String()[len("0-0-"):]
				file.Created = day(1 + i)
				offset = firstOffset
			}
			tx := transaction{file: file, start: offset}
			offset += rapid.Uint64Range(1, 1000).Draw(t, "size")
			tx.end = offset
			source := rapid.Uint32Range(0, 2).Draw(t, "source")
			seq[source] += rapid.Uint64Range(1, 3).Draw(t, "step")
			switch flavor {
			case MySQL:
				tx.g = GTID{Flavor: MySQL, SID: [16]byte{byte(source)}, Seq: seq[source]}
			case MariaDB:
				// Numbers that several servers give out may fall back or repeat.
				tx.g = GTID{Flavor: MariaDB, Domain: source, Server: uint32(i), Seq: rapid.Uint64Range(1, 9).Draw(t, "seq")}
			}
			log = append(log, tx)
		}
		var p Position
		if flavor != FlavorUnknown {
			p.GTIDs = NewGTIDSet(flavor)
		}
		n := rapid.IntRange(0, len(log)).Draw(t, "folded")
		var old Position
		for _, tx := range log[:n] {
			old = p.Clone()
			if err := p.Fold(tx.g, tx.file, tx.end); err != nil {
				t.Fatal(err)
			}
			if !p.Covers(old) && old.File.Name != "" || old.Covers(p) {
				t.Fatalf("%s came after %s", p, old)
			}
		}
		for i, tx := range log {
			if got := p.Executed(tx.g, tx.file, tx.start); got != (i < n) {
				t.Fatalf("%d of %d are executed at %s, but of %s at %s:%d it says %v", n, len(log), p, tx.g, tx.file.Name, tx.start, got)
			}
		}
	})
}

func TestPositionStringIsForPeople(t *testing.T) {
	for _, c := range []struct {
		p    Position
		want string
	}{
		{Position{}, "nowhere"},
		{Position{GTIDs: new(GTIDSet)}, "no GTIDs"},
		{Position{GTIDs: mustSet(t, "0-1-5")}, "0-1-5"},
		{Position{File: File{Name: "bin.000003"}, Offset: 4}, "bin.000003:4"},
		{Position{GTIDs: new(GTIDSet), File: File{Name: "bin.000003"}, Offset: 4}, "no GTIDs @ bin.000003:4"},
	} {
		if c.p.String() != c.want {
			t.Errorf("%#v is %q; want %q", c.p, c.p, c.want)
		}
		if c.p.IsZero() != (c.want == "nowhere") {
			t.Errorf("IsZero() of %s is %v", c.p, c.p.IsZero())
		}
	}
}

func TestPositionJSONIsTheCheckpoints(t *testing.T) {
	file := File{Name: "bin.000003", Server: uuidB, Created: day(2)}
	for _, c := range []struct {
		name string
		p    Position
		want string
	}{
		{
			"mysql", Position{GTIDs: mustSet(t, uuidB+":1-5:tag:7"), File: file, Offset: 1234},
			`{"gtid":"` + uuidB + `:1-5:tag:7","flavor":"mysql","file":"bin.000003","offset":1234,"server":"` + uuidB + `","created":"2026-01-02T03:04:05Z"}`,
		},
		{"mariadb", Position{GTIDs: mustSet(t, "0-1-5")}, `{"gtid":"0-1-5","flavor":"mariadb"}`},
		{"empty set", Position{GTIDs: NewGTIDSet(MySQL)}, `{"gtid":"","flavor":"mysql"}`},
		{"empty set of no flavor", Position{GTIDs: new(GTIDSet)}, `{"gtid":""}`},
		{"no set", Position{File: File{Name: "bin.1", Server: "77"}, Offset: 1 << 40}, `{"file":"bin.1","offset":1099511627776,"server":"77"}`},
		{"nowhere", Position{}, `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.p)
			if err != nil || string(got) != c.want {
				t.Fatalf("marshalled as %s, %v; want %s", got, err, c.want)
			}
			var back Position
			if err := json.Unmarshal(got, &back); err != nil || !back.Equal(c.p) || back.GTIDs.Flavor() != c.p.GTIDs.Flavor() {
				t.Errorf("read back as %s, %v", back, err)
			}
		})
	}
}

func TestPositionJSONRefusesWhatItCannotKeep(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"gitd":"0-1-5"}`, "gitd"},
		{`{"gtid":"0-1-5","flavor":"mysql"}`, "UUID"},
		{`{"gtid":"0-1-5","flavor":"postgres"}`, "flavor"},
		{`{"gtid":"0-1"}`, "domain-server-number"},
		{`{"offset":-1}`, "offset"},
		{`{"created":"yesterday"}`, "yesterday"},
	} {
		p := Position{Offset: 77}
		err := json.Unmarshal([]byte(c.text), &p)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an error with %q", c.text, err, c.want)
		}
		if p.Offset != 77 {
			t.Errorf("%s: the position was changed to %s", c.text, p)
		}
	}
}

func TestFoldAllocatesNothing(t *testing.T) {
	file := File{"bin.000003", "s", day(3)}
	for _, first := range []string{uuidB + ":5", uuidB + ":tag:5", "0-1-5"} {
		g := mustGTID(t, first)
		p := Position{GTIDs: new(GTIDSet)}
		if err := p.Fold(g, file, 4); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			g.Seq++
			if err := p.Fold(g, file, p.Offset+100); err != nil {
				t.Fatal(err)
			}
			if !p.Executed(g, file, p.Offset-100) {
				t.Fatalf("%s is not executed at %s", g, p)
			}
		}); n != 0 {
			t.Errorf("Fold and Executed from %s: %v allocations", first, n)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	file := File{"bin.000003", "s", day(3)}
	for _, first := range []string{uuidB + ":5", "0-1-5"} {
		g := mustGTID(b, first)
		b.Run(g.Flavor.String(), func(b *testing.B) {
			p := Position{GTIDs: new(GTIDSet)}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Fold(g, file, p.Offset+100); err != nil {
					b.Fatal(err)
				}
				g.Seq++
			}
		})
	}
}
