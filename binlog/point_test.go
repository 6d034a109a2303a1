package binlog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParsePointReadsEveryForm(t *testing.T) {
	for _, c := range []struct {
		text string
		want Point
		out  string // what String gives, if not text
	}{
		{text: "oldest", want: Point{Kind: PointOldest}},
		{text: " now\n", want: Point{Kind: PointNow}, out: "now"},
		{text: "gtid:", want: Point{Kind: PointGTID, GTIDs: new(GTIDSet)}},
		{text: "gtid:" + uuidB + ":1-5:tag:7", want: Point{Kind: PointGTID, GTIDs: mustSet(t, uuidB+":1-5:tag:7")}},
		{text: "gtid: " + uuidC + ":1,\n" + uuidB + ":5", want: Point{Kind: PointGTID, GTIDs: mustSet(t, uuidB+":5,"+uuidC+":1")}, out: "gtid:" + uuidB + ":5," + uuidC + ":1"},
		{text: "gtid:0-1-5,1-2-7", want: Point{Kind: PointGTID, GTIDs: mustSet(t, "0-1-5,1-2-7")}},
		{text: "file:bin.000003:1234", want: Point{Kind: PointFile, File: "bin.000003", Offset: 1234}},
		{text: "file:odd:name:bin.000003:4", want: Point{Kind: PointFile, File: "odd:name:bin.000003", Offset: 4}},
		{text: "file:bin.000003:18446744073709551615", want: Point{Kind: PointFile, File: "bin.000003", Offset: 1<<64 - 1}},
		{text: "time:2026-01-02T03:04:05Z", want: Point{Kind: PointTime, Time: day(2)}},
		{text: "time:2026-01-02T05:04:05.25+02:00", want: Point{Kind: PointTime, Time: day(2).Add(250 * time.Millisecond)}},
	} {
		t.Run(c.text, func(t *testing.T) {
			p, err := ParsePoint(c.text)
			if err != nil {
				t.Fatal(err)
			}
			checkSamePoint(t, p, c.want)
			if c.out == "" {
				c.out = c.text
			}
			if p.String() != c.out {
				t.Errorf("String() = %q; want %q", p, c.out)
			}
			again, err := ParsePoint(p.String())
			if err != nil {
				t.Fatal(err)
			}
			checkSamePoint(t, again, c.want)
		})
	}
}

func checkSamePoint(t *testing.T, got, want Point) {
	t.Helper()
	if got.Kind != want.Kind || got.File != want.File || got.Offset != want.Offset || !got.Time.Equal(want.Time) ||
		(got.GTIDs == nil) != (want.GTIDs == nil) || !got.GTIDs.Equal(want.GTIDs) || got.GTIDs.Flavor() != want.GTIDs.Flavor() {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestParsePointErrorsListTheForms(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "none of the forms"},
		{"latest", "none of the forms"},
		{"oldest:", "none of the forms"},
		{uuidB + ":1-5", "none of the forms"},
		{"GTID:0-1-5", "none of the forms"},
		{"gtid:0-1", "domain-server-number"},
		{"gtid:" + uuidB, "no transaction numbers"},
		{"file:bin.000003", "file name or offset is missing"},
		{"file::4", "file name or offset is missing"},
		{"file:", "file name or offset is missing"},
		{"file:bin.000003:", `offset ""`},
		{"file:bin.000003:x", `offset "x"`},
		{"file:bin.000003:-4", `offset "-4"`},
		{"file:bin.000003:3", "from 4"},
		{"file:bin.000003:18446744073709551616", "to 18446744073709551615"},
		{"time:yesterday", "must be like"},
		{"time:2026-01-02 03:04:05", "must be like"},
		{"time:", "must be like"},
	} {
		p, err := ParsePoint(c.text)
		if err == nil {
			t.Errorf("ParsePoint(%q) = %s", c.text, p)
			continue
		}
		for _, want := range []string{c.want, "oldest, now, gtid:SET, file:NAME:OFFSET or time:"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("ParsePoint(%q): %v; want %q in it", c.text, err, want)
			}
		}
	}
}

func TestZeroPointIsNoneGiven(t *testing.T) {
	var p Point
	if err := p.UnmarshalText([]byte("now")); err != nil || p.IsZero() || p.Kind != PointNow {
		t.Errorf("now was read as %s, %v", p, err)
	}
	if err := p.UnmarshalText([]byte("soon")); err == nil || p.Kind != PointNow {
		t.Errorf("soon was read as %s, %v", p, err)
	}
	if err := p.UnmarshalText(nil); err != nil || !p.IsZero() || p.String() != "" {
		t.Errorf("nothing was read as %s, %v", p, err)
	}
}

func TestPointIsAStringInJSON(t *testing.T) {
	for _, text := range []string{`"now"`, `"file:bin.000003:4"`, `"gtid:0-1-5"`, `""`} {
		var p Point
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(p); err != nil || string(out) != text {
			t.Errorf("%s became %s, %v", text, out, err)
		}
	}
}

func FuzzParsePoint(f *testing.F) {
	for _, s := range []string{
		"oldest", "now", "gtid:", "gtid:" + uuidB + ":1-5", "gtid:0-1-5", "file:bin.000003:4", "file:::4",
		"time:2026-01-02T03:04:05Z", "time:2026-01-02T03:04:05.000000001+23:59", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePoint(s)
		if err != nil {
			return
		}
		again, err := ParsePoint(p.String())
		if err != nil {
			t.Fatalf("%q is %q, but read again: %v", s, p, err)
		}
		checkSamePoint(t, again, p)
	})
}
