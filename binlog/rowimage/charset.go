package rowimage

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// binaryCharset is the one of columns whose bytes mean nothing to the server.
const binaryCharset = "binary"

// charsetOf gives the character set of a collation, "" for one that is not known.
// Ids are those of information_schema.COLLATIONS; both servers agree on those they
// have in common. MariaDB's that do not pad are 1024 above those that do, and its
// newer ones (UCA 14.0.0) have 256 ids to each character set.
func charsetOf(collation uint64) string {
	switch {
	case collation >= 1024 && collation < 2048:
		collation -= 1024
	case collation >= 2048 && collation < 2048+256*uint64(len(unicodeCharsets)):
		return unicodeCharsets[(collation-2048)/256]
	case collation >= 576 && collation <= 738 && collation%32 < 3:
		return map[uint64]string{18: "utf8mb3", 19: "utf8mb4", 20: "ucs2", 21: "utf16", 23: "utf32"}[collation/32]
	}
	for _, r := range collationRanges {
		if collation >= r.first && collation <= r.last {
			return r.charset
		}
	}
	return oldCollations[collation]
}

var unicodeCharsets = [...]string{"utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32"}

var collationRanges = []struct {
	first, last uint64
	charset     string
}{
	{101, 124, "utf16"}, {128, 151, "ucs2"}, {159, 159, "ucs2"}, {160, 183, "utf32"},
	{192, 215, "utf8mb3"}, {223, 223, "utf8mb3"}, {224, 247, "utf8mb4"}, {248, 250, "gb18030"}, {255, 323, "utf8mb4"},
}

var oldCollations = func() map[uint64]string {
	m := make(map[uint64]string)
	for name, ids := range map[string][]uint64{
		"armscii8": {32, 64}, "ascii": {11, 65}, "big5": {1, 84}, binaryCharset: {63}, "cp1250": {26, 34, 44, 66, 99},
		"cp1251": {14, 23, 50, 51, 52}, "cp1256": {57, 67}, "cp1257": {29, 58, 59}, "cp850": {4, 80},
		"cp852": {40, 81}, "cp866": {36, 68}, "cp932": {95, 96}, "dec8": {3, 69}, "eucjpms": {97, 98},
		"euckr": {19, 85}, "gb2312": {24, 86}, "gbk": {28, 87}, "geostd8": {92, 93}, "greek": {25, 70},
		"hebrew": {16, 71}, "hp8": {6, 72}, "keybcs2": {37, 73}, "koi8r": {7, 74}, "koi8u": {22, 75},
		"latin1": {5, 8, 15, 31, 47, 48, 49, 94}, "latin2": {2, 9, 21, 27, 77}, "latin5": {30, 78},
		"latin7": {20, 41, 42, 79}, "macce": {38, 43}, "macroman": {39, 53}, "sjis": {13, 88}, "swe7": {10, 82},
		"tis620": {18, 89}, "ucs2": {35, 90}, "ujis": {12, 91}, "utf16": {54, 55}, "utf16le": {56, 62},
		"utf32": {60, 61}, "utf8mb3": {33, 76, 83}, "utf8mb4": {45, 46},
	} {
		for _, id := range ids {
			m[id] = name
		}
	}
	return m
}()

// charset turns text of a column's character set into UTF-8.
type charset struct {
	name string
	// raw: it is UTF-8, or its bytes are to be shown as they are.
	raw bool
	// table is of character sets of one byte; of utf8.RuneError where the server and
	// the table may not agree.
	table *[256]rune
	// unit is the bytes of one unit of UTF-16 or UTF-32; little: the first is the least.
	unit   int
	little bool
	// decoder is of the others, in which bytes below 0x80 stand for themselves.
	decoder *encoding.Decoder
	scratch []byte
}

var singleByte = map[string]*charmap.Charmap{
	"latin1": charmap.Windows1252, "latin2": charmap.ISO8859_2, "latin5": charmap.ISO8859_9, "latin7": charmap.ISO8859_13,
	"greek": charmap.ISO8859_7, "hebrew": charmap.ISO8859_8, "cp1250": charmap.Windows1250, "cp1251": charmap.Windows1251,
	"cp1256": charmap.Windows1256, "cp1257": charmap.Windows1257, "cp850": charmap.CodePage850, "cp852": charmap.CodePage852,
	"cp866": charmap.CodePage866, "koi8r": charmap.KOI8R, "koi8u": charmap.KOI8U, "macroman": charmap.Macintosh,
}

// exceptions has what the servers, both, have otherwise in those; 0: they have nothing.
var exceptions = map[string]map[byte]rune{
	"cp1256": {0x8a: 0, 0x8f: 0, 0x98: 0, 0x9a: 0, 0x9f: 0, 0xaa: 0, 0xc0: 0, 0xff: 0},
	"cp866":  {0xfc: 'ⁿ', 0xfd: '²'},
	"greek":  {0xa1: 'ʽ', 0xa2: 'ʼ', 0xa4: 0, 0xa5: 0, 0xaa: 0},
	"hebrew": {0xaf: '‾'},
	"latin1": {0x81: 0x81, 0x8d: 0x8d, 0x8f: 0x8f, 0x90: 0x90, 0x9d: 0x9d},
	"koi8u":  {0x95: '•', 0xae: '╝', 0xbe: '╬'},
}

var manyByte = map[string]encoding.Encoding{
	"big5": traditionalchinese.Big5, "gbk": simplifiedchinese.GBK,
	"gb18030": simplifiedchinese.GB18030, "euckr": korean.EUCKR, "ujis": japanese.EUCJP, "eucjpms": japanese.EUCJP,
	"sjis": japanese.ShiftJIS, "cp932": japanese.ShiftJIS,
}

// newCharset makes the decoder of a character set, by the servers' name for it.
func newCharset(name string) (*charset, error) {
	switch name {
	case "utf8", "utf8mb3", "utf8mb4", "ascii", binaryCharset:
		return &charset{name: name, raw: true}, nil
	case "ucs2", "utf16":
		return &charset{name: name, unit: 2}, nil
	case "utf16le":
		return &charset{name: name, unit: 2, little: true}, nil
	case "utf32":
		return &charset{name: name, unit: 4}, nil
	case "":
		return nil, errors.New("the log does not say what its character set is, or names one that this version does not know")
	}
	if m, ok := singleByte[name]; ok {
		table := new([256]rune)
		for i := range table {
			table[i] = m.DecodeByte(byte(i))
		}
		for x, r := range exceptions[name] {
			if table[x] = r; r == 0 {
				table[x] = utf8.RuneError
			}
		}
		return &charset{name: name, table: table}, nil
	}
	if e, ok := manyByte[name]; ok {
		return &charset{name: name, decoder: e.NewDecoder()}, nil
	}
	return nil, fmt.Errorf("this version cannot turn text of the character set %s into UTF-8", name)
}

// cut cuts text off behind what makes more than n bytes of UTF-8, where a character
// ends.
func (c *charset) cut(b []byte, n int) []byte {
	switch {
	case c.unit > 0:
		if most := c.unit * (n + 2); len(b) > most {
			b = b[:most]
			high := most - 2
			if c.little {
				high++
			}
			if c.unit == 2 && b[high]&0xfc == 0xd8 {
				b = b[:most-2] // the first half of a pair
			}
		}
		return b
	case c.decoder != nil:
		// Of two bytes comes one at least.
		for i := 0; i < len(b); i += characterLen(c.name, b[i:]) {
			if i > 2*n+2 {
				return b[:i]
			}
		}
		return b
	}
	return b[:min(len(b), n+1)]
}

// appendUTF8 appends text as UTF-8. A character that has no certain counterpart is
// an error.
func (c *charset) appendUTF8(dst, b []byte) ([]byte, error) {
	if c.raw {
		return append(dst, b...), nil
	}
	if c.unit > 0 {
		return c.appendUnits(dst, b)
	}
	i := 0
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	dst = append(dst, b[:i]...)
	if b = b[i:]; len(b) == 0 {
		return dst, nil
	}
	if c.table != nil {
		for _, x := range b {
			r := c.table[x]
			if r == utf8.RuneError {
				return dst, fmt.Errorf("byte %#x of the character set %s has no certain counterpart in UTF-8", x, c.name)
			}
			dst = utf8.AppendRune(dst, r)
		}
		return dst, nil
	}
	return c.appendDecoded(dst, b)
}

func (c *charset) appendUnits(dst, b []byte) ([]byte, error) {
	unit := func() (v rune) {
		for i := range c.unit {
			at := i
			if c.little {
				at = c.unit - 1 - i
			}
			v = v<<8 | rune(b[at])
		}
		b = b[c.unit:]
		return v
	}
	for len(b) >= c.unit {
		r := unit()
		if utf16.IsSurrogate(r) && c.unit == 2 && len(b) >= 2 {
			r = utf16.DecodeRune(r, unit())
		}
		if !utf8.ValidRune(r) || r == utf8.RuneError {
			return dst, fmt.Errorf("text that is not in the character set %s", c.name)
		}
		dst = utf8.AppendRune(dst, r)
	}
	if len(b) > 0 {
		return dst, fmt.Errorf("text that is not in the character set %s", c.name)
	}
	return dst, nil
}

// appendDecoded takes text of character sets with characters of several bytes.
func (c *charset) appendDecoded(dst, b []byte) ([]byte, error) {
	if need := 3*len(b) + utf8.UTFMax; cap(c.scratch) < need {
		c.scratch = make([]byte, need)
	}
	if code, found := firstUncertain(c.name, b); found {
		return dst, fmt.Errorf("character %#x of the character set %s has no certain counterpart in UTF-8", code, c.name)
	}
	c.decoder.Reset()
	n, used, err := c.decoder.Transform(c.scratch[:cap(c.scratch)], b, true)
	if err != nil || used != len(b) {
		return dst, fmt.Errorf("text that is not in the character set %s", c.name)
	}
	for rest := c.scratch[:n]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError {
			return dst, fmt.Errorf("text that is not in the character set %s", c.name)
		}
		rest = rest[size:]
	}
	return append(dst, c.scratch[:n]...), nil
}

// uncertain are the characters, first to last, to which the servers, or one of them,
// give other code points than the library does, or none. TestTextIsConvertedAsServersDo
// finds them.
var uncertain = map[string][][2]uint32{
	"big5": {
		{0x8100, 0xa0ff}, {0xa145, 0xa145}, {0xa14e, 0xa14e}, {0xa15a, 0xa15a}, {0xa1c2, 0xa1c5}, {0xa1e3, 0xa1e3}, {0xa1f2, 0xa1f3},
		{0xa1fe, 0xa247}, {0xa2cc, 0xa2ce}, {0xa3c0, 0xa3ff}, {0xc6a1, 0xc8ff}, {0xf9d6, 0xffff},
	},
	"cp932":   {{0x80, 0x80}},
	"gbk":     {{0x80, 0x80}, {0xa2e3, 0xa2e3}, {0xa3a0, 0xa3a0}, {0xa8bf, 0xa8bf}, {0xa989, 0xa995}, {0xfe50, 0xfeff}},
	"gb18030": {{0xa3a0, 0xa3a0}},
	"sjis": {
		{0x80, 0x80}, {0x815f, 0x8161}, {0x817c, 0x817c}, {0x8191, 0x8192}, {0x81ca, 0x81ca}, {0x8500, 0x87ff}, {0xeb00, 0xffff},
	},
	"ujis": {
		{0xa1c0, 0xa1c2}, {0xa1dd, 0xa1dd}, {0xa1f1, 0xa1f2}, {0xa2cc, 0xa2cc}, {0xada1, 0xadff}, {0xf500, 0xffff}, {0x8fa2b7, 0x8fa2b7},
	},
	"eucjpms": {{0xf500, 0xffff}, {0x8fa2c3, 0x8fa2c3}},
}

// firstUncertain looks for a character that is uncertain.
func firstUncertain(name string, b []byte) (code uint32, found bool) {
	ranges := uncertain[name]
	if ranges == nil {
		return 0, false
	}
	for len(b) > 0 {
		n := min(characterLen(name, b), len(b))
		code = 0
		for _, c := range b[:n] {
			code = code<<8 | uint32(c)
		}
		for _, r := range ranges {
			if code >= r[0] && code <= r[1] {
				return code, true
			}
		}
		b = b[n:]
	}
	return 0, false
}

// characterLen gives the length of the character that b begins with.
func characterLen(name string, b []byte) int {
	switch c := b[0]; {
	case c < 0x80 || c == 0x80:
		return 1
	case name == "sjis" || name == "cp932":
		if c >= 0xa1 && c <= 0xdf {
			return 1
		}
	case name == "ujis" || name == "eucjpms":
		if c == 0x8f {
			return 3
		}
	case name == "gb18030":
		if len(b) > 1 && b[1] >= '0' && b[1] <= '9' {
			return 4
		}
	}
	return 2
}
