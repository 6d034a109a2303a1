package binlog

import (
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	sidA = "00c0ffee71ca11e19e33c80aa9429562"
	sidB = "3e11fa4771ca11e19e33c80aa9429562"
	sidC = "ffffffff71ca11e19e33c80aa9429562"

	classicHeader2 = "0200000000000000"
	taggedHeader2  = "0102000000000001"
)

// The bytes are bodies of PREVIOUS_GTIDS_LOG_EVENTs that MySQL 9.7.4 wrote while
// its gtid_executed was the text.
var previousGTIDs = []struct {
	name, text, body string
	// reencoded, if set, is what Encode makes of it: a server that has once seen a
	// tag writes the tagged format for sets without one.
	reencoded string
}{
	{name: "empty", text: "", body: "0000000000000000"},
	{
		name: "classic", text: uuidA + ":5," + uuidB + ":1-2:7",
		body: classicHeader2 +
			sidA + "0100000000000000" + "0500000000000000 0600000000000000" +
			sidB + "0200000000000000" + "0100000000000000 0300000000000000" + "0700000000000000 0800000000000000",
	},
	{
		name: "tagged format without tags", text: uuidA + ":5," + uuidB + ":1-2:7",
		body: taggedHeader2 +
			sidA + "00 0100000000000000" + "0500000000000000 0600000000000000" +
			sidB + "00 0200000000000000" + "0100000000000000 0300000000000000" + "0700000000000000 0800000000000000",
		reencoded: classicHeader2 +
			sidA + "0100000000000000" + "0500000000000000 0600000000000000" +
			sidB + "0200000000000000" + "0100000000000000 0300000000000000" + "0700000000000000 0800000000000000",
	},
	{
		name: "tagged",
		text: uuidA + ":5," + uuidB + ":1-2:7:_b:9223372036854775806:a1:4:a_:3," + uuidC + ":" + tag32 + ":5-6",
		body: "0106000000000001" +
			sidA + "00 0100000000000000" + "0500000000000000 0600000000000000" +
			sidB + "00 0200000000000000" + "0100000000000000 0300000000000000" + "0700000000000000 0800000000000000" +
			sidB + "045f62 0100000000000000" + "feffffffffffff7f ffffffffffffff7f" +
			sidB + "046131 0100000000000000" + "0400000000000000 0500000000000000" +
			sidB + "04615f 0100000000000000" + "0300000000000000 0400000000000000" +
			sidC + "40" + "6162636465666768696a6b6c6d6e6f707172737475767778797a5f3031323334" + "0100000000000000" +
			"0500000000000000 0700000000000000",
	},
}

func TestEncodingIsTheServersOwn(t *testing.T) {
	for _, c := range previousGTIDs {
		t.Run(c.name, func(t *testing.T) {
			decoded, err := DecodeMySQLGTIDSet(unhex(t, c.body))
			if err != nil {
				t.Fatal(err)
			}
			checkCanonical(t, decoded)
			if decoded.String() != c.text || decoded.Flavor() != MySQL {
				t.Errorf("decoded %s set %q; want %q", decoded.Flavor(), decoded, c.text)
			}
			want := c.body
			if c.reencoded != "" {
				want = c.reencoded
			}
			got, err := decoded.Encode()
			if err != nil || string(got) != string(unhex(t, want)) {
				t.Errorf("encoded %x, %v; want %s", got, err, want)
			}
		})
	}
}

func TestDecodeTakesSourcesInAnyOrderAndTwice(t *testing.T) {
	body := unhex(t, "0300000000000000"+
		sidB+"0100000000000000"+"0300000000000000 0500000000000000"+
		sidA+"0000000000000000"+
		sidB+"0100000000000000"+"0100000000000000 0400000000000000")
	s, err := DecodeMySQLGTIDSet(body)
	if err != nil || s.String() != uuidB+":1-4" {
		t.Fatalf("decoded %q, %v", s, err)
	}
	checkCanonical(t, s)
}

func TestDecodeRefusesBrokenSets(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"no header", "", "within the header"},
		{"half a header", "02000000", "within the header"},
		{"unknown format", "0000000000000002", "format 2"},
		{"sources missing", classicHeader2, "source 0 of 2"},
		{"second source missing", classicHeader2 + sidA + "0000000000000000", "source 1 of 2"},
		{"number of intervals missing", classicHeader2 + sidA, "source 0 of 2"},
		{"tag length missing", taggedHeader2 + sidA, "source 0 of 2"},
		{"tag missing", taggedHeader2 + sidA + "0461", "source 0 of 2"},
		{"tag too long", taggedHeader2 + sidA + "42" + strings.Repeat("61", 33), "longer than 32"},
		{"tag length of two bytes", taggedHeader2 + sidA + "0101", "longer than 32"},
		{"tag in upper case", taggedHeader2 + sidA + "0241 0000000000000000", "tag"},
		{"tag of NULs", taggedHeader2 + sidA + "0200 0000000000000000", "tag"},
		{"intervals missing", "0100000000000000" + sidA + "0100000000000000", "source 0 of 1"},
		{"half an interval", "0100000000000000" + sidA + "0100000000000000" + "0100000000000000", "source 0 of 1"},
		{"from 0", "0100000000000000" + sidA + "0100000000000000" + "0000000000000000 0500000000000000", "interval"},
		{"nothing in it", "0100000000000000" + sidA + "0100000000000000" + "0500000000000000 0500000000000000", "interval"},
		{"backwards", "0100000000000000" + sidA + "0100000000000000" + "0500000000000000 0400000000000000", "interval"},
		{"negative", "0100000000000000" + sidA + "0100000000000000" + "0100000000000000 0000000000000080", "interval"},
		{"out of order", "0100000000000000" + sidA + "0200000000000000" + "0500000000000000 0600000000000000" + "0100000000000000 0200000000000000", "interval"},
		{"touching", "0100000000000000" + sidA + "0200000000000000" + "0100000000000000 0200000000000000" + "0200000000000000 0300000000000000", "interval"},
		{"bytes left over", "000000000000000000", "1 bytes behind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := DecodeMySQLGTIDSet(unhex(t, c.body))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("decoded %q, %v; want an error with %q", s, err, c.want)
			}
		})
	}
}

func TestEncodeRefusesMariaDB(t *testing.T) {
	if b, err := mustSet(t, "0-1-5").Encode(); err == nil {
		t.Errorf("encoded %x", b)
	}
}

// A header may claim any number of things; memory is taken for what is there.
func TestDecodersTakeNoMemoryOnAClaim(t *testing.T) {
	decodeMySQL := func(b []byte) error { _, err := DecodeMySQLGTIDSet(b); return err }
	decodeMariaDB := func(b []byte) error { _, err := DecodeMariaDBGTIDList(b); return err }
	for _, c := range []struct {
		name, body string
		decode     func([]byte) error
	}{
		{"sources", "ffffffffffffff00" + sidA + "0000000000000000", decodeMySQL},
		{"tagged sources", "01ffffffffffff01" + sidA + "00 0000000000000000", decodeMySQL},
		{"256 MB of intervals", "0100000000000000" + sidA + "0000000100000000", decodeMySQL},
		{"intervals whose size overflows", "0100000000000000" + sidA + "0000000000000010", decodeMySQL},
		{"all intervals", "0100000000000000" + sidA + "ffffffffffffffff", decodeMySQL},
		{"domains", "ffffffff" + strings.Repeat("00", 16), decodeMariaDB},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := unhex(t, c.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := c.decode(body)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("decoded")
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
				t.Errorf("%d bytes allocated for %d", taken, len(body))
			}
		})
	}
}

func FuzzDecodeMySQLGTIDSet(f *testing.F) {
	for _, c := range previousGTIDs {
		f.Add(unhex(f, c.body))
	}
	f.Add(unhex(f, "0100000000000000"+sidA+"ffffffffffffffff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := DecodeMySQLGTIDSet(body)
		if err != nil {
			return
		}
		checkCanonical(t, s)
		encoded, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeMySQLGTIDSet(encoded)
		if err != nil || !again.Equal(s) {
			t.Fatalf("%q was encoded as %x and decoded as %q, %v", s, encoded, again, err)
		}
		parsed, err := ParseGTIDSet(MySQL, s.String())
		if err != nil || !parsed.Equal(s) {
			t.Fatalf("%q was read as %q, %v", s, parsed, err)
		}
	})
}

func BenchmarkDecodeMySQLGTIDSet(b *testing.B) {
	const intervals = 1000
	body := unhex(b, "0100000000000000"+sidA)
	body = binary.LittleEndian.AppendUint64(body, intervals)
	for i := range uint64(intervals) {
		body = binary.LittleEndian.AppendUint64(body, 3*i+1)
		body = binary.LittleEndian.AppendUint64(body, 3*i+2)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeMySQLGTIDSet(body); err != nil {
			b.Fatal(err)
		}
	}
}
