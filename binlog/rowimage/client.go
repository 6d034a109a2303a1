package rowimage

import "unicode/utf8"

// maxMixed bounds the text that ClientText turns into UTF-8.
const maxMixed = 1 << 20

// ClientText makes the text of a statement readable byte by byte, as UTF-8 is: a byte
// below 0x80 is then that character, and no part of another, wherever it stands.
// collation is that of the session's character_set_client. Mostly it is the text
// itself; ok is false if nobody knows where its characters begin.
func ClientText(collation uint16, text []byte) (readable []byte, ok bool) {
	name := charsetOf(uint64(collation))
	switch name {
	case "big5", "gbk", "gb18030", "sjis", "cp932":
	case "", "swe7": // may be anything; has letters in the place of quotes
		return nil, false
	default:
		return text, true
	}
	if len(text) > maxMixed {
		return nil, false
	}
	c, err := newCharset(name)
	if err != nil {
		return nil, false
	}
	readable = make([]byte, 0, len(text)+len(text)/2)
	for len(text) > 0 {
		if text[0] < utf8.RuneSelf {
			readable, text = append(readable, text[0]), text[1:]
			continue
		}
		n := characterLen(name, text)
		if n > len(text) || n == 2 && text[1] < 0x40 {
			return nil, false
		}
		at := len(readable)
		if readable, err = c.appendUTF8(readable, text[:n]); err != nil {
			readable = utf8.AppendRune(readable[:at], utf8.RuneError)
		}
		text = text[n:]
	}
	return readable, true
}

func isUTF8(charset string) bool { return charset == "utf8mb3" || charset == "utf8mb4" }

// ClientName turns a name out of what ClientText has given into UTF-8. ok is false if
// there is no certain counterpart.
func ClientName(collation uint16, name []byte) (converted []byte, ok bool) {
	charset := charsetOf(uint64(collation))
	switch charset {
	case "utf8mb3", "utf8mb4", binaryCharset, "big5", "gbk", "gb18030", "sjis", "cp932":
		for rest := name; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError {
				return nil, false
			}
			rest = rest[n:]
		}
		return name, true
	case "ascii":
		return nil, false
	}
	c, err := newCharset(charset)
	if err != nil {
		return nil, false
	}
	converted, err = c.appendUTF8(nil, name)
	return converted, err == nil
}

// ClientIsUTF8 tells whether names in statements of a session with that collation are
// in UTF-8. Servers take the bytes of binary for that.
func ClientIsUTF8(collation uint16) bool {
	charset := charsetOf(uint64(collation))
	return isUTF8(charset) || charset == binaryCharset
}
