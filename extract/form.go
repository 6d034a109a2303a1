package extract

import "bytes"

// The forms of a tag, for the name mc:
//
//	native        /* mc: user:1 user:1:friends */
//	pair          /*application:Shop,mc:user%3A1*/              as Rails' query log tags
//	sqlcommenter  /*mc='user%3A1%20user%3A1%3Afriends',a='b'*/  google.github.io/sqlcommenter/spec
//
// The native form is a whole comment, by its first word. The other two are items
// of one list, separated by commas, in which forms and names may be mixed and
// repeated.

// comment hands over the keys of every tag in a comment: what stands between its
// marks.
func (t *Tags) comment(c []byte, key func([]byte), refused func(Refusal)) {
	for len(c) > 0 && isSpace(c[0]) {
		c = c[1:]
	}
	if list, ok := t.native(c); ok {
		t.list(list, raw, key, refused)
		return
	}
	t.items(c, key, refused)
}

// native gives the list of a comment in native form: it begins with a name, a
// colon, and white space or nothing.
func (t *Tags) native(c []byte) (list []byte, ok bool) {
	for _, name := range t.names {
		rest, ok := bytes.CutPrefix(c, name)
		if ok && len(rest) > 0 && rest[0] == ':' && (len(rest) == 1 || isSpace(rest[1])) {
			return rest[1:], true
		}
	}
	return nil, false
}

// items goes through a comment as a list of name:value and name='value'. What is
// neither is somebody else's, and passed over to the next comma outside quotes.
func (t *Tags) items(c []byte, key func([]byte), refused func(Refusal)) {
	for len(c) > 0 {
		if isSpace(c[0]) {
			c = c[1:]
			continue
		}
		n := 0
		for n < len(c) && c[n] != ':' && c[n] != '=' && c[n] != ',' {
			n++
		}
		if n == len(c) {
			return
		}
		name, rest := c[:n], c[n+1:]
		switch {
		case c[n] == '=' && len(rest) > 0 && rest[0] == '\'':
			rest = rest[1:]
			end, closed := valueEnd(rest)
			if t.named(name) {
				if closed {
					t.list(rest[:end], quotedValue, key, refused)
				} else {
					refuse(refused, UnclosedValue, c)
				}
			}
			c = behindComma(rest[end:])
		case c[n] == ':' && t.named(name) && len(rest) > 0 && !isSpace(rest[0]):
			value, _, _ := bytes.Cut(rest, []byte{','})
			t.list(value, raw, key, refused)
			c = behindComma(rest[len(value):])
		default:
			c = behindComma(c[n:])
		}
	}
}

// valueEnd gives the place of the quote that ends a sqlcommenter value, or the
// text's end if there is none. A backslash keeps the byte behind it from being
// one.
func valueEnd(b []byte) (end int, closed bool) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\'':
			return i, true
		case '\\':
			i++
		}
	}
	return len(b), false
}

func behindComma(c []byte) []byte {
	_, rest, _ := bytes.Cut(c, []byte{','})
	return rest
}
