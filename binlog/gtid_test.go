package binlog

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	uuidA = "00c0ffee-71ca-11e1-9e33-c80aa9429562"
	uuidB = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidC = "ffffffff-71ca-11e1-9e33-c80aa9429562"
	tag32 = "abcdefghijklmnopqrstuvwxyz_01234"
)

func sid(t testing.TB, uuid string) [16]byte {
	t.Helper()
	id, err := parseUUID(uuid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustGTID(t testing.TB, s string) GTID {
	t.Helper()
	g, err := ParseGTID(FlavorUnknown, s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestParseGTIDReadsWhatServersPrint(t *testing.T) {
	b := sid(t, uuidB)
	for _, c := range []struct {
		text string
		want GTID
		out  string // what String gives, if not text
	}{
		{text: uuidB + ":1", want: GTID{Flavor: MySQL, SID: b, Seq: 1}},
		{text: uuidB + ":9223372036854775806", want: GTID{Flavor: MySQL, SID: b, Seq: 1<<63 - 2}},
		{text: uuidB + ":" + tag32 + ":7", want: GTID{Flavor: MySQL, SID: b, Tag: tag32, Seq: 7}},
		{text: " " + strings.ToUpper(uuidB) + " : Tag_1\t: 7\n", want: GTID{Flavor: MySQL, SID: b, Tag: "tag_1", Seq: 7}, out: uuidB + ":tag_1:7"},
		{text: strings.ReplaceAll(uuidB, "-", "") + ":1", want: GTID{Flavor: MySQL, SID: b, Seq: 1}, out: uuidB + ":1"},
		{text: "0-1-5", want: GTID{Flavor: MariaDB, Server: 1, Seq: 5}},
		{text: "4294967295-4294967295-18446744073709551615", want: GTID{Flavor: MariaDB, Domain: 1<<32 - 1, Server: 1<<32 - 1, Seq: 1<<64 - 1}},
	} {
		if c.out == "" {
			c.out = c.text
		}
		for _, flavor := range []Flavor{FlavorUnknown, c.want.Flavor} {
			g, err := ParseGTID(flavor, c.text)
			if err != nil || g != c.want {
				t.Errorf("ParseGTID(%s, %q) = %+v, %v; want %+v", flavor, c.text, g, err, c.want)
			}
			if g.String() != c.out {
				t.Errorf("ParseGTID(%s, %q).String() = %q; want %q", flavor, c.text, g, c.out)
			}
		}
	}
}

func TestParseGTIDSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "must be uuid:number"},
		{"  \n", "must be uuid:number"},
		{uuidB, "must be uuid:number"},
		{"hello", "must be uuid:number"},
		{uuidB + ":", "transaction number"},
		{uuidB + ":0", "transaction number"},
		{uuidB + ":010", "without leading zeros"},
		{uuidB + ":-1", "transaction number"},
		{uuidB + ":1-5", "transaction number"},
		{uuidB + ":9223372036854775807", "to 9223372036854775806"},
		{uuidB + ":1tag:5", "tag"},
		{uuidB + "::5", "tag"},
		{uuidB + ":" + tag32 + "x:5", "1 to 32 letters"},
		{uuidB + ":täg:5", "tag"},
		{uuidB + ":a:b:5", "transaction number"},
		{"3e11fa47-71ca-11e1-9e33-c80aa942956g:1", "must be a UUID"},
		{"3e11fa4771ca-11e1-9e33-c80aa9429562-:1", "must be a UUID"},
		{":1", "must be a UUID"},
		{"0-1", "must be domain-server-number"},
		{"0-1-", "sequence number"},
		{"0-1-x", "must be uuid:number"},
		{"0-1-2-3", "sequence number"},
		{"4294967296-1-1", "domain id"},
		{"0-4294967296-1", "server id"},
		{"0-1-18446744073709551616", "sequence number"},
	} {
		g, err := ParseGTID(FlavorUnknown, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || !g.IsZero() {
			t.Errorf("ParseGTID(%q) = %v, %v; want an error with %q", c.text, g, err, c.want)
		}
	}
	if _, err := ParseGTID(MariaDB, uuidB+":1"); err == nil {
		t.Error("a MySQL GTID was read as MariaDB's")
	}
	if _, err := ParseGTID(MySQL, strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 400 {
		t.Errorf("the error for a megabyte of text: %.500v", err)
	}
}

func TestZeroGTIDNamesNothing(t *testing.T) {
	var g GTID
	if !g.IsZero() || g.String() != "" {
		t.Errorf("zero GTID: IsZero %v, String %q", g.IsZero(), g)
	}
	if (GTID{Flavor: MariaDB}).IsZero() {
		t.Error("0-0-0 is a GTID, but IsZero")
	}
}

func TestFlavorRoundTrip(t *testing.T) {
	for _, f := range []Flavor{MySQL, MariaDB} {
		if got, err := ParseFlavor(f.String()); err != nil || got != f {
			t.Errorf("ParseFlavor(%q) = %v, %v", f, got, err)
		}
	}
	if _, err := ParseFlavor(FlavorUnknown.String()); err == nil {
		t.Error("ParseFlavor takes unknown")
	}
}

// anyGTID draws any GTID that a server may give out.
func anyGTID() *rapid.Generator[GTID] {
	return rapid.Custom(func(t *rapid.T) GTID {
		if rapid.Bool().Draw(t, "mariadb") {
			return GTID{
				Flavor: MariaDB,
				Domain: rapid.Uint32().Draw(t, "domain"),
				Server: rapid.Uint32().Draw(t, "server"),
				Seq:    rapid.Uint64().Draw(t, "seq"),
			}
		}
		g := GTID{Flavor: MySQL, Seq: rapid.Uint64Range(1, maxGNO).Draw(t, "gno")}
		copy(g.SID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "sid"))
		g.Tag = rapid.StringMatching(`([a-z_][a-z0-9_]{0,31})?`).Draw(t, "tag")
		return g
	})
}

func TestParseGTIDInvertsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGTID().Draw(t, "gtid")
		if got, err := ParseGTID(FlavorUnknown, g.String()); err != nil || got != g {
			t.Fatalf("ParseGTID(%q) = %+v, %v", g, got, err)
		}
	})
}

func FuzzParseGTID(f *testing.F) {
	for _, s := range []string{"", uuidB + ":1", uuidB + ":tag:7", "0-1-5", uuidB + "::", "--", "1-2-3-4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseGTID(FlavorUnknown, s)
		if err != nil {
			return
		}
		again, err := ParseGTID(g.Flavor, g.String())
		if err != nil || again != g {
			t.Fatalf("%q is %v, but read again %v, %v", s, g, again, err)
		}
		set := new(GTIDSet)
		if err := set.Add(g); err != nil || !set.Contains(g) {
			t.Fatalf("%q was parsed but cannot be added: %v", s, err)
		}
	})
}
