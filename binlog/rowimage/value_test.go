package rowimage

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"
)

func TestRealsAreWrittenAsServersDo(t *testing.T) {
	for _, c := range []struct {
		f      float64
		digits int
		want   string
	}{
		{0, 0, "0"},
		{math.Copysign(0, -1), 0, "-0"},
		{1, 0, "1"},
		{-1.5, 0, "-1.5"},
		{0.1, 0, "0.1"},
		{1e14, 0, "100000000000000"},
		{1e15, 0, "1e15"},
		{123456789012345, 0, "123456789012345"},
		{1234567890123456, 0, "1.234567890123456e15"},
		{1234567890123456.7, 0, "1234567890123456.8"},
		{1e-15, 0, "0.000000000000001"},
		{1e-16, 0, "1e-16"},
		{1.7976931348623157e308, 0, "1.7976931348623157e308"},
		{5e-324, 0, "5e-324"},
		{float64(float32(0.1)), floatDigits, "0.1"},
		{16777217, floatDigits, "16777200"},
		{float64(float32(3.4028e38)), floatDigits, "3.4028e38"},
		{999999.5, floatDigits, "1000000"},
	} {
		if got := string(appendReal(nil, c.f, c.digits)); got != c.want {
			t.Errorf("%g with %d digits: got %s, want %s", c.f, c.digits, got, c.want)
		}
	}
}

// The manual's own example is among them ("Data Type Storage Requirements").
func TestDecimalsAreRead(t *testing.T) {
	for _, c := range []struct {
		hex              string
		precision, scale int
		want             string
	}{
		{"810dfb38d204d2", 14, 4, "1234567890.1234"},
		{"7ef204c72dfb2d", 14, 4, "-1234567890.1234"},
		{"80", 1, 0, "0"},
		{"7a", 1, 0, "-5"},
		{"85", 1, 1, "0.5"},
		{"8000000001", 10, 0, "1"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendDecimal(nil, b, c.precision, c.scale)
		if err != nil || string(got) != c.want {
			t.Errorf("%s as DECIMAL(%d,%d): got %s (%v), want %s", c.hex, c.precision, c.scale, got, err, c.want)
		}
	}
	if got, err := appendDecimal(nil, []byte{0xff, 0xff, 0xff, 0xff, 0xff}, 10, 0); err == nil {
		t.Errorf("a DECIMAL that is none gives %s", got)
	}
}

func TestValuesOfENUMAreReadAsServersWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		`enum('a','b')`:              "a|b",
		`enum('it''s',',','\\',')')`: `it's|,|\|)`,
		`set('new\nline','')`:        "new\nline|",
	} {
		values, err := enumValues(text)
		var got []string
		for _, v := range values {
			got = append(got, string(v))
		}
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: got %q (%v), want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "enum", "enum(", "enum('a", "enum('a'", "enum('a',", "int(5)"} {
		if values, err := enumValues(text); err == nil {
			t.Errorf("%q gives %q", text, values)
		}
	}
}

// Text that is longer than a key can be is cut off where a character ends, and is
// longer still than a key.
func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	for name, character := range map[string]string{
		"latin1": "\xfc", "gbk": "\xd6\xd0", "gb18030": "\x81\x30\x81\x34", "ujis": "\x8f\xb0\xa1", "sjis": "\xb1",
		"ucs2": "\x4e\x2d", "utf16": "\xd8\x3d\xdc\x3f", "utf16le": "\x3d\xd8\x3f\xdc", "utf32": "\x00\x01\xf4\x3f",
	} {
		c, err := newCharset(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, first := range []string{"", c.of("a")} {
			for limit := 240; limit <= 250; limit++ {
				got, err := c.appendUTF8(nil, c.cut([]byte(first+strings.Repeat(character, 1000)), limit))
				if err != nil || len(got) <= limit || len(got) > 7*limit {
					t.Fatalf("%s, %d: %d bytes, %v", name, limit, len(got), err)
				}
			}
		}
	}
}

// of writes a letter in the character set.
func (c *charset) of(letter string) string {
	switch {
	case c.unit == 0:
		return letter
	case c.little:
		return letter + "\x00"
	}
	return strings.Repeat("\x00", c.unit-1) + letter
}

// jsonArray makes binary JSON of a small array of the given values: kind, inline bytes.
func jsonArray(values ...[3]byte) []byte {
	b := []byte{jsonSmallArray, byte(len(values)), 0, byte(4 + 3*len(values)), 0}
	for _, v := range values {
		b = append(b, v[:]...)
	}
	return b
}

// A document that lies about itself costs no more than an honest one: here every
// element is the document around it.
func TestDocumentThatRefersToItselfEnds(t *testing.T) {
	b := jsonArray([3]byte{jsonSmallArray, 0, 0})
	binary.LittleEndian.PutUint16(b[6:], 1)
	var d document
	for _, diff := range [][]byte{nil, {diffReplace, 4, '$', '[', '0', ']', 3, jsonInt16, 7, 0}} {
		if got, err := d.append(nil, b, diff, 1000); len(got) > 2000 {
			t.Errorf("%d bytes: %v", len(got), err)
		}
	}
	wide := jsonArray(make([][3]byte, 80)...)
	for i := 5; i < len(wide); i += 3 {
		wide[i] = jsonSmallArray
		wide[i+1] = 1
	}
	got, err := d.append(nil, wide, nil, 1000)
	if len(got) > 2000 {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}

func TestDiffsThatDoNotFitAreErrors(t *testing.T) {
	b := jsonArray([3]byte{jsonInt16, 1, 0})
	var d document
	for _, diff := range []string{
		"\x00\x04$[1]\x03\x05\x07\x00", // no such cell
		"\x00\x03$.a\x03\x05\x07\x00",  // no object
		"\x02\x01$",                    // the whole document
		"\x03\x04$[0]\x03\x05\x07\x00", // no such operation
		"\x00\x04$[x]\x03\x05\x07\x00",
		"\x00\x04$[0]",
		"\x00\x40$",
	} {
		if got, err := d.append(nil, b, []byte(diff), 1000); err == nil {
			t.Errorf("%q gives %s", diff, got)
		}
	}
	if got, err := d.append(nil, b, []byte("\x01\x04$[9]\x03\x05\x07\x00"), 1000); err != nil || string(got) != "[1, 7]" {
		t.Errorf("got %s (%v), want [1, 7]", got, err)
	}
}

// Whatever the bytes are, printing them ends, within its limit.
func FuzzDocument(f *testing.F) {
	f.Add(jsonArray([3]byte{jsonInt16, 1, 0}, [3]byte{jsonLiteral, 1, 0}), []byte("\x00\x04$[1]\x03\x05\x07\x00"))
	f.Add([]byte{jsonSmallObject, 1, 0, 13, 0, 11, 0, 1, 0, jsonString, 12, 0, 'k', 1, 'v'}, []byte("\x01\x03$.a\x03\x05\x07\x00"))
	f.Add([]byte{jsonOpaque, typeDatetime, 8, 0, 0, 0, 0, 0, 0, 1, 0x99}, []byte{})
	f.Add([]byte{jsonOpaque, typeNewdecimal, 4, 3, 1, 0x80, 5}, []byte{})
	f.Add([]byte{jsonDouble, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, []byte{})
	f.Fuzz(func(t *testing.T, b, diff []byte) {
		var d document
		for _, diff := range [][]byte{nil, diff} {
			if got, _ := d.append(nil, b, diff, 250); len(got) > 250+7*(len(b)+len(diff))+100 {
				t.Errorf("%d bytes of %d", len(got), len(b))
			}
		}
	})
}
