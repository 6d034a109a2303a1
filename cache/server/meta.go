package server

import (
	"encoding/base64"

	"github.com/mcsqueal/mcsqueal/cache"
)

// metaRequest is a meta command's line, taken apart (memcached's protocol.txt, "Meta
// Commands"). All commands take the same flags; each ignores what it has no use for.
type metaRequest struct {
	key  []byte // as the store has it
	sent []byte // as it was sent
	// flags are the flags' words, in their order, which is that of the answer.
	flags  [maxMetaWords][]byte
	nFlags int
	has    uint64 // a bit for each letter

	ttl, vivify, recache int32 // T, N, R
	cas, newCAS          uint64
	delta, initial       uint64
	clientFlags          uint32
	mode                 byte // 0: none was given
	decoded              [cache.MaxKey]byte
}

// maxMetaWords bounds the words of a meta command: its name, the key, and flags.
const maxMetaWords = 20

// Answers to lines that cannot be read.
const (
	tooManyFlags  = "CLIENT_ERROR options flags are too long\r\n"
	duplicateFlag = "CLIENT_ERROR duplicate flag\r\n"
	invalidFlag   = "CLIENT_ERROR invalid flag\r\n"
	badToken      = "CLIENT_ERROR bad token in command line format\r\n"
	badDelta      = "CLIENT_ERROR invalid numeric delta value\r\n"
	badInitial    = "CLIENT_ERROR invalid numeric initial value\r\n"
	badKey        = "CLIENT_ERROR error decoding key\r\n"
	opaqueTooLong = "CLIENT_ERROR opaque token too long\r\n"
)

func letter(c byte) uint64 { return 1 << (c - 'A') }

func (r *metaRequest) given(c byte) bool { return r.has&letter(c) != 0 }

// metaLetters are the flags there are.
var metaLetters = func() (all uint64) {
	for _, c := range []byte("bNTRlOPLkstcfvhuqxFCEMJDI") {
		all |= letter(c)
	}
	return all
}()

// readFlags reads the flags behind a key (and, of ms, a length, which words counts). It
// returns what to answer if they cannot be read: unreadable says that the line was not
// even taken apart.
func (r *metaRequest) readFlags(w *words, key []byte, count int) (answer string, unreadable bool) {
	r.key, r.sent, r.nFlags, r.has, r.mode = key, key, 0, 0, 0
	r.delta, r.initial, r.clientFlags = 1, 0, 0
	for {
		word := w.next()
		if len(word) == 0 {
			break
		}
		if c := word[0]; (c < 'A' || c > 'z') && (c < '0' || c > '9') {
			return badFormat, true
		}
		if count++; count <= maxMetaWords {
			r.flags[r.nFlags] = word
			r.nFlags++
		} else if count > maxWords {
			break
		}
	}
	if len(key) > cache.MaxKey {
		return badFormat, false
	}
	if count > maxMetaWords {
		return tooManyFlags, false
	}
	wrong := ""
	for _, word := range r.flags[:r.nFlags] {
		c := word[0]
		if c >= '0' && c <= '9' {
			return invalidFlag, false
		}
		if r.given(c) {
			return duplicateFlag, false
		}
		r.has |= letter(c)
		if metaLetters&letter(c) == 0 {
			return invalidFlag, false
		}
		if !r.readFlag(c, word[1:]) {
			switch c {
			case 'D':
				wrong = badDelta
			case 'J':
				wrong = badInitial
			case 'b':
				wrong = badKey
			case 'F':
				if wrong == "" {
					wrong = badFormat
				}
			default:
				wrong = badToken
			}
		}
	}
	return wrong, false
}

// readFlag reads a flag's argument.
func (r *metaRequest) readFlag(c byte, argument []byte) (ok bool) {
	switch c {
	case 'T':
		r.ttl, ok = signed32(argument)
	case 'N':
		r.vivify, ok = signed32(argument)
	case 'R':
		r.recache, ok = signed32(argument)
	case 'C':
		r.cas, ok = unsigned64(argument)
	case 'E':
		r.newCAS, ok = unsigned64(argument)
	case 'D':
		r.delta, ok = unsigned64(argument)
	case 'J':
		r.initial, ok = unsigned64(argument)
	case 'F':
		r.clientFlags, ok = unsigned32(argument)
	case 'b':
		r.key, ok = decodeKey(r.decoded[:0], r.sent)
	case 'M':
		r.mode, ok = '?', true
		if len(argument) > 0 {
			r.mode = argument[0]
		}
	default:
		ok = true
	}
	return ok
}

// decodeKey decodes a key in base64 as memcached does: what is not of the alphabet is
// passed over, padding stands for zeros wherever it is, and the first group with padding is
// the last one; whatever follows must be whole groups all the same.
func decodeKey(dst, sent []byte) ([]byte, bool) {
	var group uint32
	n, padding, done := 0, 0, false
	for _, c := range sent {
		value := base64Values[c]
		if value == notBase64 {
			continue
		}
		if c == '=' {
			padding++
		}
		group = group<<6 | uint32(value)
		if n++; n%4 != 0 || done {
			continue
		}
		if padding > 2 || len(dst)+3-padding > cache.MaxKey {
			return nil, false
		}
		three := [3]byte{byte(group >> 16), byte(group >> 8), byte(group)}
		dst = append(dst, three[:3-padding]...)
		done = padding > 0
	}
	return dst, n%4 == 0 && len(dst) > 0
}

const notBase64 = 0xff

// base64Values are those of the characters, and 0 that of padding.
var base64Values = func() (all [256]uint8) {
	for i := range all {
		all[i] = notBase64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		all[c] = uint8(i)
	}
	all['='] = 0
	return all
}()

// keyAndOpaque appends the O and k flags, all that an answer about a missing item has.
func (r *metaRequest) keyAndOpaque(out *Output) (answer string) {
	for _, word := range r.flags[:r.nFlags] {
		if answer := r.echo(out, word, r.given('b')); answer != "" {
			return answer
		}
	}
	out.text("\r\n")
	return ""
}

// echo appends one flag if it is O or k; binary says to show the key in base64. It returns
// an error's answer for an opaque that is too long.
func (r *metaRequest) echo(out *Output, word []byte, binary bool) string {
	switch word[0] {
	case 'O':
		if len(word) > maxOpaque {
			return opaqueTooLong
		}
		out.text(" ")
		out.Bytes = append(out.Bytes, word...)
	case 'k':
		out.text(" k")
		out.key(r.key, binary)
	}
	return ""
}

// maxOpaque is the length of the longest opaque, with its O.
const maxOpaque = 32

// opaqueFits reports whether the opaque, if there is one, is not too long.
func (r *metaRequest) opaqueFits() bool {
	for _, word := range r.flags[:r.nFlags] {
		if word[0] == 'O' && len(word) > maxOpaque {
			return false
		}
	}
	return true
}

// key appends a key, in base64 and with a mark if it is binary.
func (o *Output) key(key []byte, binary bool) {
	if !binary {
		o.Bytes = append(o.Bytes, key...)
		return
	}
	o.Bytes = base64.StdEncoding.AppendEncode(o.Bytes, key)
	o.text(" b")
}
